//! Merging: what becomes of two values that claim one place.
//!
//! Not here: who claims which place (`place`).

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
            let mut merged = members(earlier)?;
            for (key, value) in members(later)? {
                add(&mut merged, key, value, policy)?;
            }
            Ok(object(&merged))
        }
        (Policy::Concat, Some(b'['), Some(b'[')) => Ok(joined(earlier, later)),
        _ => Ok(later.to_vec()),
    }
}

/// A member: its key with quotes, and its value.
pub(super) type Member<'a> = (&'a [u8], std::borrow::Cow<'a, [u8]>);

/// The members of an object; none of anything else.
pub(super) fn members(json: &[u8]) -> Result<Vec<Member<'_>>, NotJson> {
    let mut scanner = Scanner::of_valid(json);
    let mut members = Vec::new();
    if scanner.peek()? != b'{' {
        return Ok(members);
    }
    let mut has_more = scanner.enter(b'}')?;
    while has_more {
        let key = scanner.key()?;
        members.push((key, scanner.value()?.into()));
        has_more = scanner.more(b'}')?;
    }
    Ok(members)
}

/// Adds a member, or settles it with the one that has its name.
pub(super) fn add<'a>(
    members: &mut Vec<Member<'a>>,
    key: &'a [u8],
    value: std::borrow::Cow<'a, [u8]>,
    policy: Policy,
) -> Result<(), NotJson> {
    let name = name_of(key);
    match members.iter_mut().find(|(known, _)| name_of(known) == name) {
        Some((_, known)) => *known = merge(known, &value, policy)?.into(),
        None => members.push((key, value)),
    }
    Ok(())
}

/// An object of these members.
pub(super) fn object(members: &[Member<'_>]) -> Vec<u8> {
    let mut json = vec![b'{'];
    for (place, (key, value)) in members.iter().enumerate() {
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
