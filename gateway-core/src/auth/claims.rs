//! Claim mapping: which claim of a verified credential is which part of an identity.
//!
//! Each part stands at a JSON pointer into the claims (`/user_id`, `/realm_access/roles`). Text
//! stays text, integers become decimal text, an array becomes roles; everything else is refused,
//! because a value that was stringified by guess would reach the services as somebody's identity.
//!
//! Not here: whether the claims can be believed (`jwt`), the header fields they end up in
//! (`transform`).

use std::fmt;

use serde_json::Value;

use crate::principal::{IdentityText, Principal, Scheme};

/// Where each part of an identity stands in the claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimMapping {
    /// The user: text or an integer. `/sub` is text only, as RFC 7519 §4.1.2 has it.
    pub user_id: ClaimPointer,
    /// The role: text. An array here counts as roles.
    pub role: ClaimPointer,
    /// All roles: an array of texts.
    pub roles: ClaimPointer,
    /// The tenant: text or an integer.
    pub tenant: ClaimPointer,
    /// The tier: text or an integer.
    pub tier: ClaimPointer,
    /// The tier of a caller whose claims name none.
    pub default_tier: IdentityText,
}

/// A JSON pointer (RFC 6901) to one claim.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimPointer(Box<str>);

/// A text that is no pointer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a JSON pointer such as /sub or /realm_access/roles; write ~1 for / and ~0 for ~")]
pub struct InvalidClaimPointer;

impl ClaimPointer {
    /// Reads a pointer.
    ///
    /// # Errors
    ///
    /// [`InvalidClaimPointer`] when it does not begin with `/` (the whole of the claims is no
    /// claim), or a `~` in it is not `~0` or `~1`.
    pub fn parse(text: &str) -> Result<Self, InvalidClaimPointer> {
        let escapes_are_known =
            text.split('~').skip(1).all(|after| after.starts_with('0') || after.starts_with('1'));
        if !text.starts_with('/') || !escapes_are_known {
            return Err(InvalidClaimPointer);
        }
        Ok(Self(text.into()))
    }

    /// The pointer as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn find<'c>(&self, claims: &'c Value) -> Option<&'c Value> {
        claims.pointer(&self.0)
    }
}

impl fmt::Display for ClaimPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A claim that cannot become its part of an identity. Names the claim, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the claim {claim}, mapped to identity.{field}, {problem}")]
pub struct ClaimFault {
    /// The part of the identity.
    pub field: &'static str,
    /// Where it was looked for.
    pub claim: Box<str>,
    /// What is wrong there.
    pub problem: ClaimProblem,
}

/// What can be wrong with a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimProblem {
    /// There is none, and an identity needs one.
    #[error("is missing")]
    Missing,
    /// Its text cannot stand in a header field.
    #[error("is not 1 to 255 visible ASCII characters")]
    NotVisible,
    /// It is of a JSON type that is not taken here.
    #[error("is {0}, which is not taken there")]
    WrongType(&'static str),
}

impl ClaimFault {
    fn new(field: &'static str, claim: &str, problem: ClaimProblem) -> Self {
        Self { field, claim: claim.into(), problem }
    }

    /// Whether the credential itself is at fault: it names nobody, or holds bytes that could
    /// forge a header field. Otherwise the caller is known, but not what it may do.
    #[must_use]
    pub fn spoils_credential(&self) -> bool {
        self.field == "user_id" || self.problem == ClaimProblem::NotVisible
    }
}

impl ClaimMapping {
    /// The principal that the claims speak of; `credential_id` and `expires_at` are the scheme's.
    ///
    /// # Errors
    ///
    /// [`ClaimFault`] names the first claim that is missing where one is needed, is of another
    /// type, or is a text that could not go into a header field as it stands.
    pub fn principal(&self, claims: &Value, scheme: Scheme) -> Result<Principal, ClaimFault> {
        let (role, roles) = self.roles(claims)?;
        Ok(Principal {
            scheme,
            user_id: self.user_id(claims)?,
            role,
            roles,
            tenant: identifier("tenant", &self.tenant, claims)?,
            tier: identifier("tier", &self.tier, claims)?
                .unwrap_or_else(|| self.default_tier.clone()),
            scopes: scopes(claims)?,
            credential_id: None,
            expires_at: None,
        })
    }

    fn user_id(&self, claims: &Value) -> Result<IdentityText, ClaimFault> {
        let refuse = |problem| ClaimFault::new("user_id", self.user_id.as_str(), problem);
        let is_number = self.user_id.find(claims).is_some_and(Value::is_number);
        if is_number && self.user_id.as_str() == "/sub" {
            return Err(refuse(ClaimProblem::WrongType("a number")));
        }
        identifier("user_id", &self.user_id, claims)?.ok_or_else(|| refuse(ClaimProblem::Missing))
    }

    /// A role is a word that services compare with: a number there is a mistake of the issuer's.
    fn roles(
        &self,
        claims: &Value,
    ) -> Result<(Option<IdentityText>, Vec<IdentityText>), ClaimFault> {
        let (mut role, mut roles) = (None, Vec::new());
        match self.role.find(claims) {
            None => {}
            Some(Value::Array(items)) => roles = words("role", &self.role, items)?,
            Some(value) => role = Some(word("role", self.role.as_str(), value)?),
        }
        if self.roles != self.role {
            match self.roles.find(claims) {
                None => {}
                Some(Value::Array(items)) => roles.extend(words("roles", &self.roles, items)?),
                Some(other) => {
                    return Err(ClaimFault::new("roles", self.roles.as_str(), wrong_type(other)));
                }
            }
        }
        Ok((role, roles))
    }
}

/// The scopes of RFC 9068 §2.2.3: one text, words between spaces.
fn scopes(claims: &Value) -> Result<Vec<IdentityText>, ClaimFault> {
    let refuse = |problem| ClaimFault::new("scopes", "/scope", problem);
    match claims.get("scope") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => text
            .split(' ')
            .filter(|scope| !scope.is_empty())
            .map(|scope| IdentityText::parse(scope).map_err(|_| refuse(ClaimProblem::NotVisible)))
            .collect(),
        Some(other) => Err(refuse(wrong_type(other))),
    }
}

fn identifier(
    field: &'static str,
    claim: &ClaimPointer,
    claims: &Value,
) -> Result<Option<IdentityText>, ClaimFault> {
    match claim.find(claims) {
        None => Ok(None),
        // Beyond 64 bits, and with a fraction or an exponent, JSON's numbers are approximate: two
        // users would become one.
        Some(Value::Number(number)) if number.is_u64() || number.is_i64() => {
            IdentityText::parse(&number.to_string())
                .map(Some)
                .map_err(|_| ClaimFault::new(field, claim.as_str(), ClaimProblem::NotVisible))
        }
        Some(value) => word(field, claim.as_str(), value).map(Some),
    }
}

fn words(
    field: &'static str,
    claim: &ClaimPointer,
    items: &[Value],
) -> Result<Vec<IdentityText>, ClaimFault> {
    items.iter().map(|item| word(field, claim.as_str(), item)).collect()
}

fn word(field: &'static str, claim: &str, value: &Value) -> Result<IdentityText, ClaimFault> {
    let Value::String(text) = value else {
        return Err(ClaimFault::new(field, claim, wrong_type(value)));
    };
    IdentityText::parse(text).map_err(|_| ClaimFault::new(field, claim, ClaimProblem::NotVisible))
}

const fn wrong_type(value: &Value) -> ClaimProblem {
    ClaimProblem::WrongType(match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    })
}

#[cfg(test)]
mod tests;
