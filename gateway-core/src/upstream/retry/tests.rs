//! Which outcomes are worth another attempt, and when it begins.

use http::{HeaderValue, Response};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::body::Body;

fn policy() -> RetryPolicy {
    RetryPolicy {
        attempts_max: 3,
        statuses: [502, 503, 504].map(|status| StatusCode::from_u16(status).expect("one")).into(),
        methods: None,
        backoff_base: Duration::from_millis(100),
        backoff_max: Duration::from_millis(250),
        per_try_timeout: None,
        replay_size_max: 1_024,
    }
}

fn answer(status: u16, retry_after: Option<&'static str>) -> Result<Answer, CallFailed> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::from_u16(status).expect("one");
    let value = retry_after.map(HeaderValue::from_static);
    response.headers_mut().extend(value.map(|value| (header::RETRY_AFTER, value)));
    Ok(Answer { response, attempts: 1 })
}

fn made(outcome: &Result<Answer, CallFailed>) -> Made<'_> {
    let (time_left, typical) = (Duration::from_secs(10), Duration::ZERO);
    Made { attempt: 1, outcome, time_left, typical }
}

fn chance() -> StdRng {
    StdRng::seed_from_u64(7)
}

#[test]
fn only_what_may_come_twice_is_repeated() {
    let with_key: HeaderMap =
        [(IDEMPOTENCY_KEY, HeaderValue::from_static("k"))].into_iter().collect();
    let only_get = RetryPolicy { methods: Some(vec![Method::GET]), ..policy() };
    let check = |policy: &RetryPolicy, method, headers: &HeaderMap, expected| {
        assert_eq!(policy.may_repeat(&method, headers), expected, "{method} {headers:?}");
    };
    let none = HeaderMap::new();
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE] {
        check(&policy(), method, &none, true);
    }
    for method in [Method::POST, Method::PATCH] {
        check(&policy(), method.clone(), &none, false);
        check(&policy(), method, &with_key, true);
    }
    check(&only_get, Method::GET, &none, true);
    check(&only_get, Method::DELETE, &none, false);
    check(&only_get, Method::POST, &with_key, false);
}

#[test]
fn what_went_wrong_on_the_way_or_is_listed_is_worth_another_attempt() {
    let broken = || Box::<dyn std::error::Error + Send + Sync>::from("broken");
    let second = Duration::from_secs(1);
    for (outcome, is_repeated) in [
        (answer(200, None), false),
        (answer(404, None), false),
        (answer(500, None), false),
        (answer(502, None), true),
        (answer(503, None), true),
        (answer(504, None), true),
        (Err(CallFailed::Unreachable(broken())), true),
        (Err(CallFailed::ConnectTimedOut(second)), true),
        (Err(CallFailed::Broken(broken())), true),
        (Err(CallFailed::ResponseTimedOut(second)), false),
        (Err(CallFailed::TooLarge(1)), false),
        (Err(CallFailed::Busy(1)), false),
        (Err(CallFailed::BodyBroken(broken())), false),
    ] {
        let next = policy().next(&made(&outcome), &mut chance());
        assert_eq!(matches!(next, Next::After(_)), is_repeated, "{outcome:?}");
        let last = policy().next(&Made { attempt: 3, ..made(&outcome) }, &mut chance());
        let expected = if is_repeated { Next::UsedUp } else { Next::Settled };
        assert_eq!(last, expected, "the last: {outcome:?}");
    }
}

#[test]
fn only_an_answer_that_is_no_failure_is_a_success() {
    let second = Duration::from_secs(1);
    let policy = RetryPolicy { statuses: vec![StatusCode::TOO_MANY_REQUESTS], ..policy() };
    for (outcome, expected) in [
        (answer(200, None), true),
        (answer(404, None), true),
        (answer(429, None), false),
        (answer(500, None), false),
        (answer(503, Some("Wed, 21 Oct 2015 07:28:00 GMT")), false),
        (Err(CallFailed::ResponseTimedOut(second)), false),
        (Err(CallFailed::Unavailable(second)), false),
    ] {
        assert_eq!(policy.has_succeeded(&outcome), expected, "{outcome:?}");
    }
}

