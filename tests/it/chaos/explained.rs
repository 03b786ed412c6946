//! What each answer must have been, by the line that its gateway has written of it.

use std::collections::HashMap;

use serde_json::{Value, json};
use tests::harness::{GatewayUnderTest, Harness};

use super::clients::{Answer, End};

/// What may fail, with the codes that may say why.
const FAILURES: [(u16, &[&str]); 6] = [
    (429, &["rate_limited"]),
    (499, &["client_disconnected"]),
    (500, &["upstream_failed"]),
    (
        502,
        &[
            "upstream_unreachable",
            "upstream_broken",
            "upstream_too_large",
            "upstream_body_invalid",
            "part_failed",
            "all_parts_failed",
        ],
    ),
    (
        503,
        &[
            "upstream_failed",
            "upstream_unavailable",
            "upstream_busy",
            "part_unavailable",
            "part_busy",
            "part_overloaded",
            "all_parts_left_out",
            "upstream_overloaded",
            "all_parts_unavailable",
        ],
    ),
    (504, &["upstream_timeout", "deadline_exceeded", "part_timeout", "all_parts_timeout"]),
];

/// Holds every answer against its line, and every line against what may be.
pub(super) async fn check(harness: &Harness, answers: &[Answer]) {
    let mut wrong = Vec::new();
    for gateway in [&harness.web, &harness.mobile, &harness.partner] {
        let page = gateway.metrics().await;
        for counter in ["gateway_panics_total", "gateway_access_log_dropped_total"] {
            assert!(page.contains(&format!("\n{counter} 0\n")), "{}: {page}", gateway.name);
        }
        let lines = lines(gateway).await;
        let own = answers.iter().filter(|answer| answer.gateway == gateway.name);
        for answer in own {
            match lines.get(&answer.request_id) {
                Some(line) => wrong.extend(complaint(answer, line)),
                None => wrong.push(format!("no line: {answer:?}")),
            }
        }
        let strange = lines.values().filter(|line| !is_possible(line));
        wrong.extend(strange.map(|line| format!("{line}")));
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), answers.len());
}

/// All lines of a gateway by their request. The last one is that of a request made just now.
async fn lines(gateway: &GatewayUnderTest) -> HashMap<String, Value> {
    let answer = gateway.get("/the-last-one").send().await.expect("an answer");
    let id = answer.headers()["x-request-id"].to_str().expect("ASCII");
    drop(gateway.line_with(id).await);
    let lines = gateway.lines().into_iter().filter(|line| line["path"] != "/the-last-one");
    lines.map(|line| (line["request_id"].as_str().expect("an id").to_owned(), line)).collect()
}

/// Whether a line says what can have happened: what failed has a code of its status's.
fn is_possible(line: &Value) -> bool {
    let (status, code) = (line["status"].as_u64().unwrap_or_default(), line["code"].as_str());
    if status < 400 {
        return true;
    }
    let known = FAILURES.iter().find(|(known, _)| u64::from(*known) == status);
    known.is_some_and(|(_, codes)| code.is_some_and(|code| codes.contains(&code)))
}

/// What of an answer its line does not explain.
fn complaint(answer: &Answer, line: &Value) -> Option<String> {
    let complain = |what: &str| Some(format!("{what}: {answer:?}: {line}"));
    let code = &line["code"];
    if line["status"] != answer.status {
        return complain("another status");
    }
    match answer.end {
        End::BrokenOff if code != "upstream_broke_off" => return complain("broken off"),
        End::BrokenOff => return None,
        // What it has not read may have been sent to its end, or have broken off before that.
        End::Left => {
            let codes = [json!(null), json!("client_disconnected"), json!("upstream_broke_off")];
            return if codes.contains(code) { None } else { complain("left") };
        }
        End::Whole => {}
    }
    if !answer.is_success {
        let is_explained = code.is_string() && answer.json()["code"] == *code;
        return if is_explained { None } else { complain("another code") };
    }
    if !answer.is_aggregate {
        return if code.is_null() { None } else { complain("a failure that was none") };
    }
    let is_partial =
        ["o=failed", "o=partial", "r=brownout"].iter().any(|what| answer.parts.contains(what));
    let completeness = line["completeness"].as_f64();
    if is_partial != completeness.is_some_and(|share| share < 1.0) && !answer.parts.is_empty() {
        return complain("another share");
    }
    if answer.request.ends_with("x-ndjson") {
        let last = answer.json();
        let share = last["report"]["completeness"].as_f64();
        let is_told = share.map_or(code.is_string(), |share| Some(share) == completeness);
        return if is_told { None } else { complain("another end") };
    }
    None
}
