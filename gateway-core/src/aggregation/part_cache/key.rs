//! Keys: what must be the same for an answer to be used again, and for whom.

use std::fmt;
use std::sync::Arc;

use crate::aggregation::call::Call;
use crate::principal::{IdentityText, Principal};

/// Who may be shown an answer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Everybody: the service was not told who asks.
    Everybodys,
    /// Callers without an identity.
    Nobodys,
    /// This caller, as they were when it was fetched.
    Theirs(Identity),
}

/// Everything a service is told about a caller: another role is another identity.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    user_id: IdentityText,
    /// All of it, each field with its length before it.
    fields: Arc<[u8]>,
}

/// Whose it is, and nothing that a log need not hold.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}'s", self.user_id)
    }
}

impl Whose {
    /// This caller's, or nobody's.
    #[must_use]
    pub fn of(principal: Option<&Principal>) -> Self {
        let Some(principal) = principal else { return Self::Nobodys };
        let mut fields = Vec::with_capacity(96);
        let one = [Some(&principal.user_id), principal.role.as_ref(), principal.tenant.as_ref()];
        push(&mut fields, Some(&format!("{:?}", principal.scheme)));
        for text in one.into_iter().chain([Some(&principal.tier)]) {
            push(&mut fields, text.map(IdentityText::as_str));
        }
        for several in [&principal.roles, &principal.scopes] {
            fields.extend_from_slice(&(several.len() as u64).to_be_bytes());
            several.iter().for_each(|text| push(&mut fields, Some(text.as_str())));
        }
        push(&mut fields, principal.credential_id.as_ref().map(IdentityText::as_str));
        Self::Theirs(Identity { user_id: principal.user_id.clone(), fields: fields.into() })
    }
}

impl fmt::Debug for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everybodys => f.write_str("everybody's"),
            Self::Nobodys => f.write_str("nobody's"),
            Self::Theirs(identity) => fmt::Debug::fmt(identity, f),
        }
    }
}

/// What an answer is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartKey {
    whose: Whose,
    service: Arc<str>,
    /// The call: method, target, and the header fields that are sent, each with its length.
    call: Arc<[u8]>,
    /// What is made of the answer: conversion, shape and contract.
    recipe: Arc<str>,
}

impl PartKey {
    /// The key of a call's answer. There is none without saying whose it is.
    #[must_use]
    pub fn new(whose: Whose, service: &Arc<str>, call: &Call, recipe: &Arc<str>) -> Self {
        let mut text = Vec::with_capacity(96);
        push(&mut text, Some(call.method.as_str()));
        push(&mut text, Some(call.target.as_str()));
        for (name, value) in &call.headers {
            push(&mut text, Some(name.as_str()));
            text.extend_from_slice(&(value.len() as u64).to_be_bytes());
            text.extend_from_slice(value.as_bytes());
        }
        let (service, recipe) = (Arc::clone(service), Arc::clone(recipe));
        Self { whose, service, call: text.into(), recipe }
    }

    pub(super) fn size(&self) -> usize {
        let identity = match &self.whose {
            Whose::Theirs(identity) => identity.fields.len(),
            Whose::Everybodys | Whose::Nobodys => 0,
        };
        self.call.len() + identity
    }

    pub(super) fn is_of_user(&self, user_id: &str) -> bool {
        matches!(&self.whose, Whose::Theirs(identity) if identity.user_id.as_str() == user_id)
    }

    /// Whether it is of the call `GET billing-service:/usage`.
    pub(super) fn is_of_call(&self, text: &str) -> bool {
        let Some((method, rest)) = text.split_once(' ') else { return false };
        let Some((service, target)) = rest.split_once(':') else { return false };
        let mut call = Vec::new();
        push(&mut call, Some(method));
        push(&mut call, Some(target));
        *self.service == *service && self.call.starts_with(&call)
    }
}

/// A field behind its length, so that `a:b` and `c` are not `a` and `b:c`; an absent one is not an
/// empty one.
fn push(out: &mut Vec<u8>, text: Option<&str>) {
    let length = text.map_or(u64::MAX, |text| text.len() as u64);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}
