//! Targets under a clock in the test's hand.

use std::collections::BTreeMap;
use std::thread;

use http::Response;
use proptest::prelude::*;

use super::*;
use crate::body::{Body, BodyRefused};
use crate::clock::Timestamp;
use crate::upstream::breaker::BreakerRules;
use crate::upstream::client::Answer;
use crate::upstream::condition::FailureRules;
use crate::upstream::target::TargetSettings;
use crate::upstream::testing;

const LONG: Duration = Duration::from_secs(3_600);

fn clock() -> Clock {
    Clock::manual(Timestamp::from_unix_seconds(1_790_000_000))
}

/// A breaker opens after 10 failures for 5 s, an ejection after 3 for 20 s.
fn failures() -> FailureRules {
    let rules = |consecutive_failures, seconds, probes| BreakerRules {
        consecutive_failures,
        failure_share: None,
        open_time: Duration::from_secs(seconds),
        open_time_max: Duration::from_secs(300),
        probes,
    };
    FailureRules {
        breaker: Some(rules(10, 5, 2)),
        breaker_statuses: vec![502, 503, 504],
        ejection: Some(rules(3, 20, 1)),
    }
}

fn target(url: &str, change: impl Fn(&mut TargetSettings)) -> Target {
    let mut settings = testing::settings();
    settings.failures = failures();
    change(&mut settings);
    Target::parse("links", url, settings).expect("a target")
}

fn set_of(settings: TargetsSettings, targets: Vec<(Target, u32)>) -> Arc<Targets> {
    Targets::new(&"links".into(), settings, targets, &Named::default())
}

/// `count` targets on ports from 1 on, in turn.
fn set(count: u16) -> Arc<Targets> {
    let settings = TargetsSettings { balance: Balance::RoundRobin, ..TargetsSettings::default() };
    let one = |port| (target(&format!("http://10.0.0.1:{port}"), |_| {}), 1);
    set_of(settings, (1..=count).map(one).collect())
}

fn answer(status: u16) -> Result<Answer, CallFailed> {
    let response = Response::builder().status(status).body(Body::empty()).expect("a response");
    Ok(Answer { response, attempts: 1 })
}

fn refused() -> Result<Answer, CallFailed> {
    Err(CallFailed::Unreachable("refused".into()))
}

/// Makes `count` calls; those to the ports in `bad` fail. Says how many went to each port.
fn calls(targets: &Targets, clock: &Clock, count: usize, bad: &[u16]) -> BTreeMap<u16, usize> {
    let mut seen = BTreeMap::new();
    for _ in 0..count {
        let Ok(picked) = targets.pick(clock, clock.now()) else { continue };
        let port = picked.port();
        *seen.entry(port).or_default() += 1;
        picked.report(&if bad.contains(&port) { refused() } else { answer(200) }, clock.now());
    }
    seen
}

fn ejected(targets: &Targets, clock: &Clock) -> Vec<bool> {
    targets.states(clock.now()).iter().map(|state| state.is_ejected).collect()
}

#[test]
fn a_target_that_fails_is_passed_over_and_tried_again_by_one_call_at_a_time() {
    let (targets, clock) = (set(3), clock());
    assert_eq!(calls(&targets, &clock, 300, &[2]), [(1, 149), (2, 3), (3, 148)].into());
    clock.advance(Duration::from_secs(26));
    // Round robin reaches it within three; while its trial is under way nobody else goes there.
    let picked: Vec<_> =
        (0..9).map(|_| targets.pick(&clock, clock.now()).expect("a target")).collect();
    assert_eq!(picked.iter().filter(|picked| picked.port() == 2).count(), 1);
    for picked in picked {
        let outcome = if picked.port() == 2 { refused() } else { answer(200) };
        picked.report(&outcome, clock.now());
    }
    clock.advance(Duration::from_secs(26));
    assert_eq!(calls(&targets, &clock, 100, &[2]).get(&2), None, "the second time is longer");
    clock.advance(Duration::from_secs(26));
    assert_eq!(calls(&targets, &clock, 300, &[]).get(&2), Some(&100), "it is back");
}

