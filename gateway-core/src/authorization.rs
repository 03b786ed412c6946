//! Authorization: may this caller use this route.
//!
//! Read in this order: [`Rule`] is what a configuration requires of a caller, [`Requirement`] a
//! rule with the key it stands at, [`decision`] the question to a service that decides instead.
//!
//! ```text
//! rule   = both *( "or" both )
//! both   = test *( "and" test )
//! test   = "not" test / "(" rule ")"
//!        / field ( "==" / "!=" ) text / field [ "not" ] "in" "[" text *( "," text ) "]"
//!        / text [ "not" ] "in" "roles"
//! field  = "user_id" / "role" / "roles" / "tenant" / "tier" / "scheme"
//! text   = "'" … "'" / DQUOTE … DQUOTE
//! ```
//!
//! `roles` are all that a credential lists, and `role` is the one it names and those. Of several,
//! one is enough: `role == 'admin'` asks whether one of them is, `role != 'admin'` whether none is.
//!
//! Invariants
//! - Closed: nothing can be named but the identity, nothing is computed, nothing is called.
//! - What is not known opens nothing. A test of a field that the credential does not have is
//!   neither true nor false but unknown (Kleene's logic): `not` leaves it unknown, `and` and `or`
//!   are settled by their other side or stay unknown; and only what is true lets a caller pass. So
//!   `tenant != 'acme'` and `not tenant == 'acme'` both refuse a caller without a tenant.
//! - A rule is compiled when it is loaded; asking it allocates nothing and ends: it is a tree of
//!   bounded depth.
//!
//! Not here: what a principal may do with a thing (the service's own decision), scopes (they are
//! the scheme's), the call to a service that decides (`pipeline`).

pub mod decision;
mod parse;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

pub use self::parse::InvalidRule;
use crate::error::Refusal;
use crate::principal::Principal;

/// A field of an identity that a rule may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    UserId,
    /// The role, and all of the roles.
    Role,
    Roles,
    Tenant,
    Tier,
    Scheme,
}

impl Field {
    const ALL: [(&'static str, Self); 6] = [
        ("user_id", Self::UserId),
        ("role", Self::Role),
        ("roles", Self::Roles),
        ("tenant", Self::Tenant),
        ("tier", Self::Tier),
        ("scheme", Self::Scheme),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }
}

/// What must hold of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule(Node);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// Whether one of a field's values is one of these texts; or, negated, none is.
    Among {
        field: Field,
        texts: Box<[Box<str>]>,
        is_negated: bool,
    },
    Not(Box<Self>),
    All(Box<[Self]>),
    Any(Box<[Self]>),
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    ///
    /// [`InvalidRule`], which points at the place and says what to write there.
    pub fn parse(text: &str) -> Result<Self, InvalidRule> {
        parse::rule(text).map(Self)
    }

    /// Whether the caller may pass: what is unknown does not let anybody.
    #[must_use]
    pub fn allows(&self, principal: &Principal) -> bool {
        self.0.ask(principal) == Some(true)
    }
}

impl Node {
    /// True, false, or unknown.
    fn ask(&self, principal: &Principal) -> Option<bool> {
        match self {
            Self::Among { field, texts, is_negated } => {
                let is_among = is_among(*field, texts, principal)?;
                Some(is_among != *is_negated)
            }
            Self::Not(node) => node.ask(principal).map(|holds| !holds),
            Self::All(nodes) => settle(nodes, false, principal),
            Self::Any(nodes) => settle(nodes, true, principal),
        }
    }
}

/// One answer settles all of them; otherwise one that is unknown leaves all unknown.
fn settle(nodes: &[Node], settling: bool, principal: &Principal) -> Option<bool> {
    let mut answer = Some(!settling);
    for node in nodes {
        match node.ask(principal) {
            Some(holds) if holds == settling => return Some(settling),
            Some(_) => {}
            None => answer = None,
        }
    }
    answer
}

/// `None` where the credential does not say.
fn is_among(field: Field, texts: &[Box<str>], principal: &Principal) -> Option<bool> {
    let has = |value: &str| texts.iter().any(|text| **text == *value);
    let one = match field {
        Field::UserId => Some(&principal.user_id),
        Field::Tenant => principal.tenant.as_ref(),
        Field::Tier => Some(&principal.tier),
        Field::Scheme => return Some(has(principal.scheme.as_str())),
        Field::Role | Field::Roles => {
            let role = principal.role.as_ref().filter(|_| field == Field::Role);
            let mut all = role.into_iter().chain(&principal.roles).peekable();
            all.peek()?;
            return Some(all.any(|role| has(role.as_str())));
        }
    };
    one.map(|value| has(value.as_str()))
}

/// As it could have been written; what is inside `and`, `or` and `not` stands in parentheses.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Among { field, texts, is_negated } => {
                let name = field.name();
                match (&**texts, is_negated) {
                    ([only], false) => write!(f, "{name} == {}", Quoted(only)),
                    ([only], true) => write!(f, "{name} != {}", Quoted(only)),
                    (several, is_negated) => {
                        let word = if *is_negated { "not in" } else { "in" };
                        write!(f, "{name} {word} [")?;
                        for (place, text) in several.iter().enumerate() {
                            let comma = if place == 0 { "" } else { ", " };
                            write!(f, "{comma}{}", Quoted(text))?;
                        }
                        f.write_str("]")
                    }
                }
            }
            Self::Not(node) => write!(f, "not {}", Inner(node)),
            Self::All(nodes) => joined(nodes, " and ", f),
            Self::Any(nodes) => joined(nodes, " or ", f),
        }
    }
}

fn joined(nodes: &[Node], word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (place, node) in nodes.iter().enumerate() {
        let word = if place == 0 { "" } else { word };
        write!(f, "{word}{}", Inner(node))?;
    }
    Ok(())
}

/// A node inside another.
struct Inner<'a>(&'a Node);

impl fmt::Display for Inner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Node::All(_) | Node::Any(_) => write!(f, "({})", self.0),
            Node::Among { .. } | Node::Not(_) => self.0.fmt(f),
        }
    }
}

/// A text never holds both kinds of quotes: it could not have been written.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains('\'') { '"' } else { '\'' };
        write!(f, "{quote}{}{quote}", self.0)
    }
}

/// A rule, and the key it stands at: `services.link-service.require`.
#[derive(Debug, Clone)]
pub struct Requirement {
    key: Arc<str>,
    rule: Rule,
}

impl Requirement {
    /// The rule that stands at a key.
    #[must_use]
    pub fn new(key: &str, rule: Rule) -> Self {
        Self { key: key.into(), rule }
    }

    /// Lets the caller pass of whom the rule holds.
    ///
    /// # Errors
    ///
    /// [`RequirementNotMet`].
    pub fn check(&self, principal: &Principal) -> Result<(), RequirementNotMet> {
        if self.rule.allows(principal) {
            return Ok(());
        }
        Err(RequirementNotMet { key: Arc::clone(&self.key) })
    }
}

/// The rule, and where it stands.
impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.rule, self.key)
    }
}

/// The caller is not one whom the route is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` does not hold of the caller")]
pub struct RequirementNotMet {
    /// Where the rule stands.
    pub key: Arc<str>,
}

impl Refusal for RequirementNotMet {
    fn status(&self) -> StatusCode {
        StatusCode::FORBIDDEN
    }
    fn code(&self) -> &'static str {
        "requirement_not_met"
    }
    fn detail(&self) -> Cow<'static, str> {
        "You are known, and this is not for you.".into()
    }
}

#[cfg(test)]
mod tests;
