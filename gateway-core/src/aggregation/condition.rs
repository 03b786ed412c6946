//! Conditions: whether a part is called for a request at all.
//!
//! ```text
//! condition = test *( " and " test )
//! test      = source [ ( "==" / "!=" ) text / ( "in" / "not in" ) "[" text *( "," text ) "]" ]
//! text      = "'" *( any character but "'" ) "'"
//! ```
//!
//! A source is one of the request's (`identity.role`, `query.x`, `header.x`, `path.x`); alone it
//! asks whether it is there. A caller with several roles has each of them. Nothing is computed:
//! that is a service's job.
//!
//! Not here: what becomes of a part that is not called (`run`).

use super::bindings::{Found, Scope, Source};
use crate::principal::IdentityField;

/// When a part is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition(Vec<Test>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    source: Source,
    /// `None`: the value must be there.
    among: Option<Vec<Box<str>>>,
    is_negated: bool,
}

impl Condition {
    /// Reads a condition; the error is a reason for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text };
        let mut tests = vec![parser.test()?];
        while !parser.rest.trim_start().is_empty() {
            parser.word("and")?;
            tests.push(parser.test()?);
        }
        Ok(Self(tests))
    }

    /// Whether it holds.
    pub(super) fn holds(&self, scope: &Scope<'_>) -> bool {
        self.0.iter().all(|test| test.holds(scope))
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().map(|test| &test.source)
    }
}

impl Test {
    fn holds(&self, scope: &Scope<'_>) -> bool {
        let value = self.source.read(scope).and_then(Found::into_text);
        let Some(among) = &self.among else { return value.is_some() };
        let is_among = |text: &str| among.iter().any(|known| **known == *text);
        let mut holds = value.is_some_and(|text| is_among(&text));
        if let (Source::Identity(IdentityField::Role), Some(principal)) =
            (&self.source, scope.inputs.principal)
        {
            holds |= principal.roles.iter().any(|role| is_among(role.as_str()));
        }
        holds != self.is_negated
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn test(&mut self) -> Result<Test, String> {
        let start = self.rest.trim_start();
        let end = start.find([' ', '=', '!']).unwrap_or(start.len());
        let (name, rest) = start.split_at(end);
        let source = Source::parse(name)?;
        if !matches!(
            source,
            Source::Identity(_) | Source::Path(_) | Source::Query(_) | Source::Header(_)
        ) {
            return Err(format!("{name}: a condition reads identity, path, query or header"));
        }
        self.rest = rest;
        let (among, is_negated) = if self.take("==") {
            (Some(vec![self.text()?]), false)
        } else if self.take("!=") {
            (Some(vec![self.text()?]), true)
        } else if self.take("not in ") {
            (Some(self.texts()?), true)
        } else if self.take("in ") {
            (Some(self.texts()?), false)
        } else {
            (None, false)
        };
        Ok(Test { source, among, is_negated })
    }

    fn texts(&mut self) -> Result<Vec<Box<str>>, String> {
        self.word("[")?;
        let mut texts = vec![self.text()?];
        while self.take(",") {
            texts.push(self.text()?);
        }
        self.word("]")?;
        Ok(texts)
    }

    fn text(&mut self) -> Result<Box<str>, String> {
        self.word("'")?;
        let (text, rest) = self.rest.split_once('\'').ok_or("a text must end with \"'\"")?;
        self.rest = rest;
        Ok(text.into())
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) {
            return Ok(());
        }
        let rest: String = self.rest.trim_start().chars().take(20).collect();
        Err(format!("must have {word:?} where it has {rest:?}"))
    }

    fn take(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(word) else { return false };
        self.rest = rest;
        true
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::super::bindings::Inputs;
    use super::super::testing::principal;
    use super::*;

    /// Asks as an editor and reviewer, with `?q=1`.
    #[track_caller]
    fn check(text: &str, expected: Result<bool, &str>) {
        let mut principal = principal("4821");
        principal.role = Some(crate::principal::IdentityText::parse("editor").expect("visible"));
        principal.roles = vec![crate::principal::IdentityText::parse("reviewer").expect("visible")];
        let inputs = Inputs {
            principal: Some(&principal),
            params: &[],
            query: Some("q=1"),
            headers: &HeaderMap::new(),
            body: None,
        };
        let scope = Scope { inputs: &inputs, params: &[], values: &[], items: &[] };
        let found = Condition::parse(text).map(|condition| condition.holds(&scope));
        match (found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
            (Err(reason), Err(expected)) => assert!(reason.contains(expected), "{text}: {reason}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }

    #[test]
    fn a_condition_asks_who_calls_and_what_was_sent() {
        check("identity.role in ['editor', 'admin']", Ok(true));
        check("identity.role in ['reviewer']", Ok(true));
        check("identity.role in ['admin']", Ok(false));
        check("identity.role not in ['admin']", Ok(true));
        check("identity.role not in ['reviewer']", Ok(false));
        check("identity.role == 'editor' and query.q == '1'", Ok(true));
        check("identity.role == 'editor' and query.q != '1'", Ok(false));
        check("query.q", Ok(true));
        check("query.x", Ok(false));
        check("query.x != 'a'", Ok(true));
        check("query.x == 'a'", Ok(false));
        check("identity.tenant", Ok(false));
    }

    #[test]
    fn a_condition_that_cannot_be_read_says_why() {
        check("", Err("must name a source"));
        check("role == 'a'", Err("must name a source"));
        check("identity.role = 'a'", Err("\"and\""));
        check("identity.role == a", Err("\"'\""));
        check("identity.role == 'a", Err("must end with"));
        check("identity.role in []", Err("\"'\""));
        check("identity.role in ['a'", Err("\"]\""));
        check("query.q or query.x", Err("\"and\""));
        check("part.links.total == '1'", Err("a condition reads"));
        check("header.cookie", Err("never reaches"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_condition_or_a_reason(text in r"(identity\.role|query\.q|x)?[ =!a-z'\[\],]{0,30}") {
            let _ = Condition::parse(&text);
        }
    }
}