#[test]
fn one_success_makes_the_failures_before_it_forgotten() {
    let (targets, clock) = (set(2), clock());
    for _ in 0..10 {
        for status in [500, 500, 200] {
            for picked in [targets.pick(&clock, clock.now()), targets.pick(&clock, clock.now())] {
                picked.expect("a target").report(&answer(status), clock.now());
            }
        }
    }
    assert_eq!(ejected(&targets, &clock), [false, false]);
}

#[test]
fn no_more_than_the_share_is_ejected_and_never_the_last_one() {
    for (count, percent, expected) in
        [(1, 50, 0), (2, 50, 1), (3, 50, 1), (4, 50, 2), (3, 0, 1), (3, 100, 2), (10, 30, 3)]
    {
        let settings = TargetsSettings {
            balance: Balance::RoundRobin,
            ejected_percent_max: percent,
            ..TargetsSettings::default()
        };
        let one = |port| {
            let url = format!("http://10.0.0.1:{port}");
            (target(&url, |settings| settings.failures.breaker = None), 1)
        };
        let targets = set_of(settings, (1..=count).map(one).collect());
        let clock = clock();
        let all: Vec<u16> = (1..=count).collect();
        let seen = calls(&targets, &clock, 1_000, &all);
        let out = ejected(&targets, &clock).into_iter().filter(|&is_out| is_out).count();
        assert_eq!(out, expected, "{percent} % of {count}");
        assert_eq!(seen.values().sum::<usize>(), 1_000, "somebody takes each call");
    }
}

#[test]
fn two_cores_never_eject_the_last_two_at_once() {
    for _ in 0..50 {
        let (targets, clock) = (set(2), clock());
        // Each is one failure from being ejected.
        calls(&targets, &clock, 4, &[1, 2]);
        let last: Vec<_> =
            (0..2).map(|_| targets.pick(&clock, clock.now()).expect("a target")).collect();
        assert_ne!(last[0].port(), last[1].port());
        thread::scope(|scope| {
            for picked in last {
                scope.spawn(|| picked.report(&refused(), clock.now()));
            }
        });
        assert_eq!(ejected(&targets, &clock).iter().filter(|&&is_out| is_out).count(), 1);
    }
}

#[test]
fn a_service_all_of_whose_targets_are_dead_is_refused_at_once_until_a_pause_is_over() {
    for count in [1, 3] {
        let (targets, clock) = (set(count), clock());
        let all: Vec<u16> = (1..=count).collect();
        calls(&targets, &clock, 200, &all);
        let failed = targets.pick(&clock, clock.now()).expect_err("no breaker is closed");
        let CallFailed::Unavailable(wait) = failed else { panic!("{failed}") };
        assert!((5_000..=6_250).contains(&wait.as_millis()), "{wait:?}");
        clock.advance(wait);
        let probe = targets.pick(&clock, clock.now()).expect("a probe");
        probe.report(&answer(200), clock.now());
        let probe = targets.pick(&clock, clock.now()).expect("another");
        probe.report(&answer(200), clock.now());
        assert!(!calls(&targets, &clock, 10, &[]).is_empty());
        let closed = targets.states(clock.now()).into_iter().any(|one| one.breaker == "closed");
        assert!(closed);
    }
}

