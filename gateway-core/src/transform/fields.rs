//! Fields: members taken out of a JSON body, and nothing else about it changed.
//!
//! The body is not parsed into a tree and printed again: the bytes of what goes are cut out. So
//! numbers keep their text, members their order, and the rest its white space.

use std::ops::Range;

use serde_json::value::RawValue;

/// Nesting beyond this is refused, as `serde_json` does where it builds values.
const DEPTH_MAX: usize = 128;

/// Which members go.
///
/// Each is the name of a member of the outermost object (`password`), or a JSON Pointer
/// (`/user/password`, RFC 6901). In a pointer `*` stands for every item of an array
/// (`/items/*/cost`). Names are compared unescaped; members that occur twice go twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldPaths(Vec<Vec<Box<str>>>);

/// A text that is no field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidField(pub &'static str);

/// A body that is not JSON in UTF-8, or nested too deeply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not JSON")]
pub struct NotJson;

impl FieldPaths {
    /// Adds a field.
    ///
    /// # Errors
    ///
    /// [`InvalidField`] when it is empty, or has a `~` that is neither `~0` nor `~1`.
    pub fn add(&mut self, text: &str) -> Result<(), InvalidField> {
        if text.is_empty() {
            return Err(InvalidField("write the name of a member, or a pointer such as `/a/b`"));
        }
        let Some(pointer) = text.strip_prefix('/') else {
            self.0.push(vec![text.into()]);
            return Ok(());
        };
        if text.split('~').skip(1).any(|after| !after.starts_with(['0', '1'])) {
            return Err(InvalidField("in a pointer, write `~` as `~0` and `/` as `~1`"));
        }
        let unescape = |token: &str| token.replace("~1", "/").replace("~0", "~").into();
        self.0.push(pointer.split('/').map(unescape).collect());
        Ok(())
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body without these fields; `None` when it has none of them.
    ///
    /// # Errors
    ///
    /// [`NotJson`].
    pub fn remove_from(&self, json: &[u8]) -> Result<Option<Vec<u8>>, NotJson> {
        // Settles the grammar, so that the scanner only has to know where things begin and end.
        serde_json::from_slice::<&RawValue>(json).map_err(|_| NotJson)?;
        let mut scanner = Scanner { json, at: 0, fields: self, path: Vec::new(), cuts: Vec::new() };
        scanner.value()?;
        let cuts = scanner.cuts;
        Ok((!cuts.is_empty()).then(|| without(json, cuts)))
    }
}

fn without(json: &[u8], mut cuts: Vec<Range<usize>>) -> Vec<u8> {
    // What is cut within a member that is cut as a whole comes first: order them by place.
    cuts.sort_unstable_by_key(|cut| cut.start);
    let mut kept = Vec::with_capacity(json.len());
    let mut from = 0;
    for cut in cuts {
        kept.extend_from_slice(json.get(from..cut.start).unwrap_or_default());
        from = from.max(cut.end);
    }
    kept.extend_from_slice(json.get(from..).unwrap_or_default());
    kept
}

/// Where the scanner stands within a container.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    /// In the member of this name, escaped, without its quotes.
    Member(&'a [u8]),
    Item(usize),
}

impl Step<'_> {
    fn is(self, token: &str) -> bool {
        match self {
            Self::Member(name) if name.contains(&b'\\') => {
                let quoted = [b"\"", name, b"\""].concat();
                serde_json::from_slice::<String>(&quoted).is_ok_and(|name| name == token)
            }
            Self::Member(name) => name == token.as_bytes(),
            Self::Item(index) => token == "*" || token.parse() == Ok(index),
        }
    }
}

/// Walks over valid JSON and notes what to cut.
#[derive(Debug)]
struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
    fields: &'a FieldPaths,
    path: Vec<Step<'a>>,
    cuts: Vec<Range<usize>>,
}

impl<'a> Scanner<'a> {
    fn value(&mut self) -> Result<(), NotJson> {
        match self.next_byte() {
            Some(b'{') => self.container(b'}'),
            Some(b'[') => self.container(b']'),
            Some(b'"') => self.string().map(|_| ()),
            _ => {
                self.at += self.length_while(|byte| !b" \t\r\n,]}".contains(&byte));
                Ok(())
            }
        }
    }

    /// An object or an array. What is cut takes one comma with it: the one after it, or, at the
    /// end, the one before.
    fn container(&mut self, close: u8) -> Result<(), NotJson> {
        if self.path.len() >= DEPTH_MAX {
            return Err(NotJson);
        }
        self.at += 1;
        let mut kept_end = None;
        let mut cut_start = None;
        let mut end = self.at;
        for index in 0.. {
            if self.next_byte() == Some(close) {
                break;
            }
            let start = self.at;
            let step = if close == b'}' { self.member()? } else { Step::Item(index) };
            self.path.push(step);
            self.value()?;
            end = self.at;
            if self.is_cut() {
                cut_start.get_or_insert(start);
            } else {
                kept_end = Some(end);
                self.cuts.extend(cut_start.take().map(|from| from..start));
            }
            self.path.pop();
            match self.next_byte() {
                Some(b',') => self.at += 1,
                next if next == Some(close) => {}
                _ => return Err(NotJson),
            }
        }
        self.cuts.extend(cut_start.map(|from| kept_end.unwrap_or(from)..end));
        self.at += 1;
        Ok(())
    }

    /// A member's name and the colon after it.
    fn member(&mut self) -> Result<Step<'a>, NotJson> {
        let name = self.string()?;
        if self.next_byte() != Some(b':') {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(Step::Member(name))
    }

    /// A string; its bytes between the quotes.
    fn string(&mut self) -> Result<&'a [u8], NotJson> {
        let rest = self.json.get(self.at + 1..).unwrap_or_default();
        let mut is_escaped = false;
        let end = rest.iter().position(|byte| {
            let is_end = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            is_end
        });
        let text = end.and_then(|end| rest.get(..end)).ok_or(NotJson)?;
        self.at += text.len() + 2;
        Ok(text)
    }

    fn is_cut(&self) -> bool {
        let is_here = |field: &Vec<Box<str>>| {
            let mut pairs = field.iter().zip(&self.path);
            field.len() == self.path.len() && pairs.all(|(token, step)| step.is(token))
        };
        self.fields.0.iter().any(is_here)
    }

    /// The next byte that is not white space; the scanner then stands on it.
    fn next_byte(&mut self) -> Option<u8> {
        self.at += self.length_while(|byte| b" \t\r\n".contains(&byte));
        self.json.get(self.at).copied()
    }

    fn length_while(&self, is_part: impl Fn(u8) -> bool) -> usize {
        let rest = self.json.get(self.at..).unwrap_or_default();
        rest.iter().position(|byte| !is_part(*byte)).unwrap_or(rest.len())
    }
}

#[cfg(test)]
mod tests;
