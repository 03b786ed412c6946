//! Looking into JSON that is known to be valid: members by path, the items of a list, texts.
//!
//! Nothing is built: what comes out are slices of what went in.
//!
//! Not here: validating (`json_scan`), choosing what is shown (`projection`).

use std::borrow::Cow;
use std::fmt;

use super::json_scan::{Key, NotJson, Scanner};

/// The way to a member: `items.owner_id`. Empty: the value itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Path(Vec<Box<str>>);

impl Path {
    /// Reads names with `separator` between them; the error is a reason for people.
    pub(super) fn parse(text: &str, separator: char) -> Result<Self, String> {
        let names: Vec<Box<str>> = text.split(separator).map(|name| name.trim().into()).collect();
        if names.iter().any(|name| name.is_empty()) {
            return Err(format!("must be names with \"{separator}\" between them"));
        }
        Ok(Self(names))
    }

    /// The same for what may be nothing at all.
    pub(super) fn parse_rest(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(Self::default()) } else { Self::parse(text, '.') }
    }

    pub(super) fn names(&self) -> &[Box<str>] {
        &self.0
    }

    /// The first name, and the way on from there.
    pub(super) fn split_first(&self) -> Option<(&str, Self)> {
        let (first, rest) = self.0.split_first()?;
        Some((first, Self(rest.to_vec())))
    }

    /// The way to the object around the last name, and that name.
    pub(super) fn split_last(&self) -> Option<(Self, &str)> {
        let (last, before) = self.0.split_last()?;
        Some((Self(before.to_vec()), last))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// The value at `path`, which crosses no array. Of a repeated member the last counts, as most
/// parsers have it.
pub(super) fn lookup<'a>(json: &'a [u8], path: &Path) -> Option<&'a [u8]> {
    path.0.iter().try_fold(json, |value, name| member(value, name).ok().flatten())
}

fn member<'a>(json: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, NotJson> {
    let mut scanner = Scanner::of_valid(json);
    if scanner.peek()? != b'{' {
        return Ok(None);
    }
    let mut found = None;
    let mut has_more = scanner.enter(b'}')?;
    while has_more {
        let is_it = spells(&scanner.key()?, name);
        let value = scanner.value()?;
        if is_it {
            found = Some(value);
        }
        has_more = scanner.more(b'}')?;
    }
    Ok(found)
}

/// The items at `path`: arrays on the way and at its end are crossed, null is no item.
pub(super) fn elements<'a>(json: &'a [u8], path: &Path) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    // Valid JSON is no deeper than the scanner goes, so this does not fail.
    let _ = walk(&mut Scanner::of_valid(json), &path.0, &mut found);
    found
}

fn walk<'a>(
    from: &mut Scanner<'a>,
    path: &[Box<str>],
    found: &mut Vec<&'a [u8]>,
) -> Result<(), NotJson> {
    match (from.peek()?, path) {
        (b'[', _) => {
            let mut has_more = from.enter(b']')?;
            while has_more {
                walk(from, path, found)?;
                has_more = from.more(b']')?;
            }
        }
        (b'{', [name, rest @ ..]) => {
            let mut has_more = from.enter(b'}')?;
            while has_more {
                if spells(&from.key()?, name) {
                    walk(from, rest, found)?;
                } else {
                    from.value()?;
                }
                has_more = from.more(b'}')?;
            }
        }
        _ => {
            let value = from.value()?;
            if path.is_empty() && value != b"null" {
                found.push(value);
            }
        }
    }
    Ok(())
}

/// The text of a string, number or boolean; `None` for null, an object or an array, and for a
/// string that no Rust text holds (an escaped lone surrogate).
pub(super) fn scalar(json: &[u8]) -> Option<Cow<'_, str>> {
    match json.first()? {
        b'"' if json.contains(&b'\\') => serde_json::from_slice(json).ok().map(Cow::Owned),
        b'"' => text(json.get(1..json.len() - 1)?),
        b'-' | b'0'..=b'9' | b't' | b'f' => text(json),
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Option<Cow<'_, str>> {
    std::str::from_utf8(bytes).ok().map(Cow::Borrowed)
}

/// Whether a key spells this name. Most read as they are written, and are not looked at twice.
pub(super) fn spells(key: &Key<'_>, name: &str) -> bool {
    match key.written {
        [b'"', written @ .., b'"'] if key.is_plain => written == name.as_bytes(),
        written => name_of(written) == name,
    }
}

/// The name that a key with its quotes spells. An escaped lone surrogate spells nothing that a
/// declaration could name.
pub(super) fn name_of(key: &[u8]) -> Cow<'_, str> {
    if key.contains(&b'\\') {
        return serde_json::from_slice(key).unwrap_or_default();
    }
    text(key.get(1..key.len().saturating_sub(1)).unwrap_or_default()).unwrap_or_default()
}

/// Appends a text as a JSON string.
pub(super) fn push_string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse_rest(text).expect(text)
    }

    #[test]
    fn a_path_leads_to_a_member_and_crosses_no_array() {
        let json = br#"{"a":{"b":[1],"n":9007199254740993},"a\u0062":1,"x":1,"x":2}"#;
        for (at, expected) in [
            ("a.n", Some("9007199254740993")),
            ("a.b", Some("[1]")),
            ("a.b.c", None),
            ("ab", Some("1")),
            ("x", Some("2")),
            ("nothing", None),
        ] {
            assert_eq!(lookup(json, &path(at)), expected.map(str::as_bytes), "{at}");
        }
        assert_eq!(lookup(b" 1 ", &Path::default()), Some(&b" 1 "[..]));
    }

    #[test]
    fn items_are_found_across_arrays_in_their_order() {
        let json = br#"{"items":[{"id":1,"tags":["a","b"]},[{"id":2}],null,3],"n":5}"#;
        let found = |at: &str| {
            let found = elements(json, &path(at));
            found.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("items"), [r#"{"id":1,"tags":["a","b"]}"#, r#"{"id":2}"#, "3"]);
        assert_eq!(found("items.id"), ["1", "2"]);
        assert_eq!(found("items.tags"), [r#""a""#, r#""b""#]);
        assert_eq!(found("n"), ["5"]);
        assert!(found("items.none").is_empty() && found("n.x").is_empty());
    }

    #[test]
    fn a_scalar_has_a_text_and_nothing_else_has() {
        for (json, expected) in [
            (r#""a/b""#, Some("a/b")),
            (r#""\u00e9\n""#, Some("é\n")),
            ("1e400", Some("1e400")),
            ("true", Some("true")),
            ("null", None),
            ("{}", None),
            ("[1]", None),
            (r#""\ud800""#, None),
        ] {
            assert_eq!(scalar(json.as_bytes()).as_deref(), expected, "{json}");
        }
    }
}