#[test]
fn what_counts_as_a_failure() {
    let secret = || "broken".into();
    let timed_out = |millis| CallFailed::ResponseTimedOut(Duration::from_millis(millis));
    // Whether it counts for the breaker, and for the ejection.
    let cases: Vec<(Result<Answer, CallFailed>, bool, bool)> = vec![
        (answer(200), false, false),
        (answer(404), false, false),
        (answer(429), false, false),
        (answer(500), false, true),
        (answer(501), false, true),
        (answer(502), true, true),
        (answer(503), true, true),
        (answer(504), true, true),
        (refused(), true, true),
        (Err(CallFailed::Broken(secret())), true, true),
        (Err(CallFailed::ConnectTimedOut(LONG)), true, true),
        (Err(timed_out(100)), true, true),
        (Err(timed_out(99)), false, false),
        (Err(CallFailed::TooLarge(1)), false, false),
        (Err(CallFailed::Busy(1)), false, false),
        (Err(CallFailed::BodyBroken(secret())), false, false),
        (Err(CallFailed::BodyRefused(BodyRefused::new(CallFailed::Busy(1)))), false, false),
    ];
    for (outcome, opens, ejects) in cases {
        let clock = clock();
        let (alone, together) = (set(1), set(2));
        for _ in 0..20 {
            for targets in [&alone, &together] {
                let picked = targets.pick(&clock, clock.now()).into_iter();
                picked.for_each(|picked| picked.within(LONG).report(&outcome, clock.now()));
            }
        }
        let is_open = alone.pick(&clock, clock.now()).is_err();
        assert_eq!(is_open, opens, "the breaker and {outcome:?}");
        let is_ejected = ejected(&together, &clock).contains(&true);
        assert_eq!(is_ejected, ejects, "the ejection and {outcome:?}");
    }
}

#[test]
fn a_call_that_is_given_up_counts_only_when_it_had_all_its_time() {
    // After so long, of so much time: does it count?
    let millis = Duration::from_millis;
    for (after, time_left, counts) in [
        (millis(0), LONG, false),
        (millis(4_000), LONG, false),
        // The target's own response time-out.
        (millis(5_000), LONG, true),
        (millis(800), millis(800), true),
        (millis(700), millis(800), false),
        (millis(50), millis(50), false),
    ] {
        let (targets, clock) = (set(1), clock());
        for _ in 0..10 {
            let picked = targets.pick(&clock, clock.now()).expect("closed").within(time_left);
            clock.advance(after);
            drop(picked);
        }
        assert_eq!(
            targets.pick(&clock, clock.now()).is_err(),
            counts,
            "{after:?} of {time_left:?}"
        );
    }
}

#[test]
fn what_a_call_has_waited_for_in_the_gateway_is_no_time_of_its_target_s() {
    let millis = Duration::from_millis;
    // After so long in the gateway, and so long at the target, of 800 ms: does it count?
    for (waited, after, counts) in [
        (millis(800), None, false),
        (millis(600), Some(150), false),
        (millis(600), Some(200), true),
    ] {
        let (targets, clock) = (set(1), clock());
        for _ in 0..10 {
            let picked = targets.pick(&clock, clock.now()).expect("closed");
            clock.advance(waited);
            let Some(after) = after else { continue };
            let picked = picked.from(clock.now()).within(millis(800) - waited);
            clock.advance(millis(after));
            drop(picked);
        }
        assert_eq!(targets.pick(&clock, clock.now()).is_err(), counts, "{waited:?} and {after:?}");
    }
}

#[test]
fn a_client_that_sends_its_body_slowly_is_not_its_target_s_failure() {
    let timed_out = |seconds| Err(CallFailed::ResponseTimedOut(Duration::from_secs(seconds)));
    for (outcome, counts) in [(timed_out(10), false), (timed_out(5), true)] {
        let (targets, clock) = (set(1), clock());
        for _ in 0..10 {
            // Not within a time: that is how calls are made whose body is still arriving.
            let picked = targets.pick(&clock, clock.now()).expect("closed");
            clock.advance(Duration::from_secs(10));
            picked.report(&outcome, clock.now());
        }
        assert_eq!(targets.pick(&clock, clock.now()).is_err(), counts, "{outcome:?}");
    }
    let (targets, clock) = (set(1), clock());
    for _ in 0..10 {
        let _given_up = targets.pick(&clock, clock.now()).expect("closed");
        clock.advance(LONG);
    }
    assert!(targets.pick(&clock, clock.now()).is_ok());
}

