//! Header edits: what a route removes, sets and appends, in this order.
//!
//! Refused when they are loaded: fields that belong to the connection, to the message's framing or
//! to the gateway itself.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::template::{Place, Template};
use super::{InvalidTransform, TransformRefused, Values};
use crate::header::HOP_BY_HOP;

/// The edits as they are written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// Fields that get this value, whatever they had.
    pub set: Vec<(String, String)>,
    /// Fields that get this value beside those they have.
    pub append: Vec<(String, String)>,
    /// Fields that go.
    pub remove: Vec<String>,
}

/// The names of the three keys, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    pub(super) set: &'static str,
    pub(super) append: &'static str,
    pub(super) remove: &'static str,
}

/// What the edits may name.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    pub(super) keys: Keys,
    /// Parameters for templates; `None` where values must be the same for every request.
    pub(super) parameters: Option<&'a [Box<str>]>,
    /// Names that only the gateway writes.
    pub(super) reserved: &'a [&'a str],
}

/// The edits, compiled.
#[derive(Debug, Clone, Default)]
pub(super) struct HeaderEdits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, FieldValue)>,
    append: Vec<(HeaderName, FieldValue)>,
}

#[derive(Debug, Clone)]
enum FieldValue {
    Constant(HeaderValue),
    Template(Template),
}

impl FieldValue {
    fn of(&self, values: &Values<'_>) -> Result<HeaderValue, TransformRefused> {
        match self {
            Self::Constant(value) => Ok(value.clone()),
            Self::Template(template) => {
                let text = template.render(values)?;
                // The template's encoding leaves nothing that a header value cannot hold.
                Ok(HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("")))
            }
        }
    }
}

impl HeaderEdits {
    /// Compiles the rules, and adds what is wrong with them to `errors`.
    pub(super) fn compile(
        rules: &HeaderRules,
        scope: &Scope<'_>,
        errors: &mut Vec<InvalidTransform>,
    ) -> Self {
        let keys = scope.keys;
        let names = rules.remove.iter().map(|name| (keys.remove, &**name, scope.name(name)));
        let remove = collect(names, errors);
        let mut pairs = |key, pairs: &[(String, String)]| {
            let compiled = pairs.iter().map(|(name, text)| (key, &**name, scope.pair(name, text)));
            collect(compiled, errors)
        };
        Self { remove, set: pairs(keys.set, &rules.set), append: pairs(keys.append, &rules.append) }
    }

    /// Makes the edits.
    pub(super) fn apply(
        &self,
        headers: &mut HeaderMap,
        values: &Values<'_>,
    ) -> Result<(), TransformRefused> {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.of(values)?);
        }
        for (name, value) in &self.append {
            headers.append(name, value.of(values)?);
        }
        Ok(())
    }
}

/// The good ones; the others become errors.
fn collect<'a, T>(
    compiled: impl Iterator<Item = (&'static str, &'a str, Result<T, String>)>,
    errors: &mut Vec<InvalidTransform>,
) -> Vec<T> {
    let mut good = Vec::new();
    for (key, name, result) in compiled {
        match result {
            Ok(it) => good.push(it),
            Err(reason) => errors.push(InvalidTransform { key, value: name.to_owned(), reason }),
        }
    }
    good
}

impl Scope<'_> {
    fn pair(&self, name: &str, text: &str) -> Result<(HeaderName, FieldValue), String> {
        Ok((self.name(name)?, self.value(text)?))
    }

    fn name(&self, name: &str) -> Result<HeaderName, String> {
        let parsed = HeaderName::from_bytes(name.as_bytes());
        let parsed = parsed.map_err(|_| "is not the name of a header field".to_owned())?;
        // Some servers cannot tell `_` from `-`.
        let fold = |name: &str| name.to_ascii_lowercase().replace('_', "-");
        let folded = fold(parsed.as_str());
        if HOP_BY_HOP.contains(&&*folded) || matches!(&*folded, "host" | "content-length") {
            return Err("belongs to the connection, so no rule can change it".into());
        }
        if self.reserved.iter().any(|name| fold(name) == folded) {
            return Err("is written by the gateway alone, so no rule can change it".into());
        }
        Ok(parsed)
    }

    fn value(&self, text: &str) -> Result<FieldValue, String> {
        let parameters = self.parameters.unwrap_or_default();
        let template = Template::parse(text, Place::Header, parameters);
        let template = template.map_err(|invalid| format!("`{text}`: {invalid}"))?;
        match template.as_constant().map(HeaderValue::from_str) {
            Some(Ok(value)) => Ok(FieldValue::Constant(value)),
            Some(Err(_)) => Err(format!("`{text}`: a header value is one line of ASCII")),
            None if self.parameters.is_some() => Ok(FieldValue::Template(template)),
            None => Err(format!("`{text}`: an answer's header fields take no values")),
        }
    }
}
