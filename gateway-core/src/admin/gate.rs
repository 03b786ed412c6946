//! Who may come in: who shows the token, or, where there is none, who is on this machine and is no
//! web page.
//!
//! Without a token the listener is on loopback. That keeps other machines out, and not the pages
//! that a browser on this machine shows: they can send a form to any address, and, once their own
//! name leads to 127.0.0.1, read the answer as well. The first says `Origin` or `Sec-Fetch-Site`,
//! the second names its own host.

use std::borrow::Cow;
use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use subtle::ConstantTimeEq as _;

use super::{Admin, refuse};
use crate::error::Refusal;
use crate::reload::Shown;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAdmitted {
    /// The token is not shown.
    #[error("the admin token was not shown")]
    Token,
    /// `Host` names something that is not this machine.
    #[error("the request is for a host that is not loopback")]
    ForeignHost,
    /// A web page has sent it.
    #[error("the request comes from a web page")]
    FromPage,
}

impl Refusal for NotAdmitted {
    fn status(&self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::FromPage => StatusCode::FORBIDDEN,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Token => "admin_token_missing",
            Self::ForeignHost => "admin_host_foreign",
            Self::FromPage => "admin_from_page",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Token => "Send `Authorization: Bearer` and `admin.token`.",
            Self::ForeignHost => {
                "Without `admin.token`, call 127.0.0.1, [::1] or localhost, by that name."
            }
            Self::FromPage => "Without `admin.token`, no web page may call.",
        }
        .into()
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        if *self == Self::Token {
            let challenge = HeaderValue::from_static("Bearer realm=\"admin\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
    }
}

/// Middleware around everything but the probes.
pub(super) async fn admit(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match judge(&admin.reloader.shown(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refuse(&admin, &refused.into()),
    }
}

/// Whether somebody with these headers may come in.
pub(super) fn judge(shown: &Shown, headers: &HeaderMap) -> Result<(), NotAdmitted> {
    if shown.token.is_some() {
        return if shows_token(shown, headers) { Ok(()) } else { Err(NotAdmitted::Token) };
    }
    if !is_for_this_machine(headers) {
        return Err(NotAdmitted::ForeignHost);
    }
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    let is_typed = matches!(site, None | Some(b"none" | b"same-origin"));
    if headers.contains_key(header::ORIGIN) || !is_typed {
        return Err(NotAdmitted::FromPage);
    }
    Ok(())
}

/// Whether the token is shown, or there is none.
fn shows_token(shown: &Shown, headers: &HeaderMap) -> bool {
    let Some(token) = &shown.token else { return true };
    let value = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let value = value.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    value.ct_eq(token.expose().as_bytes()).into()
}

fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        let is_loopback = |address: IpAddr| address.is_loopback();
        name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_loopback)
    })
}
