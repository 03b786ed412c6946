//! Which name was probably meant.

/// The known name nearest to the written one, if it is near enough to be meant: at most every
/// third character differs. Upper case and the kind of dash do not count.
pub(crate) fn nearest<N: AsRef<str>>(
    written: &str,
    known: impl IntoIterator<Item = N>,
) -> Option<String> {
    let folded = |name: &str| name.to_lowercase().replace('-', "_");
    let target = folded(written);
    known
        .into_iter()
        .filter(|name| name.as_ref() != written)
        .filter_map(|name| {
            let name = name.as_ref();
            let other = folded(name);
            let distance = strsim::damerau_levenshtein(&target, &other);
            let length = target.chars().count().max(other.chars().count());
            (distance <= length / 3).then(|| (distance, name.to_owned()))
        })
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_only_when_it_is_near() {
        let known = ["rewrite", "service", "link-service", "public"];
        let cases = [
            ("rewrit", Some("rewrite")),
            ("Rewrite", Some("rewrite")),
            ("sevrice", Some("service")),
            ("link_service", Some("link-service")),
            ("service", None),
            ("upstream", None),
            ("x", None),
            ("", None),
        ];
        for (written, expected) in cases {
            assert_eq!(nearest(written, known).as_deref(), expected, "{written}");
        }
    }

    #[test]
    fn of_equally_near_names_the_first_in_order_is_suggested() {
        assert_eq!(nearest("rat", ["rate2", "rath", "rate"]).as_deref(), Some("rate"));
    }
}
