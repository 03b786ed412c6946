//! Queries: reading one parameter, and taking some out without touching the rest.
//!
//! Names are compared decoded, as servers read them (`tenant%5Fid` and `tenant_id` are one name, `+`
//! is a space); what stays, stays as it was written, in its order.

use std::borrow::Cow;

use percent_encoding::percent_decode;

/// The value of the first parameter of that name, decoded. `None` when there is none, or when it is
/// not UTF-8.
#[must_use]
pub fn value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(key, _)| is_named(key, name))?;
    decode(value)
}

/// The query without the parameters of these names, however they are written.
///
/// Some servers take `;` for `&`; so a parameter that has one of the names after a `;` goes too.
#[must_use]
pub fn without(query: &str, names: &[Box<str>]) -> String {
    let has_name = |part: &str| {
        let key = part.split_once('=').map_or(part, |(key, _)| key);
        names.iter().any(|name| is_named(key, name))
    };
    let mut kept = String::with_capacity(query.len());
    for pair in query.split('&').filter(|pair| !pair.split(';').any(has_name)) {
        push(&mut kept, pair);
    }
    kept
}

/// Appends a parameter, or several, with a `&` where one is needed.
pub fn push(query: &mut String, pair: &str) {
    if !query.is_empty() && !pair.is_empty() {
        query.push('&');
    }
    query.push_str(pair);
}

fn is_named(key: &str, name: &str) -> bool {
    key == name || (key.contains(['%', '+']) && decode(key).is_some_and(|key| key == name))
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return percent_decode(text.as_bytes()).decode_utf8().ok();
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_first_of_its_name_decoded() {
        for (query, expected) in [
            ("x=1", Some("1")),
            ("y=1&x=2&x=3", Some("2")),
            ("x", Some("")),
            ("%78=a+b%2B", Some("a b+")),
            ("x=%ff", None),
            ("X=1&xx=2", None),
            ("", None),
        ] {
            assert_eq!(value(query, "x").as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn a_parameter_is_taken_out_in_every_spelling_and_the_rest_keeps_its_bytes() {
        let names = ["tenant_id".into(), "a b".into()];
        for (query, expected) in [
            ("tenant_id=1", ""),
            ("x=1&tenant_id=1&y=%7e&tenant_id=2", "x=1&y=%7e"),
            ("tenant%5fid=1&%74enant_id", ""),
            ("a+b=1&a%20b=2&ab=3", "ab=3"),
            ("x=1;tenant_id=2&y=3;z", "y=3;z"),
            ("tenant_id_2=1&Tenant_id=2", "tenant_id_2=1&Tenant_id=2"),
            ("&&x=1&", "x=1"),
            ("b=2&a=1&b=+", "b=2&a=1&b=+"),
        ] {
            assert_eq!(without(query, &names), expected, "{query}");
        }
    }
}
