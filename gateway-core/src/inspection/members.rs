//! Members of a body that limits are keyed by.
//!
//! They are read so that no spelling has a bucket of its own: names without regard to case, values
//! without it and without white space around them. A member that stands twice is refused, since a
//! service may read the other one. What is no JSON object has no members.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::error::Refusal;

/// A member that a limit is keyed by stands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a member that a limit is keyed by stands twice")]
pub struct MemberTwice;

impl Refusal for MemberTwice {
    fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
    fn code(&self) -> &'static str {
        "body_ambiguous"
    }
    fn detail(&self) -> Cow<'static, str> {
        "The body has a member twice; send it once.".into()
    }
}

/// The members of these names that a body has, with their texts.
///
/// # Errors
///
/// [`MemberTwice`].
pub fn read(body: &[u8], names: &[Box<str>]) -> Result<Vec<(Box<str>, String)>, MemberTwice> {
    let mut found = Found { names, members: Vec::new(), is_twice: false };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let is_whole = reader.deserialize_map(&mut found).is_ok() && reader.end().is_ok();
    if found.is_twice {
        return Err(MemberTwice);
    }
    Ok(if is_whole { found.members } else { Vec::new() })
}

struct Found<'a> {
    names: &'a [Box<str>],
    members: Vec<(Box<str>, String)>,
    is_twice: bool,
}

impl<'de> Visitor<'de> for &mut Found<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let Some(name) = self.names.iter().find(|name| name.eq_ignore_ascii_case(&key)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if self.members.iter().any(|(known, _)| known == name) {
                self.is_twice = true;
                return Err(A::Error::custom(MemberTwice));
            }
            let value: Value = map.next_value()?;
            self.members.push((name.clone(), text(&value)));
        }
        Ok(())
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_lowercase(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<&str, MemberTwice>) {
        let names = ["email".into(), "account".into()];
        let found = read(body.as_bytes(), &names);
        let said = |members: Vec<(Box<str>, String)>| {
            let pairs = members.iter().map(|(name, value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found.map(said), expected.map(str::to_owned), "{body}");
    }

    #[test]
    fn every_spelling_of_a_member_is_the_same() {
        check(r#"{"email":"a@x.example","password":"p"}"#, Ok("email=a@x.example"));
        check(r#"{"Email":" A@X.example ","x":[{"email":"b"}]}"#, Ok("email=a@x.example"));
        check(r#"{"em\u0061il":"\u0061@x.example"}"#, Ok("email=a@x.example"));
        check(r#"{"account":42,"email":"a"}"#, Ok("account=42 email=a"));
        check(r#"{"email":{"$ne":null}}"#, Ok("email="));
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_and_what_is_no_object_has_none() {
        check(r#"{"email":"a","email":"b"}"#, Err(MemberTwice));
        check(r#"{"email":"a","EMAIL":"a"}"#, Err(MemberTwice));
        for body in ["", "[]", "\"email\"", "email=a", r#"{"email":"a""#, r#"{"email":"a"} x"#] {
            check(body, Ok(""));
        }
    }
}
