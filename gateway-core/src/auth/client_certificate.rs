//! Certificates of clients: who the holder of a verified one is.
//!
//! TLS has verified that an authority of the configuration issued it and that the client holds its
//! key; nothing that a client writes into a request can stand in for that. What is left is one
//! name in it, which becomes the user.
//!
//! A session of TLS may be older than its certificate's end, so the end is looked at for each
//! request. A refusal is a 403, not a 401: there is no challenge that could ask for a certificate
//! (RFC 9110 §15.5.2 wants one), and no other request on this connection would do better.
//!
//! Not here: the authorities (`server::tls`), pages that make a browser show its certificate
//! ([`csrf`](super::csrf)).

use std::borrow::Cow;
use std::fmt::Write as _;

use http::StatusCode;

use crate::certificate::{Certificate, ClientCertificate};
use crate::clock::Timestamp;
use crate::error::Refusal;
use crate::principal::{IdentityText, Principal, Scheme};

/// Which name in a certificate is the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// The alternative name that is a URI.
    Uri,
    /// The alternative name that is a host.
    Dns,
    /// The alternative name that is a mail address.
    Email,
    /// The subject's common name.
    CommonName,
}

impl NameKind {
    fn names(self, certificate: &Certificate) -> &[String] {
        match self {
            Self::Uri => &certificate.uris,
            Self::Dns => &certificate.dns_names,
            Self::Email => &certificate.emails,
            Self::CommonName => &certificate.common_names,
        }
    }
}

/// What is made of a verified certificate.
#[derive(Debug, Clone)]
pub struct ClientCertificatePolicy {
    /// The name that is the user's.
    pub name: NameKind,
    /// What the name begins with, and the user's does not.
    pub prefix: Box<str>,
    /// The role of every holder.
    pub role: Option<IdentityText>,
    /// The tier of every holder.
    pub tier: IdentityText,
}

impl ClientCertificatePolicy {
    /// Identifies the holder of the connection's certificate, if it has one.
    ///
    /// # Errors
    ///
    /// [`ClientCertificateRefusal`]: no certificate, one that has ended since, or one that does
    /// not have exactly one name of the kind and form that is due.
    pub fn judge(
        &self,
        shown: Option<&ClientCertificate>,
        now: Timestamp,
    ) -> Result<Principal, ClientCertificateRefusal> {
        let shown = shown.ok_or(ClientCertificateRefusal::Missing)?;
        if now > shown.certificate.not_after {
            return Err(ClientCertificateRefusal::Expired);
        }
        Ok(Principal {
            scheme: Scheme::ClientCertificate,
            user_id: self.user_id(&shown.certificate).ok_or(ClientCertificateRefusal::Unnamed)?,
            role: self.role.clone(),
            roles: self.role.iter().cloned().collect(),
            tenant: None,
            tier: self.tier.clone(),
            scopes: Vec::new(),
            credential_id: IdentityText::parse(&hex(&shown.fingerprint)).ok(),
            expires_at: Some(shown.certificate.not_after),
        })
    }

    /// The one name that is due: which of two was meant is not for us to guess.
    fn user_id(&self, certificate: &Certificate) -> Option<IdentityText> {
        let [name] = self.name.names(certificate) else { return None };
        IdentityText::parse(name.strip_prefix(&*self.prefix)?).ok()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why a connection identifies nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientCertificateRefusal {
    /// The client has shown none.
    #[error("the client's connection has no certificate")]
    Missing,
    /// It held when the connection began.
    #[error("the client's certificate has expired")]
    Expired,
    /// It is somebody's, but not of a name that is known here.
    #[error("the client's certificate does not have exactly one name that makes a user")]
    Unnamed,
}

impl Refusal for ClientCertificateRefusal {
    fn status(&self) -> StatusCode {
        StatusCode::FORBIDDEN
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Missing => "client_certificate_missing",
            Self::Expired => "client_certificate_expired",
            Self::Unnamed => "client_certificate_unnamed",
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::Missing => "This route needs a connection with a client certificate.",
            Self::Expired => "The client certificate has expired; connect with a new one.",
            Self::Unnamed => "The client certificate does not name a user of this gateway.",
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> IdentityText {
        IdentityText::parse(text).expect("visible ASCII")
    }

    fn policy(name: NameKind, prefix: &str) -> ClientCertificatePolicy {
        let (role, tier) = (Some(text("service")), text("partner"));
        ClientCertificatePolicy { name, prefix: prefix.into(), role, tier }
    }

    fn shown() -> ClientCertificate {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        ClientCertificate {
            certificate: Certificate {
                common_names: names(&["Zoe", "Zoe again"]),
                dns_names: names(&["billing.example"]),
                uris: names(&["spiffe://example.com/billing"]),
                emails: names(&["zoë@example.com"]),
                not_before: Timestamp::from_unix_seconds(0),
                not_after: Timestamp::from_unix_seconds(1_000),
            },
            fingerprint: [0xa5; 32],
        }
    }

    #[test]
    fn exactly_one_name_of_the_kind_and_form_that_is_due_is_the_user() {
        let unnamed = Err(ClientCertificateRefusal::Unnamed);
        for (name, prefix, expected) in [
            (NameKind::Uri, "", Ok("spiffe://example.com/billing")),
            (NameKind::Uri, "spiffe://example.com/", Ok("billing")),
            (NameKind::Uri, "spiffe://example.org/", unnamed),
            (NameKind::Uri, "spiffe://example.com/billing", unnamed),
            (NameKind::Dns, "", Ok("billing.example")),
            (NameKind::Email, "", unnamed),
            (NameKind::CommonName, "", unnamed),
        ] {
            let judged =
                policy(name, prefix).judge(Some(&shown()), Timestamp::from_unix_seconds(1));
            let user = judged.as_ref().map(|who| who.user_id.as_str()).map_err(|&refusal| refusal);
            assert_eq!(user, expected, "{name:?} {prefix}");
        }
    }

    #[test]
    fn the_holder_has_what_the_configuration_gives_to_all_of_them() {
        let judged =
            policy(NameKind::Dns, "").judge(Some(&shown()), Timestamp::from_unix_seconds(1));
        let who = judged.expect("somebody");
        assert_eq!(who.scheme, Scheme::ClientCertificate);
        assert_eq!((who.role, who.roles), (Some(text("service")), vec![text("service")]));
        assert_eq!((who.tier, who.scopes), (text("partner"), vec![]));
        assert_eq!(who.credential_id, Some(text(&"a5".repeat(32))));
        assert_eq!(who.expires_at, Some(Timestamp::from_unix_seconds(1_000)));
    }

    #[test]
    fn no_certificate_and_one_that_has_ended_identify_nobody() {
        let policy = policy(NameKind::Dns, "");
        let judge = |shown: Option<&ClientCertificate>, now| {
            policy.judge(shown, Timestamp::from_unix_seconds(now)).map(drop)
        };
        assert_eq!(judge(None, 1), Err(ClientCertificateRefusal::Missing));
        assert_eq!(judge(Some(&shown()), 1_000), Ok(()), "its last second");
        assert_eq!(judge(Some(&shown()), 1_001), Err(ClientCertificateRefusal::Expired));
    }
}
