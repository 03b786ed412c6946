//! What the tests of this module share: declarations, and JSON texts of every shape.

use std::time::Duration;

use proptest::prelude::*;

use super::plan::{Caps, PartSource, PlanSource};
use crate::principal::{IdentityText, Principal, Scheme};

/// `[aggregates.dashboard]` with these parts, 800 ms, and the ceilings of the embedded defaults.
pub(super) fn aggregate(parts: Vec<PartSource>) -> PlanSource {
    let caps = Caps {
        parts_max: 32,
        concurrent_calls_max: 64,
        part_size_max: 4 << 20,
        answer_size_max: 16 << 20,
        items_max: 1_000,
    };
    PlanSource {
        aggregate: "dashboard".into(),
        deadline: Duration::from_millis(800),
        is_all_or_nothing: false,
        parts,
        caps,
        response_headers: Vec::new(),
        set_cookies: Vec::new(),
        brownout_weight_max: 1,
        reserved_headers: vec!["x-user-id".into()],
    }
}

/// A part that says nothing but its call.
pub(super) fn part(name: &str, call: &str) -> PartSource {
    PartSource { name: name.into(), call: call.into(), weight: 1, ..PartSource::default() }
}

/// A caller without a role or a tenant.
pub(super) fn principal(user_id: &str) -> Principal {
    let text = |text| IdentityText::parse(text).expect("visible");
    Principal {
        scheme: Scheme::Jwt,
        user_id: text(user_id),
        role: None,
        roles: Vec::new(),
        tenant: None,
        tier: text("pro"),
        scopes: Vec::new(),
        credential_id: None,
        expires_at: None,
    }
}

/// Names that documents and fields draw from, few enough to meet; one is written with an escape.
pub(super) const NAMES: [&str; 5] = ["a", "b", "c", "id", "näme"];

/// A key as a document may write it: `id` also with an escape.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(&NAMES[..]).prop_map(|name| format!("\"{name}\"")),
        Just(r#""i\u0064""#.to_owned()),
    ]
}

fn space() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["", "", "", " ", "\n\t"][..])
}

/// The text of one JSON value, with whitespace, escapes, and numbers that no machine type holds.
pub(super) fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        proptest::sample::select(
            &[
                "null",
                "true",
                "false",
                "0",
                "-0.10",
                "9007199254740993",
                "1e300",
                r#""a/b?c=d&e""#,
                r#""\"\\\u00e9""#,
                "\"plain text that is longer than eight bytes: é\"",
                "{}",
                "[ ]",
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    scalar.prop_recursive(5, 40, 5, |inner| {
        let member = (space(), key(), space(), space(), inner.clone(), space())
            .prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"));
        let element = (space(), inner, space()).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        prop_oneof![
            proptest::collection::vec(member, 1..5)
                .prop_map(|members| format!("{{{}}}", members.join(","))),
            proptest::collection::vec(element, 1..5)
                .prop_map(|elements| format!("[{}]", elements.join(","))),
        ]
    })
}
