//! Merging: what becomes of two values that claim one place.
//!
//! Not here: who claims which place (`place`).

use std::borrow::Cow;
use std::collections::HashMap;

use super::json_scan::{NotJson, Scanner};
use super::values::name_of;

/// What happens where a value stands already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The earlier one stays.
    First,
    /// The later one stays.
    Last,
    /// Objects are merged, member by member; of anything else the later one stays.
    Deep,
    /// Arrays are joined; of anything else the later one stays.
    Concat,
}

/// The value that stands where `earlier` and `later` want to. Both are valid JSON; what is kept of
/// them keeps its bytes.
pub(super) fn merge(earlier: &[u8], later: &[u8], policy: Policy) -> Result<Vec<u8>, NotJson> {
    match (policy, earlier.first(), later.first()) {
        (Policy::First, ..) => Ok(earlier.to_vec()),
        (Policy::Deep, Some(b'{'), Some(b'{')) => {
            let mut merged = Object::default();
            for (key, value) in members(earlier)?.into_iter().chain(members(later)?) {
                merged.add(key, value, policy)?;
            }
            Ok(merged.write())
        }
        (Policy::Concat, Some(b'['), Some(b'[')) => Ok(joined(earlier, later)),
        _ => Ok(later.to_vec()),
    }
}

/// A member: its key with quotes, and its value.
pub(super) type Member<'a> = (&'a [u8], Cow<'a, [u8]>);

/// The members of an object; none of anything else.
pub(super) fn members(json: &[u8]) -> Result<Vec<Member<'_>>, NotJson> {
    let mut scanner = Scanner::of_valid(json);
    let mut members = Vec::new();
    if scanner.peek()? != b'{' {
        return Ok(members);
    }
    let mut has_more = scanner.enter(b'}')?;
    while has_more {
        let key = scanner.key()?.written;
        members.push((key, scanner.value()?.into()));
        has_more = scanner.more(b'}')?;
    }
    Ok(members)
}

/// An object that is put together: no name twice, members in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Object<'a> {
    members: Vec<Member<'a>>,
    /// Where a name stands. A service decides how many there are, so none is searched for.
    places: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Object<'a> {
    /// Adds a member, or settles it with the one that has its name.
    pub(super) fn add(
        &mut self,
        key: &'a [u8],
        value: Cow<'a, [u8]>,
        policy: Policy,
    ) -> Result<(), NotJson> {
        let next = self.members.len();
        let place = *self.places.entry(name_of(key)).or_insert(next);
        match self.members.get_mut(place) {
            Some((_, known)) => *known = merge(known, &value, policy)?.into(),
            None => self.members.push((key, value)),
        }
        Ok(())
    }

    /// The value under a key with its quotes.
    pub(super) fn value(&self, key: &[u8]) -> Option<&[u8]> {
        let place = *self.places.get(&name_of(key))?;
        self.members.get(place).map(|(_, value)| &**value)
    }

    /// Its text.
    pub(super) fn write(&self) -> Vec<u8> {
        write(self.members.iter().map(|(key, value)| (*key, &**value)))
    }
}

/// An object of these members.
pub(super) fn write<'a>(members: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut json = vec![b'{'];
    for (place, (key, value)) in members.enumerate() {
        if place > 0 {
            json.push(b',');
        }
        json.extend_from_slice(key);
        json.push(b':');
        json.extend_from_slice(value);
    }
    json.push(b'}');
    json
}

fn joined(earlier: &[u8], later: &[u8]) -> Vec<u8> {
    let inside = |list: &[u8]| {
        let inner = list.get(1..list.len().saturating_sub(1)).unwrap_or_default();
        inner.trim_ascii().to_vec()
    };
    let (earlier, later) = (inside(earlier), inside(later));
    let comma: &[u8] = if earlier.is_empty() || later.is_empty() { b"" } else { b"," };
    [b"[", &*earlier, comma, &later, b"]"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_become_one_by_the_policy() {
        for (policy, earlier, later, expected) in [
            (Policy::First, "1", "2", "1"),
            (Policy::Last, "1", "2", "2"),
            (
                Policy::Deep,
                r#"{"a":{"x":1},"b":1}"#,
                r#"{"a":{"y":1e400},"b":2}"#,
                r#"{"a":{"x":1,"y":1e400},"b":2}"#,
            ),
            (Policy::Deep, "[1]", "[2]", "[2]"),
            (Policy::Deep, r#"{"a":1}"#, "null", "null"),
            (Policy::Deep, r#"{"i\u0064":1}"#, r#"{"id":2}"#, r#"{"i\u0064":2}"#),
            (Policy::Concat, "[ 1 ]", "[2, 3]", "[1,2, 3]"),
            (Policy::Concat, "[]", "[2]", "[2]"),
            (Policy::Concat, "[1]", "[ ]", "[1]"),
            (Policy::Concat, "{}", "[2]", "[2]"),
        ] {
            let merged = merge(earlier.as_bytes(), later.as_bytes(), policy).expect("valid");
            assert_eq!(String::from_utf8_lossy(&merged), expected, "{policy:?} {earlier} {later}");
        }
    }
}
