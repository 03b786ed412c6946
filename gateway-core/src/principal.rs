//! The principal: who a request is from, once a credential has been verified.
//!
//! Every scheme (`auth`) ends in the same [`Principal`], so that limits, identity headers, the
//! assertion and aggregates never ask how somebody proved who they are.
//!
//! Invariant: every text in it is visible ASCII and short, so it can go into a header field as it
//! stands; what is not, never becomes a principal.

use std::fmt;

use http::HeaderValue;

use crate::clock::Timestamp;

/// How a caller proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A cookie that names a session in the vault.
    Session,
    /// A bearer JSON Web Token.
    Jwt,
    /// A partner's API key.
    ApiKey,
    /// The certificate of the client's connection.
    ClientCertificate,
}

impl Scheme {
    /// Every scheme.
    pub const ALL: [Self; 4] = [Self::Session, Self::Jwt, Self::ApiKey, Self::ClientCertificate];

    /// Its name in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Jwt => "jwt",
            Self::ApiKey => "api_key",
            Self::ClientCertificate => "client_certificate",
        }
    }
}

/// A text of an identity: 1 to 255 visible ASCII characters, ready to be a header value.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdentityText(HeaderValue);

/// A text that cannot be part of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 visible ASCII characters")]
pub struct InvalidIdentityText;

impl IdentityText {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentityText`] when it is empty, longer than 255 bytes, or holds anything but
    /// visible ASCII: a line break or a letter beyond ASCII never reaches a header field.
    pub fn parse(text: &str) -> Result<Self, InvalidIdentityText> {
        let is_visible = text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        if text.is_empty() || text.len() > 255 || !is_visible {
            return Err(InvalidIdentityText);
        }
        HeaderValue::from_str(text).map(Self).map_err(|_| InvalidIdentityText)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The text as a header value; shares its bytes.
    #[must_use]
    pub fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for IdentityText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for IdentityText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who a request is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// How it was proved.
    pub scheme: Scheme,
    /// The user; for an API key, the partner.
    pub user_id: IdentityText,
    /// The role, where the credential has one.
    pub role: Option<IdentityText>,
    /// All roles, where the credential has several.
    pub roles: Vec<IdentityText>,
    /// The tenant, where the credential has one.
    pub tenant: Option<IdentityText>,
    /// The tier: which rate the consumer's limits take.
    pub tier: IdentityText,
    /// What the credential is good for.
    pub scopes: Vec<IdentityText>,
    /// A public name of the credential (a key's id), never the credential itself.
    pub credential_id: Option<IdentityText>,
    /// When the credential ends.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// The value of an identity field by the name that bindings and templates use
    /// (`identity.user_id`): `user_id`, `role`, `tenant`, `tier`. `None` when the field is not set.
    #[must_use]
    pub fn field(&self, name: IdentityField) -> Option<&IdentityText> {
        match name {
            IdentityField::UserId => Some(&self.user_id),
            IdentityField::Role => self.role.as_ref(),
            IdentityField::Tenant => self.tenant.as_ref(),
            IdentityField::Tier => Some(&self.tier),
        }
    }
}

/// A field of an identity that a template may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityField {
    /// `identity.user_id`
    UserId,
    /// `identity.role`
    Role,
    /// `identity.tenant`
    Tenant,
    /// `identity.tier`
    Tier,
}

impl IdentityField {
    /// Every field, for messages.
    pub const NAMES: [&'static str; 4] = ["user_id", "role", "tenant", "tier"];

    /// The field of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "user_id" => Some(Self::UserId),
            "role" => Some(Self::Role),
            "tenant" => Some(Self::Tenant),
            "tier" => Some(Self::Tier),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_visible_ascii_becomes_part_of_an_identity() {
        for good in ["4821", "editor", "a@b.example", &"x".repeat(255)] {
            assert_eq!(IdentityText::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "a b", "a\r\nX-User-Role: admin", "é", "\0", &"x".repeat(256)] {
            assert_eq!(IdentityText::parse(bad), Err(InvalidIdentityText), "{bad:?}");
        }
    }
}
