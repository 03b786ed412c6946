//! The published vectors, step by step, and what must hold for any sequence of calls.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::headers::{self, Applied};
use super::*;
use crate::clock::{Moment, Timestamp};
use crate::error::{Refusal as _, Refused};
use crate::exchange::RequestId;

fn vectors(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).expect("JSON");
    file["cases"].as_array().expect("cases").clone()
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).expect("in range")
}

/// A moment well above zero, so that clocks of any start are covered.
fn moment(now_us: u64) -> Moment {
    Moment::from_micros(10_000_000_000 + now_us)
}

#[test]
fn every_step_of_the_published_sequences_comes_out_as_published() {
    for case in vectors(include_str!("vectors/gcra.json")) {
        let name = case["name"].as_str().expect("a name");
        let (limit, burst) = (number(&case["limit"]), number(&case["burst"]));
        let period = Duration::from_micros(number(&case["period_us"]));
        let quota = Quota::build(limit as u32, period, burst as u32).expect("a quota");
        let mut bucket = Bucket::default();
        for (place, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
            let (now, cost) = (moment(number(&step["now_us"])), number(&step["cost"]) as u32);
            let state = bucket.peek(&quota, cost, now);
            if state.is_admitted {
                bucket.take(&quota, cost, now);
            }
            let at = format!("{name}, step {place}: {state:?}");
            assert_eq!(state.is_admitted, step["allowed"], "{at}");
            assert_eq!(u64::from(state.remaining), number(&step["remaining"]), "{at}");
            assert_eq!(micros(state.reset_after), number(&step["reset_after_us"]), "{at}");
            match &step["retry_after_us"] {
                Value::Null => assert_eq!(state.retry_after, None, "{at}"),
                wait => {
                    assert_eq!(micros(state.retry_after.unwrap_or_default()), number(wait), "{at}")
                }
            }
            let t = state.grows_after.map(|after| headers::whole_seconds(after).max(1));
            assert_eq!(t, step["RateLimit_t"].as_u64(), "{at}");
        }
    }
}

/// Whether a value is a list of items whose names are strings and whose numbers are in range.
fn is_draft_valid(value: &str) -> bool {
    let Ok(list) = sfv::Parser::new(value).parse::<sfv::List>() else { return false };
    list.iter().all(|entry| {
        let sfv::ListEntry::Item(item) = entry else { return false };
        let whole = |key: &str| match item.params.get(key) {
            Some(sfv::BareItem::Integer(number)) => Some(i64::from(*number)),
            _ => None,
        };
        let is_present = |key: &str| item.params.get(key).is_some();
        let is_policy = whole("q").is_some_and(|q| q >= 0)
            && (!is_present("w") || whole("w").is_some_and(|w| w > 0));
        let is_state = whole("r").is_some_and(|r| r >= 0);
        matches!(item.bare_item, sfv::BareItem::String(_)) && (is_policy || is_state)
    })
}

#[test]
fn the_published_header_values_are_judged_as_published() {
    for case in vectors(include_str!("vectors/ratelimit-headers.json")) {
        let value = case["value"].as_str().expect("a value");
        assert_eq!(is_draft_valid(value), case["draft10_valid"], "{value}");
    }
}

struct Limit {
    name: Arc<str>,
    policy: String,
    quota: Quota,
}

impl Limit {
    fn new(name: &str, limit: u32, period_s: u64, burst: u32) -> Self {
        let quota = Quota::build(limit, Duration::from_secs(period_s), burst).expect("a quota");
        Self { name: name.into(), policy: headers::policy(name, &quota), quota }
    }

    /// This limit when `taken` were taken from its full bucket, asked for `cost` more.
    fn applied(&self, taken: u32, cost: u32) -> Applied<'_> {
        let mut bucket = Bucket::default();
        bucket.take(&self.quota, taken, moment(0));
        let state = bucket.peek(&self.quota, cost, moment(0));
        Applied { name: &self.name, policy: &self.policy, quota: &self.quota, state }
    }
}

