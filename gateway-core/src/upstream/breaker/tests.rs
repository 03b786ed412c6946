//! The breaker under a clock in the test's hand.

use proptest::prelude::*;

use super::*;

fn rules() -> BreakerRules {
    BreakerRules {
        consecutive_failures: 3,
        failure_share: Some(FailureShare {
            percent: 50,
            requests_min: 10,
            window: Duration::from_secs(8),
        }),
        open_time: Duration::from_secs(10),
        open_time_max: Duration::from_secs(60),
        probes: 2,
    }
}

/// Starts away from zero, as every clock does.
fn at(seconds: u64) -> Moment {
    Moment::from_micros(3_600_000_000 + seconds * 1_000_000)
}

fn breaker() -> Breaker {
    Breaker::new(rules(), Dice::seeded(1))
}

/// Plays a script against one breaker. Each word is a second later than the one before: `s`, `f`
/// and `u` make a call that succeeds, fails or is given up, and `+90` lets that many seconds pass.
/// What each call met is noted: `.` let through, `p` as a probe, `x` refused; then how it stands.
#[track_caller]
fn check(script: &str, expected: &str) {
    let breaker = breaker();
    let (mut now, mut seen) = (0, String::new());
    for word in script.split(' ') {
        now += 1;
        let verdict = match word {
            "s" => Verdict::Succeeded,
            "f" => Verdict::Failed,
            "u" => Verdict::Unknown,
            wait => {
                now += wait.parse::<u64>().expect("seconds") - 1;
                continue;
            }
        };
        let pass = breaker.admit(at(now));
        seen.push(match pass {
            Some(Pass { is_probe: true, .. }) => 'p',
            Some(_) => '.',
            None => 'x',
        });
        pass.and_then(|pass| breaker.report(pass, verdict, at(now), || true));
    }
    let state = match breaker.state() {
        BreakerState::Closed => "closed",
        BreakerState::Open(_) => "open",
        BreakerState::HalfOpen => "half-open",
    };
    assert_eq!(format!("{seen} {state}"), expected, "{script}");
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    check("f f f s", "...x open");
    check("f f s f f s f f", "........ closed");
    check("f f u f s", "....x open");
}

/// The number of the call that opens a breaker which hears of these again and again, of 100.
fn opened_by(verdicts: &[Verdict]) -> Option<usize> {
    let breaker = breaker();
    verdicts.iter().cycle().take(100).position(|&verdict| {
        let pass = breaker.admit(at(0)).expect("closed");
        breaker.report(pass, verdict, at(0), || true).is_some()
    })
}

#[test]
fn a_share_of_failures_opens_it_once_there_were_enough_calls() {
    let (good, bad) = (Verdict::Succeeded, Verdict::Failed);
    assert_eq!(opened_by(&[good, bad]), Some(9), "five of ten");
    assert_eq!(opened_by(&[bad, good]), Some(10), "the tenth is a success");
    assert_eq!(opened_by(&[good, bad, good]), None, "a third");
    assert_eq!(
        opened_by(&[bad, Verdict::Unknown, good, good]),
        None,
        "what says nothing counts not"
    );
}

#[test]
fn after_the_pause_probes_close_it_and_one_that_fails_opens_it_again() {
    check("f f f +13 s", "...p half-open");
    check("f f f +13 s s s", "...pp. closed");
    check("f f f +13 s f s", "...ppx open");
    check("f f f +13 u u s s s", "...pppp. closed");
}

#[test]
fn each_pause_is_longer_than_the_last_until_it_has_been_closed_for_long() {
    // The second pause is 20 s at least, and 25 at most.
    check("f f f +13 f +18 s", "...px open");
    check("f f f +13 f +26 s", "...pp half-open");
    // Closed in between, and soon open again: that is the third.
    check("f f f +13 f +26 s s f f f +38 s", "...ppp...x open");
    // Closed for a minute: the first.
    check("f f f +13 f +26 s s +61 f f f +13 s", "...ppp...p half-open");
}

