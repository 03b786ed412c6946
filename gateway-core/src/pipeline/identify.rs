//! Step 6: who asks. Cross-site request forgery is part of the question: a cookie that a foreign
//! page made the browser send identifies nobody.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

use crate::auth::api_key::ApiKeyRefusal;
use crate::auth::session::{self, SessionRefusal};
use crate::error::{InternalError, Refusal, Refused};
use crate::exchange::{Credential, Exchange};
use crate::pipeline::Core;
use crate::principal::{Principal, Scheme};
use crate::site::{Route, Site};
use crate::trace_context::{SpanKind, Value};

/// Identifies the caller by the route's scheme. A public route identifies nobody.
pub(super) async fn identify(
    core: &Core,
    site: &Site,
    route: &Route,
    exchange: &mut Exchange,
) -> Result<(), Refused> {
    let Some(scheme) = route.scheme else { return Ok(()) };
    let mut span = exchange.trace.span(SpanKind::Internal, || "identify".to_owned());
    let identified = match scheme {
        Scheme::Session => by_session(core, site, exchange).await,
        Scheme::Jwt => by_token(core, site, exchange).await,
        Scheme::ApiKey => by_key(core, site, exchange).await,
        Scheme::ClientCertificate => by_certificate(core, site, exchange),
    };
    if let Err(refused) = &identified {
        span.fail(|| Value::Word(refused.refusal().code()));
    }
    span.end();
    let (principal, credential) = identified?;
    exchange.record.user_id = Some(principal.user_id.clone());
    exchange.record.consumer_tier = Some(principal.tier.clone());
    exchange.principal = Some(principal);
    exchange.credential = credential;
    Ok(())
}

async fn by_session(
    core: &Core,
    site: &Site,
    exchange: &Exchange,
) -> Result<(Arc<Principal>, Credential), Refused> {
    let policy = site.session.as_ref().ok_or(SCHEME_MISSING)?;
    let digest = session::credential(&exchange.head.headers, policy)?;
    let digest = digest.ok_or(SessionRefusal::Missing)?;
    site.csrf.judge(&exchange.head)?;
    let now = core.clock.wall();
    let lookup = core.vault.find(digest, now, true).await.map_err(SessionRefusal::from)?;
    Ok((session::judge(lookup, policy, now)?, Credential::Session(digest)))
}

async fn by_token(
    core: &Core,
    site: &Site,
    exchange: &Exchange,
) -> Result<(Arc<Principal>, Credential), Refused> {
    let scheme = site.jwt.as_ref().ok_or(SCHEME_MISSING)?;
    let token = scheme.credential(&exchange.head.headers)?;
    let token = token.ok_or_else(|| scheme.refuse_missing())?;
    let now = core.clock.wall();
    let refusal = match scheme.verify(token, now) {
        Ok(principal) => return Ok((principal, Credential::Token)),
        Err(refusal) => refusal,
    };
    // Keys rotate: the issuer may have published this one a moment ago.
    let Some(wanted) = refusal.wants_keys() else { return Err(refusal.into()) };
    let time_left = exchange.deadline.since(core.clock.now());
    // Too late is no error of its own: the second look says what it says without new keys.
    let _ = tokio::time::timeout(time_left, core.key_sources.refresh(wanted)).await;
    Ok((scheme.verify(token, now)?, Credential::Token))
}

async fn by_key(
    core: &Core,
    site: &Site,
    exchange: &Exchange,
) -> Result<(Arc<Principal>, Credential), Refused> {
    let policy = site.api_key.as_ref().ok_or(SCHEME_MISSING)?;
    let head = &exchange.head;
    let digest = policy.credential(&head.headers, head.uri.query())?;
    let digest = digest.ok_or_else(|| policy.missing())?;
    let record = core.keys.find(digest).await.map_err(ApiKeyRefusal::from)?;
    let principal = policy.judge(digest, record.as_deref(), core.clock.wall())?;
    Ok((Arc::new(principal), Credential::Key(digest)))
}

fn by_certificate(
    core: &Core,
    site: &Site,
    exchange: &Exchange,
) -> Result<(Arc<Principal>, Credential), Refused> {
    let policy = site.client_certificate.as_ref().ok_or(SCHEME_MISSING)?;
    // A browser shows its certificate for any page that asks, as it does with cookies.
    site.csrf.judge_page(&exchange.head)?;
    let shown = exchange.client_certificate.as_deref();
    let principal = policy.judge(shown, core.clock.wall())?;
    Ok((Arc::new(principal), Credential::Certificate))
}

/// Loading refuses such a site.
const SCHEME_MISSING: InternalError = InternalError::of("the route's scheme is not configured");

/// A route with a scheme was reached by nobody; `identify` refuses first.
#[derive(Debug, thiserror::Error)]
#[error("a route with a scheme was reached without a principal")]
pub(super) struct NobodyIdentified;

impl Refusal for NobodyIdentified {
    fn status(&self) -> StatusCode {
        StatusCode::UNAUTHORIZED
    }
    fn code(&self) -> &'static str {
        "credential_missing"
    }
    fn detail(&self) -> Cow<'static, str> {
        "This route needs a credential.".into()
    }
}