/// What the limits make of an answer, one field a line.
#[track_caller]
fn check_fields(applied: &[Applied<'_>], expected: &[&str]) {
    let mut out = Vec::new();
    headers::write(applied, &mut out);
    let line = |(name, value): &(http::HeaderName, http::HeaderValue)| {
        format!("{name}: {}", value.to_str().expect("ASCII"))
    };
    assert_eq!(out.iter().map(line).collect::<Vec<_>>(), expected);
}

#[test]
fn the_tightest_limit_is_reported_and_every_policy_listed() {
    let hourly = Limit::new("hourly", 1_000, 3_600, 1_000);
    let by_minute = Limit::new("by-minute", 10, 60, 10);
    let policies = r#"ratelimit-policy: "hourly";q=1000;w=3600, "by-minute";q=10;w=60"#;
    check_fields(
        &[hourly.applied(0, 1), by_minute.applied(0, 1)],
        &[policies, r#"ratelimit: "by-minute";r=9;t=6"#],
    );
    // The share that is left counts, not the number.
    check_fields(
        &[hourly.applied(949, 1), by_minute.applied(0, 1)],
        &[policies, r#"ratelimit: "hourly";r=50;t=4"#],
    );
    // Of equal shares, the one that takes longer to be full, wherever it stands.
    let reported = r#"ratelimit: "hourly";r=500;t=4"#;
    let (hour, minute) = (hourly.applied(499, 1), by_minute.applied(4, 1));
    check_fields(&[hour, minute], &[policies, reported]);
    let policies = r#"ratelimit-policy: "by-minute";q=10;w=60, "hourly";q=1000;w=3600"#;
    check_fields(&[minute, hour], &[policies, reported]);
}

#[test]
fn a_full_bucket_has_no_t_and_r_never_exceeds_q() {
    let large_burst = Limit::new("burst", 10, 60, 40);
    let policy = r#"ratelimit-policy: "burst";q=10;w=60"#;
    check_fields(&[large_burst.applied(0, 0)], &[policy, r#"ratelimit: "burst";r=10"#]);
    check_fields(&[large_burst.applied(35, 1)], &[policy, r#"ratelimit: "burst";r=4;t=6"#]);
}

#[test]
fn a_request_that_no_limit_was_charged_for_has_no_fields() {
    check_fields(&[], &[]);
}

#[test]
fn a_refusal_names_what_was_violated_and_the_longest_wait() {
    let hourly = Limit::new("hourly", 60, 3_600, 60);
    let by_minute = Limit::new("by-minute", 10, 60, 10);
    let unharmed = Limit::new("unharmed", 1_000_000, 60, 1_000_000);
    let applied = [hourly.applied(60, 1), unharmed.applied(1, 1), by_minute.applied(10, 1)];
    let request_id = RequestId::generate(Timestamp::from_unix_seconds(1_700_000_000));
    let response = Refused::from(RateLimited::of(&applied)).to_response(&request_id);
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "60");
    assert_eq!(response.headers()["ratelimit"], r#""hourly";r=0;t=60"#);
    assert_eq!(
        response.headers()["ratelimit-policy"],
        r#""hourly";q=60;w=3600, "unharmed";q=1000000;w=60, "by-minute";q=10;w=60"#
    );
    let body: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(body["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(body["code"], "rate_limited");
    assert_eq!(body["detail"], "Try again in 60 seconds.");
    assert_eq!(body["violated-policies"], serde_json::json!(["hourly", "by-minute"]));
}

#[test]
fn a_refusal_reports_a_limit_that_was_violated_even_if_another_has_less_left() {
    let (nearly_spent, violated) = (Limit::new("a", 100, 60, 100), Limit::new("b", 10, 60, 10));
    let mut fields = http::HeaderMap::new();
    RateLimited::of(&[nearly_spent.applied(98, 1), violated.applied(7, 5)])
        .add_headers(&mut fields);
    assert_eq!(fields["ratelimit"], r#""b";r=3;t=6"#);
    assert_eq!(fields["retry-after"], "12");
}

#[test]
fn a_call_that_costs_more_than_the_burst_is_not_told_to_wait() {
    let (small, spent) = (Limit::new("small", 10, 60, 5), Limit::new("spent", 10, 60, 10));
    let refused = RateLimited::of(&[spent.applied(10, 1), small.applied(0, 6)]);
    let mut fields = http::HeaderMap::new();
    refused.add_headers(&mut fields);
    assert_eq!(fields.get("retry-after"), None, "waiting for the other limit does not help");
    assert!(refused.detail().contains("ever"), "{}", refused.detail());
}

#[test]
fn a_limit_that_was_lowered_still_says_the_true_wait_for_an_old_debt() {
    let [before, after] = [100, 10].map(|limit| {
        Quota::build(limit, Duration::from_secs(limit.into()), limit).expect("a quota")
    });
    let mut bucket = Bucket::default();
    bucket.take(&before, 100, moment(0));
    let state = bucket.peek(&after, 1, moment(0));
    let wait = Some(Duration::from_secs(91));
    assert_eq!((state.remaining, state.grows_after, state.retry_after), (0, wait, wait));
    assert!(bucket.peek(&after, 1, moment(91_000_000)).is_admitted);
}

proptest! {
    #[test]
    fn no_window_ever_sees_more_than_the_burst_and_what_was_earned(
        limit in 1_u32..50,
        burst in 1_u32..50,
        gaps in proptest::collection::vec(0_u64..3_000_000, 1..200),
    ) {
        let quota = Quota::build(limit, Duration::from_secs(10), burst).expect("a quota");
        let (mut bucket, mut now_us, mut admitted) = (Bucket::default(), 0, Vec::new());
        for gap in gaps {
            now_us += gap;
            if bucket.peek(&quota, 1, moment(now_us)).is_admitted {
                bucket.take(&quota, 1, moment(now_us));
                admitted.push(now_us);
            }
        }
        for (first, start) in admitted.iter().enumerate() {
            for (last, end) in admitted.iter().enumerate().skip(first) {
                let earned = u64::from(limit) * (end - start) / 10_000_000;
                let count = u64::try_from(last - first + 1).expect("small");
                prop_assert!(count <= u64::from(burst) + earned);
            }
        }
    }

    #[test]
    fn who_waits_as_told_is_admitted_and_a_microsecond_less_is_not(
        limit in 1_u32..100,
        burst in 1_u32..20,
        cost in 1_u32..20,
        taken in 0_u32..40,
    ) {
        let quota = Quota::build(limit, Duration::from_secs(60), burst).expect("a quota");
        let mut bucket = Bucket::default();
        for _ in 0..taken {
            if bucket.peek(&quota, 1, moment(0)).is_admitted {
                bucket.take(&quota, 1, moment(0));
            }
        }
        let state = bucket.peek(&quota, cost, moment(0));
        prop_assert_eq!(state.retry_after.is_none(), state.is_admitted || cost > burst);
        if let Some(wait) = state.retry_after {
            prop_assert!(bucket.peek(&quota, cost, moment(micros(wait))).is_admitted);
            prop_assert!(!bucket.peek(&quota, cost, moment(micros(wait) - 1)).is_admitted);
        }
    }

    #[test]
    fn what_a_client_reads_is_well_formed_and_consistent(
        name in ".{0,20}",
        limit in 1_u32..1_000_000,
        period_s in 1_u64..100_000,
        burst in 1_u32..1_000_000,
        taken in 0_u32..1_000_000,
        cost in 1_u32..10,
    ) {
        let limit = Limit::new(&name, limit, period_s, burst);
        let applied = limit.applied(taken.min(burst), cost);
        let mut out = Vec::new();
        headers::write(&[applied], &mut out);
        let mut fields: http::HeaderMap = out.into_iter().collect();
        if !applied.state.is_admitted {
            let admitted = fields.clone();
            RateLimited::of(&[applied]).add_headers(&mut fields);
            prop_assert_eq!(&admitted["ratelimit"], &fields["ratelimit"]);
        }
        let number = |field: &str, key: &str| {
            let text = fields[field].to_str().expect("ASCII");
            assert!(is_draft_valid(text), "{text}");
            let list = sfv::Parser::new(text).parse::<sfv::List>().expect("a list");
            let sfv::ListEntry::Item(item) = &list[0] else { panic!("no item: {text}") };
            let whole = item.params.get(key)?.as_integer().expect("whole");
            Some(u64::try_from(i64::from(whole)).expect("not negative"))
        };
        let (q, w) = (number("ratelimit-policy", "q"), number("ratelimit-policy", "w"));
        prop_assert_eq!(w, Some(period_s));
        let (r, t) = (number("ratelimit", "r"), number("ratelimit", "t"));
        prop_assert!(r <= q);
        prop_assert!(r > Some(0) || t >= Some(1), "nothing left, and nothing said of when");
        if let Some(field) = fields.get("retry-after") {
            let wait: u64 = field.to_str().expect("ASCII").parse().expect("seconds");
            prop_assert!(wait >= t.expect("a bucket that refuses is not full"));
            let mut bucket = Bucket::default();
            bucket.take(&limit.quota, taken.min(burst), moment(0));
            prop_assert!(bucket.peek(&limit.quota, cost, moment(wait * 1_000_000)).is_admitted);
        }
    }
}
