//! `expose`: which routes to services a gateway offers.
//!
//! Each entry is a name in which `*` stands for any run of characters. A route is offered when an
//! entry names it and no entry with `!` in front does; the order of entries says nothing.

/// Whether the entries offer a route.
pub(crate) fn is_exposed<'a>(entries: impl Iterator<Item = &'a str>, route: &str) -> bool {
    let mut is_named = false;
    for entry in entries {
        match entry.strip_prefix('!') {
            Some(pattern) if is_match(pattern, route) => return false,
            Some(_) => {}
            None => is_named |= is_match(entry, route),
        }
    }
    is_named
}

/// Whether an entry names a route, to offer or to exclude it.
pub(crate) fn names(entry: &str, route: &str) -> bool {
    is_match(entry.strip_prefix('!').unwrap_or(entry), route)
}

fn is_match(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        let cases = [
            ("links-get", "links-get", true),
            ("links-get", "links-get-2", false),
            ("*", "links-get", true),
            ("links-*", "links-get", true),
            ("links-*", "links-", true),
            ("links-*", "links", false),
            ("*-get", "links-get", true),
            ("l*s-*t", "links-get", true),
            ("a*a", "a", false),
            ("a*b*b", "ab", false),
            ("**", "x", true),
            ("", "x", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn an_exclusion_counts_wherever_it_stands() {
        for entries in [["*", "!auth-*"], ["!auth-*", "*"]] {
            assert!(is_exposed(entries.into_iter(), "links-get"));
            assert!(!is_exposed(entries.into_iter(), "auth-login"));
        }
        assert!(!is_exposed(["!auth-*"].into_iter(), "links-get"), "nothing is named");
        assert!(!is_exposed([].into_iter(), "links-get"), "nothing is offered unasked");
    }
}