#[test]
fn no_more_probes_than_allowed_are_under_way_and_those_of_before_count_no_more() {
    let breaker = breaker();
    let late = breaker.admit(at(0)).expect("closed");
    for _ in 0..3 {
        let pass = breaker.admit(at(0)).expect("closed");
        breaker.report(pass, Verdict::Failed, at(0), || true);
    }
    assert_eq!(breaker.report(late, Verdict::Succeeded, at(20), || true), None);
    let probes = [breaker.admit(at(20)), breaker.admit(at(20))].map(|pass| pass.expect("a probe"));
    assert!(!breaker.would_admit(at(20)));
    assert_eq!(breaker.admit(at(20)), None);
    assert!(breaker.report(probes[0], Verdict::Failed, at(21), || true).is_some());
    // The other was let through before it opened again.
    let pass = breaker.admit(at(60)).expect("a probe");
    assert_eq!(breaker.report(probes[1], Verdict::Succeeded, at(60), || true), None);
    assert_eq!(breaker.report(pass, Verdict::Succeeded, at(60), || true), None);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
}

#[test]
fn probes_that_say_nothing_for_long_keep_no_other_from_trying() {
    let breaker = breaker();
    for _ in 0..3 {
        let pass = breaker.admit(at(0)).expect("closed");
        breaker.report(pass, Verdict::Failed, at(0), || true);
    }
    let slow = [breaker.admit(at(20)), breaker.admit(at(20))].map(|pass| pass.expect("a probe"));
    assert_eq!(breaker.admit(at(29)), None);
    assert!(breaker.would_admit(at(30)));
    let third = breaker.admit(at(30)).expect("a probe");
    assert_eq!(breaker.admit(at(30)), None, "one at a time");
    assert_eq!(breaker.report(third, Verdict::Succeeded, at(31), || true), None);
    let closed = breaker.report(slow[0], Verdict::Succeeded, at(90), || true);
    assert_eq!(closed, Some(Change::Closed));
}

#[test]
fn it_stays_closed_where_it_may_not_open_and_opens_once_it_may() {
    let breaker = breaker();
    let fail = |may_open| {
        let pass = breaker.admit(at(0)).expect("closed");
        breaker.report(pass, Verdict::Failed, at(0), || may_open)
    };
    for _ in 0..5 {
        assert_eq!(fail(false), None);
    }
    assert!(matches!(fail(true), Some(Change::Opened(_))));
}

proptest! {
    /// Whatever happens: nothing passes during a pause, never more probes than allowed are under
    /// way, and a breaker that hears of successes alone closes.
    #[test]
    fn a_breaker_never_lets_through_what_it_must_not(
        steps in prop::collection::vec((0_u8..6, 0_u64..15), 1..200),
    ) {
        let breaker = breaker();
        let (mut now, mut under_way) = (0, Vec::<Pass>::new());
        let mut closed_until = at(0);
        for (what, seconds) in steps {
            now += seconds;
            let verdict = match what {
                0..=2 => {
                    let expected = breaker.would_admit(at(now));
                    let pass = breaker.admit(at(now));
                    prop_assert_eq!(pass.is_some(), expected);
                    prop_assert!(pass.is_none() || at(now) >= closed_until);
                    under_way.extend(pass);
                    let era = breaker.era.load(Ordering::Acquire);
                    let probes = under_way.iter().filter(|pass| pass.is_probe && pass.era == era);
                    // Beyond the two, one for each first pause that has gone by.
                    let further = at(now).since(closed_until).as_secs() / 10;
                    prop_assert!(probes.count() as u64 <= 2 + further);
                    continue;
                }
                3 => Verdict::Succeeded,
                4 => Verdict::Failed,
                _ => Verdict::Unknown,
            };
            if under_way.is_empty() {
                continue;
            }
            let pass = under_way.remove(0);
            match breaker.report(pass, verdict, at(now), || true) {
                Some(Change::Opened(length)) => closed_until = at(now).after(length),
                Some(Change::Closed) => prop_assert!(at(now) >= closed_until),
                None => {}
            }
        }
        now += 100;
        for pass in under_way {
            breaker.report(pass, Verdict::Unknown, at(now), || true);
        }
        for _ in 0..2 {
            if let Some(pass) = breaker.admit(at(now + 100)) {
                breaker.report(pass, Verdict::Succeeded, at(now + 100), || true);
            }
        }
        prop_assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
