//! Rules of limits: that they exist, whose buckets they are, rates by tier.

use super::check;
use crate::testing::{Files, GATEWAY, PLATFORM};

#[test]
fn a_limit_of_the_policy_exists() {
    let platform = PLATFORM.replace("limits = [\"consumer\"]", "limits = [\"consumr\"]");
    let files = Files::new(&platform, GATEWAY);
    let expected = "platform.toml:10: policy.limits[0] = \"consumr\"\n    names no limit; did you mean \
                    `consumer`?\n\n1 error";
    assert_eq!(files.mistakes(&[]), expected);
}

#[test]
fn rates_by_tier_are_for_consumers_and_cover_the_default_tier() {
    check(
        "[limits.a]\nkey = \"consumer\"\nrate = { pro = \"1/s\" }",
        "",
        &["limits.a.rate: lacks a rate for \"free\", the tier of whoever has no other"],
    );
    for key in ["address", "anonymous"] {
        check(
            &format!("[limits.a]\nkey = \"{key}\"\nrate = {{ free = \"1/s\" }}"),
            "",
            &[
                "limits.a.rate: must be one rate: only a limit with `key = \"consumer\"` knows the tier",
            ],
        );
    }
}

#[test]
fn a_bucket_of_several_things_is_made_of_known_ones() {
    let limit = |text: &str| format!("[limits.x]\nkey = {text}\n");
    let one = "rate = \"1/s\"";
    check(&format!("{}{one}", limit("[\"address\", \"body.email\"]")), "", &[]);
    let reason = "must be \"address\", \"consumer\" or \"body.\" and a member's name";
    for part in ["anonymous", "body.", "header.x"] {
        let written = format!("{}{one}", limit(&format!("[\"address\", \"{part}\"]")));
        check(&written, "", &[&format!("limits.x.key[1]: {reason}")]);
    }
    check(&format!("{}{one}", limit("[]")), "", &["limits.x.key: must not be empty"]);
    let by_tier = "rate = { free = \"1/s\" }";
    let reason = "limits.x.rate: must be one rate: only a limit with `key = \"consumer\"` knows \
                  the tier";
    check(&format!("{}{by_tier}", limit("[\"address\"]")), "", &[reason]);
    check(&format!("{}{by_tier}", limit("[\"consumer\", \"body.x\"]")), "", &[]);
}
