//! Reading a rule, and pointing at where it cannot be read.

use std::fmt;

use super::{Field, Node};
use crate::principal::{IdentityText, Scheme};

/// Parentheses and `not`s inside each other; no rule that people read has more.
const DEPTH_MAX: usize = 16;
/// Bytes of one rule.
const LENGTH_MAX: usize = 4_096;

/// A text that is no rule: what stands at one place of it, and what should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRule {
    /// The line with the mistake.
    line: Box<str>,
    /// How many characters of it are before the mistake.
    column: usize,
    reason: Box<str>,
}

impl std::error::Error for InvalidRule {}

/// The end of a sentence that starts with the key, then the line and a caret below the place.
impl fmt::Display for InvalidRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, reason } = self;
        write!(f, "cannot be read at the caret: {reason}\n      {line}\n      {:column$}^", "")
    }
}

/// Reads a rule.
pub(super) fn rule(text: &str) -> Result<Node, InvalidRule> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    if text.len() > LENGTH_MAX {
        return Err(parser.fault(LENGTH_MAX, "a rule has at most 4096 bytes"));
    }
    let rule = parser.either()?;
    if parser.peek().is_some() {
        return Err(parser.fault_here("here `and`, `or` or the end is due"));
    }
    Ok(rule)
}

struct Parser<'a> {
    text: &'a str,
    /// Bytes that are read.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn either(&mut self) -> Result<Node, InvalidRule> {
        self.several("or", Self::both, Node::Any)
    }

    fn both(&mut self) -> Result<Node, InvalidRule> {
        self.several("and", Self::test, Node::All)
    }

    fn several(
        &mut self,
        word: &str,
        read: fn(&mut Self) -> Result<Node, InvalidRule>,
        join: fn(Box<[Node]>) -> Node,
    ) -> Result<Node, InvalidRule> {
        let first = read(self)?;
        if !self.take_word(word) {
            return Ok(first);
        }
        let mut nodes = vec![first, read(self)?];
        while self.take_word(word) {
            nodes.push(read(self)?);
        }
        Ok(join(nodes.into()))
    }

    fn test(&mut self) -> Result<Node, InvalidRule> {
        if self.depth == DEPTH_MAX {
            return Err(self.fault_here("nothing may be nested deeper than 16 times"));
        }
        self.depth += 1;
        let test = self.test_inside();
        self.depth -= 1;
        test
    }

    fn test_inside(&mut self) -> Result<Node, InvalidRule> {
        if self.take_word("not") {
            return Ok(Node::Not(self.test()?.into()));
        }
        if self.take_sign("(") {
            let inside = self.either()?;
            self.due_sign(")", "here `)`, `and` or `or` is due")?;
            return Ok(inside);
        }
        match self.peek() {
            Some('\'' | '"') => self.text_in_roles(),
            _ => self.field_test(),
        }
    }

    fn field_test(&mut self) -> Result<Node, InvalidRule> {
        let (start, name) = self.name();
        let Some((_, field)) = Field::ALL.iter().find(|(known, _)| *known == name) else {
            return Err(self.unknown_field(start, name));
        };
        let field = *field;
        if self.take_sign("==") {
            return Ok(among(field, vec![self.value(field)?], false));
        }
        if self.take_sign("!=") {
            return Ok(among(field, vec![self.value(field)?], true));
        }
        let is_negated = self.take_word("not");
        if !self.take_word("in") {
            let reason = if self.peek() == Some('=') {
                "`==` compares; a single `=` means nothing"
            } else if is_negated {
                "here `in` is due"
            } else {
                "here `==`, `!=`, `in [ … ]` or `not in [ … ]` is due"
            };
            return Err(self.fault_here(reason));
        }
        Ok(among(field, self.list(field)?, is_negated))
    }

    /// `'admin' in roles`
    fn text_in_roles(&mut self) -> Result<Node, InvalidRule> {
        let text = self.value(Field::Roles)?;
        let is_negated = self.take_word("not");
        if !self.take_word("in") {
            return Err(self.fault_here("here `in roles` or `not in roles` is due"));
        }
        match self.name() {
            (_, "roles") => Ok(among(Field::Roles, vec![text], is_negated)),
            (start, _) => Err(self.fault(start, "here `roles` is due; only they are a list")),
        }
    }

    fn list(&mut self, field: Field) -> Result<Vec<Box<str>>, InvalidRule> {
        self.due_sign("[", "a list of texts is due: `['a', 'b']`")?;
        let mut texts = vec![self.value(field)?];
        while self.take_sign(",") {
            texts.push(self.value(field)?);
        }
        self.due_sign("]", "here `,` or `]` is due")?;
        Ok(texts)
    }

    /// A text that the field could have.
    fn value(&mut self, field: Field) -> Result<Box<str>, InvalidRule> {
        let Some(quote @ ('\'' | '"')) = self.peek() else {
            let (start, name) = self.name();
            let reason = match name {
                "" => "a text in quotes is due: `'admin'`".to_owned(),
                name => format!("a text stands in quotes: `'{name}'`"),
            };
            return Err(self.fault(start, &reason));
        };
        let start = self.at;
        let inside = self.text.get(start + 1..).unwrap_or_default();
        let Some((text, _)) = inside.split_once(quote) else {
            return Err(self.fault(start, "the text that begins here does not end"));
        };
        self.at = start + text.len() + 2;
        if field == Field::Scheme && !Scheme::ALL.iter().any(|scheme| scheme.as_str() == text) {
            let known = Scheme::ALL.map(|scheme| format!("`'{}'`", scheme.as_str())).join(", ");
            return Err(self.fault(start, &format!("a scheme is one of {known}")));
        }
        if IdentityText::parse(text).is_err() {
            let reason =
                "no identity holds this text: it must be 1 to 255 visible ASCII characters";
            return Err(self.fault(start, reason));
        }
        Ok(text.into())
    }

    /// The letters and `_` that come next, and where they start.
    fn name(&mut self) -> (usize, &'a str) {
        self.skip_space();
        let rest = self.rest();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (start, name) = (self.at, rest.get(..end).unwrap_or_default());
        self.at += end;
        (start, name)
    }

    fn unknown_field(&self, start: usize, name: &str) -> InvalidRule {
        let known = Field::ALL.map(|(known, _)| known).join(", ");
        let stripped = name.strip_prefix("identity.");
        let reason = match stripped.filter(|name| Field::ALL.iter().any(|(known, _)| known == name))
        {
            Some(short) => format!("write `{short}` alone: a rule is about the identity"),
            None => format!("a field of the identity is due: {known}"),
        };
        self.fault(start, &reason)
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.skip_space();
        let before = self.at;
        if self.name().1 == word {
            return true;
        }
        self.at = before;
        false
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        self.skip_space();
        let is_next = self.rest().starts_with(sign);
        if is_next {
            self.at += sign.len();
        }
        is_next
    }

    fn due_sign(&mut self, sign: &str, reason: &str) -> Result<(), InvalidRule> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.fault_here(reason)) }
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn fault_here(&mut self, reason: &str) -> InvalidRule {
        self.skip_space();
        self.fault(self.at, reason)
    }

    fn fault(&self, at: usize, reason: &str) -> InvalidRule {
        let at = self.text.floor_char_boundary(at);
        let (before, after) = self.text.split_at_checked(at).unwrap_or((self.text, ""));
        let before = before.rsplit('\n').next().unwrap_or_default();
        let after = after.split('\n').next().unwrap_or_default();
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let line: String =
            before.chars().chain(after.chars()).map(plain).take(LENGTH_MAX).collect();
        let column = before.chars().count();
        InvalidRule { line: line.into(), column, reason: reason.into() }
    }
}

fn among(field: Field, texts: Vec<Box<str>>, is_negated: bool) -> Node {
    Node::Among { field, texts: texts.into(), is_negated }
}
