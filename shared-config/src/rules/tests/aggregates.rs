//! Rules of aggregates and their parts.

use super::check;

#[test]
fn a_part_is_done_within_its_aggregate_s_deadline() {
    let part = |deadline| format!("deadline = \"{deadline}\"");
    let reason =
        "aggregates.dashboard.parts.links.deadline: must be at most the aggregate's, \"800ms\"";
    check(&part("801ms"), "", &[reason]);
    check(&part("800ms"), "", &[]);
}

#[test]
fn a_part_falls_back_to_what_it_declares() {
    let at = "aggregates.dashboard.parts.links";
    check("need = \"fallback\"", "", &[&format!("{at}.need: needs a `fallback` value")]);
    check("need = \"fallback\"\nfallback = []", "", &[]);
    check("fallback = { plan = \"unknown\" }", "", &[]);
    for need in ["required", "optional"] {
        check(
            &format!("need = \"{need}\"\nfallback = 1"),
            "",
            &[&format!("{at}.fallback: is never used, since `need = \"{need}\"`")],
        );
    }
}

#[test]
fn an_aggregate_as_a_whole_is_required_or_says_nothing() {
    let parts = "[aggregates.a.parts.p]\ncall = \"GET links:/x\"";
    let with = |need| format!("[aggregates.a]\ndeadline = \"1s\"\nneed = \"{need}\"\n{parts}");
    check(&with("required"), "", &[]);
    for need in ["optional", "fallback"] {
        let reason = "aggregates.a.need: must be \"required\" or absent; the others are for single \
                      parts";
        check(&with(need), "", &[reason]);
    }
}
