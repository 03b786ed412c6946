//! The five parts of an answer: what their services send, 7.6 KiB of JSON together.

use serde_json::{Map, Value};

/// A part, which has a service of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// Its member in the answer, its service, and its path there.
    pub(super) name: &'static str,
    text: &'static str,
}

/// In the order of the answer.
pub(super) const ALL: [Part; 5] = [
    Part { name: "profile", text: include_str!("../../bench/parts/profile.json") },
    Part { name: "links", text: include_str!("../../bench/parts/links.json") },
    Part { name: "clicks", text: include_str!("../../bench/parts/clicks.json") },
    Part { name: "usage", text: include_str!("../../bench/parts/usage.json") },
    Part { name: "hooks", text: include_str!("../../bench/parts/hooks.json") },
];

impl Part {
    /// What its service sends.
    pub(super) fn json(self) -> &'static str {
        self.text.trim_end()
    }
}

/// The answer that every peer must give.
pub(super) fn whole() -> serde_json::Result<Value> {
    let member = |part: Part| Ok((part.name.to_owned(), serde_json::from_str(part.json())?));
    ALL.into_iter().map(member).collect::<serde_json::Result<Map<_, _>>>().map(Value::Object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_have_half_a_kibibyte_to_four_and_7_6_together() {
        let sizes = ALL.map(|part| part.json().len());
        assert!(sizes.iter().all(|size| (512..=4_096).contains(size)), "{sizes:?}");
        assert_eq!(sizes.iter().sum::<usize>(), 7_782);
        assert_eq!(whole().expect("JSON").as_object().map(Map::len), Some(5));
    }
}