#[test]
fn an_attempt_with_a_time_of_its_own_is_repeated_when_that_is_over() {
    let timed = RetryPolicy { per_try_timeout: Some(Duration::from_millis(50)), ..policy() };
    let late = Err(CallFailed::ResponseTimedOut(Duration::from_millis(50)));
    assert!(matches!(timed.next(&made(&late), &mut chance()), Next::After(_)));
    assert_eq!(timed.time_of(Duration::from_secs(1)), Duration::from_millis(50));
    assert_eq!(timed.time_of(Duration::from_millis(20)), Duration::from_millis(20));
    assert_eq!(policy().time_of(Duration::from_secs(1)), Duration::from_secs(1));
}

#[test]
fn a_service_is_left_alone_as_long_as_it_asks_for() {
    for (retry_after, expected) in [
        (Some("2"), Next::After(Duration::from_secs(2))),
        (Some("10"), Next::NoTime),
        (Some("99999999999"), Next::NoTime),
        (Some("Wed, 21 Oct 2015 07:28:00 GMT"), Next::Settled),
        (Some("-1"), Next::Settled),
    ] {
        let outcome = answer(503, retry_after);
        assert_eq!(policy().next(&made(&outcome), &mut chance()), expected, "{retry_after:?}");
    }
}

#[test]
fn an_attempt_that_would_not_end_in_time_is_not_begun() {
    let outcome = answer(503, None);
    let at_once = RetryPolicy { backoff_base: Duration::ZERO, ..policy() };
    for (left_ms, typical_ms, expected) in
        [(100, 99, Next::After(Duration::ZERO)), (100, 100, Next::NoTime), (0, 0, Next::NoTime)]
    {
        let time_left = Duration::from_millis(left_ms);
        let typical = Duration::from_millis(typical_ms);
        let next = at_once.next(&Made { time_left, typical, ..made(&outcome) }, &mut chance());
        assert_eq!(next, expected, "{left_ms} left, {typical_ms} needed");
    }
}

#[test]
fn the_same_seed_waits_the_same() {
    let outcome = answer(503, None);
    let wait = |seed| policy().next(&made(&outcome), &mut StdRng::seed_from_u64(seed));
    assert_eq!(wait(1), wait(1));
    assert_ne!(wait(1), wait(2));
}

#[test]
fn the_typical_time_follows_what_attempts_take() {
    let typical = TypicalTime::default();
    assert_eq!(typical.get(), Duration::ZERO);
    typical.note(Duration::from_millis(80));
    assert_eq!(typical.get(), Duration::from_millis(80));
    typical.note(Duration::from_millis(160));
    assert_eq!(typical.get(), Duration::from_millis(90));
    (0..100).for_each(|_| typical.note(Duration::from_millis(8)));
    assert!(typical.get() < Duration::from_millis(9), "{:?}", typical.get());
}

proptest! {
    #[test]
    fn waits_lie_between_nothing_and_a_bound_that_doubles(seed: u64, attempt in 1..40_u32) {
        let outcome = answer(503, None);
        let many = RetryPolicy { attempts_max: 50, ..policy() };
        let mut chance = StdRng::seed_from_u64(seed);
        let Next::After(wait) = many.next(&Made { attempt, ..made(&outcome) }, &mut chance) else {
            return Err(TestCaseError::fail("no wait"));
        };
        let bound = Duration::from_millis([100, 200, 250][attempt.min(3) as usize - 1]);
        prop_assert!(wait <= bound, "{:?}", wait);
    }

    #[test]
    fn all_of_the_range_is_used(seed: u64) {
        let mut chance = StdRng::seed_from_u64(seed);
        let waits: Vec<_> = (0..200).map(|_| policy().backoff(1, &mut chance)).collect();
        prop_assert!(waits.iter().any(|wait| *wait < Duration::from_millis(20)));
        prop_assert!(waits.iter().any(|wait| *wait > Duration::from_millis(80)));
    }
}

#[test]
fn a_service_may_ask_for_any_wait() {
    let outcome = answer(503, Some("18446744073709551615"));
    let made = Made { typical: Duration::from_secs(1), ..made(&outcome) };
    assert_eq!(policy().next(&made, &mut chance()), Next::NoTime);
}
