//! Rules of `[traces]`.

use super::check;
use crate::testing::{Files, GATEWAY, PLATFORM};

#[test]
fn a_collector_has_a_whole_url_and_batches_that_fit_into_the_queue() {
    let shape = "traces.endpoint: must be the whole URL of a collector, such as \
                 \"http://127.0.0.1:4318/v1/traces\"";
    let with = |line: &str| format!("[traces]\n{line}");
    check("", &with("endpoint = \"https://otlp.example.com/v1/traces\""), &[]);
    check("", &with("endpoint = \"collector:4318\""), &[shape]);
    check(
        "",
        &with("endpoint = \"https://user:hunter2@otlp.example.com\""),
        &["traces.endpoint: must not hold a user name or password"],
    );
    check("", &with("queue_max = 8\nbatch_max = 8"), &[]);
    let reason = "traces.batch_max: is above `traces.queue_max`: no batch would ever be full";
    check("", &with("queue_max = 7\nbatch_max = 8"), &[reason]);
    check("", &with("interval = \"0s\""), &["traces.interval: must be longer than nothing"]);
    check("", &with("timeout = \"0s\""), &["traces.timeout: must be longer than nothing"]);
}

#[test]
fn the_share_of_recorded_requests_is_from_none_to_all() {
    for (ratio, is_right) in
        [("0", true), ("0.5", true), ("1", true), ("1.1", false), ("-1", false)]
    {
        let gateway = format!("{GATEWAY}[traces]\nratio = {ratio}\n");
        let found = Files::new(PLATFORM, &gateway).mistakes(&[]);
        assert_eq!(found == "none", is_right, "{ratio}: {found}");
        assert_eq!(found.contains("traces.ratio"), !is_right, "{ratio}: {found}");
    }
}