#[test]
fn probes_that_are_given_up_give_their_place_back() {
    let (targets, clock) = (set(1), clock());
    calls(&targets, &clock, 10, &[1]);
    clock.advance(Duration::from_secs(7));
    for _ in 0..5 {
        drop(targets.pick(&clock, clock.now()).expect("a probe"));
    }
    let both = [targets.pick(&clock, clock.now()), targets.pick(&clock, clock.now())];
    assert!(both.iter().all(Result::is_ok));
    assert!(matches!(targets.pick(&clock, clock.now()), Err(CallFailed::Unavailable(_))));
}

#[test]
fn targets_that_fail_their_checks_are_passed_over_unless_all_do() {
    let (targets, clock) = (set(3), clock());
    let endpoints = targets.endpoints();
    endpoints[0].condition().health.note(false, 1);
    assert_eq!(calls(&targets, &clock, 100, &[]), [(2, 50), (3, 50)].into());
    endpoints[1].condition().health.note(false, 1);
    endpoints[2].condition().health.note(false, 1);
    assert_eq!(calls(&targets, &clock, 99, &[]), [(1, 33), (2, 33), (3, 33)].into());
}

#[test]
fn a_call_that_is_made_again_goes_elsewhere_while_there_is_an_elsewhere() {
    let (targets, clock) = (set(3), clock());
    for _ in 0..20 {
        let mut tried: Vec<Arc<Target>> = Vec::new();
        for _ in 0..3 {
            let picked = targets.pick_other(&clock, clock.now(), &tried).expect("a target");
            assert!(!tried.iter().any(|one| Arc::ptr_eq(one, &picked)));
            tried.push(Arc::clone(&picked));
            picked.report(&answer(200), clock.now());
        }
        assert!(
            targets.pick_other(&clock, clock.now(), &tried).is_ok(),
            "all were tried: any will do"
        );
    }
    let alone = set(1);
    let only = alone.endpoints();
    assert!(alone.pick_other(&clock, clock.now(), &only).is_ok());
}

#[test]
fn a_target_that_is_full_is_passed_over_while_another_has_room() {
    let (targets, clock) = (set(2), clock());
    let endpoints = targets.endpoints();
    let full: Vec<_> = std::iter::from_fn(|| endpoints[0].permit()).collect();
    assert_eq!(calls(&targets, &clock, 10, &[]), [(2, 10)].into());
    let _both: Vec<_> = std::iter::from_fn(|| endpoints[1].permit()).collect();
    assert_eq!(calls(&targets, &clock, 10, &[]).values().sum::<usize>(), 10);
    drop(full);
    assert_eq!(calls(&targets, &clock, 10, &[]), [(1, 10)].into());
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

fn labels(targets: &Targets, clock: &Clock) -> Vec<String> {
    targets.states(clock.now()).into_iter().map(|state| state.target).collect()
}

/// The targets of which events are counted.
fn counted(targets: &Targets) -> Vec<String> {
    let mut found = Vec::new();
    targets.events.retain(|labels| {
        found.push(labels.target.0.to_string());
        true
    });
    found
}

#[test]
fn the_addresses_of_a_name_join_and_leave_and_those_that_stay_go_on() {
    let clock = clock();
    let targets = set_of(TargetsSettings::default(), vec![(target("http://links", |_| {}), 1)]);
    assert_eq!(targets.names(), [(0, "links".to_owned(), 80)]);
    let before = targets.pick(&clock, clock.now()).expect("the name alone");
    assert!(targets.set_addresses(0, addresses(&["10.0.0.2:80", "10.0.0.1:80"])));
    assert_eq!(labels(&targets, &clock), ["10.0.0.1:80", "10.0.0.2:80"]);
    let stays = targets.endpoints()[1].clone();
    targets.endpoints().iter().for_each(|target| targets.count(target, "ejected"));
    assert!(!targets.set_addresses(0, addresses(&["10.0.0.1:80", "10.0.0.2:80"])), "as before");
    assert!(targets.set_addresses(0, addresses(&["10.0.0.3:80", "10.0.0.2:80"])));
    assert_eq!(labels(&targets, &clock), ["10.0.0.2:80", "10.0.0.3:80"]);
    assert!(Arc::ptr_eq(&stays, &targets.endpoints()[0]));
    assert_eq!(counted(&targets), ["10.0.0.2:80"], "who comes and goes does not fill the page");
    assert_eq!(before.host(), "links", "a call that is under way goes on");
    before.report(&answer(200), clock.now());
    assert_eq!(stays.authority(), "links", "it is sent the name");
}

#[test]
fn an_address_and_localhost_are_never_looked_up() {
    let urls = ["http://10.0.0.1", "http://[::1]:80", "http://localhost", "http://LOCALHOST:1"];
    let all = urls.map(|url| (target(url, |_| {}), 1));
    assert!(set_of(TargetsSettings::default(), all.into()).names().is_empty());
}

#[test]
fn after_a_reload_what_is_written_as_it_was_goes_on_and_what_is_not_starts_anew() {
    let clock = clock();
    let settings = || TargetsSettings {
        resolve_interval: Some(LONG),
        health: None,
        ..TargetsSettings::default()
    };
    let one = |url, weight| (target(url, |_| {}), weight);
    let earlier = set_of(settings(), vec![one("http://a", 1), one("http://b", 1)]);
    earlier.set_addresses(0, addresses(&["10.0.0.1:80", "10.0.0.2:80"]));
    let known = earlier.endpoints();
    known[0].condition().health.note(false, 1);

    let later = set_of(
        settings(),
        vec![
            one("http://c", 1),
            one("http://a", 7),
            (target("http://b", |settings| settings.read_timeout = LONG), 1),
        ],
    );
    later.adopt(&earlier);
    assert_eq!(labels(&later, &clock), ["c", "10.0.0.1:80", "10.0.0.2:80", "b"]);
    let now = later.endpoints();
    assert!(Arc::ptr_eq(&known[0], &now[1]) && Arc::ptr_eq(&known[1], &now[2]));
    assert!(!Arc::ptr_eq(&known[2], &now[3]), "its time-outs are others now");
    assert_eq!(later.states(clock.now())[1].weight, 7);
    assert!(later.states(clock.now())[1].takes_calls, "nothing checks it any longer");
    // What is known of the earlier set goes on without it.
    drop(earlier);
    assert!(later.pick(&clock, clock.now()).is_ok());
}

proptest! {
    /// Whatever calls come to: while breakers are off somebody takes each call, and the share of
    /// the ejected is never exceeded.
    #[test]
    fn whatever_happens_the_floor_holds(
        count in 1_u16..9,
        percent in 0_u32..=100,
        steps in prop::collection::vec((any::<bool>(), 0_u64..9), 1..300),
    ) {
        let settings = TargetsSettings {
            ejected_percent_max: percent,
            ..TargetsSettings::default()
        };
        let one = |port| {
            let url = format!("http://10.0.0.1:{port}");
            (target(&url, |settings| settings.failures.breaker = None), 1)
        };
        let targets = set_of(settings, (1..=count).map(one).collect());
        let clock = clock();
        let all = usize::from(count);
        let share = all * usize::try_from(percent).expect("small") / 100;
        let most = share.max(1).min(all - 1);
        for (has_succeeded, seconds) in steps {
            clock.advance(Duration::from_secs(seconds));
            let picked = targets.pick(&clock, clock.now());
            prop_assert!(picked.is_ok());
            let outcome = if has_succeeded { answer(200) } else { answer(500) };
            picked.expect("a target").report(&outcome, clock.now());
            let out = ejected(&targets, &clock).into_iter().filter(|&is_out| is_out).count();
            prop_assert!(out <= most, "{out} of {all} at {percent} %");
        }
    }
}
