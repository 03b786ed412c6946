//! The life of sessions in memory, alone and among very many.

use std::time::Duration;

use serde_json::{Map, Value};

use super::*;

const LIFETIME: SessionLifetime = SessionLifetime {
    idle_timeout: Duration::from_secs(100),
    lifetime: Duration::from_secs(1_000),
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn digest(number: u64) -> SessionDigest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    // The end chooses the shard; real digests are spread evenly.
    bytes[30..].copy_from_slice(&number.to_be_bytes()[6..]);
    SessionDigest(bytes)
}

fn session(seconds: u64) -> Session {
    Session { principal: None, values: Map::new(), created_at: at(seconds), used_at: at(seconds) }
}

fn vault(sessions_max: usize) -> MemoryVault {
    MemoryVault::new(sessions_max, LIFETIME)
}

/// `live` with the second of its last use, `ended` or `unknown`.
fn state(vault: &MemoryVault, number: u64, seconds: u64) -> String {
    match vault.find(digest(number), at(seconds), false) {
        SessionLookup::Live(session) => format!("live {}", session.used_at.unix_seconds()),
        SessionLookup::Ended => "ended".to_owned(),
        SessionLookup::Unknown => "unknown".to_owned(),
    }
}

fn set(key: &'static str) -> impl FnMut(&mut Session) {
    move |session| {
        session.values.insert(key.to_owned(), Value::Bool(true));
    }
}

#[test]
fn a_use_slides_the_session_and_a_poll_does_not() {
    let vault = vault(8);
    assert!(vault.insert(digest(1), session(0)));
    assert_eq!(state(&vault, 1, 50), "live 0");
    let SessionLookup::Live(used) = vault.find(digest(1), at(60), true) else { panic!("dead") };
    assert_eq!(used.used_at, at(60));
    assert_eq!(state(&vault, 1, 70), "live 60");
    // A request that was overtaken does not move it back.
    let _ = vault.find(digest(1), at(30), true);
    assert_eq!(state(&vault, 1, 70), "live 60");
}

#[test]
fn a_session_that_timed_out_is_never_slid_back_to_life() {
    let vault = vault(8);
    assert!(vault.insert(digest(1), session(0)));
    let _ = vault.find(digest(1), at(100), true);
    assert_eq!(state(&vault, 1, 100), "live 0", "shown as it was, for whoever judges it");
    assert!(!vault.update(digest(1), at(100), set("a")));

    assert!(vault.insert(digest(2), session(0)));
    for seconds in (50..1_000).step_by(50) {
        let _ = vault.find(digest(2), at(seconds), true);
    }
    let _ = vault.find(digest(2), at(1_000), true);
    assert_eq!(state(&vault, 2, 1_000), "live 950", "the lifetime ends it however busy it is");
}

#[test]
fn an_ended_session_stays_ended_whatever_is_tried() {
    let vault = vault(8);
    assert!(vault.insert(digest(1), session(0)));
    assert!(vault.end(digest(1), at(10)));
    assert!(!vault.end(digest(1), at(10)));
    assert!(!vault.insert(digest(1), session(11)));
    assert!(!vault.update(digest(1), at(11), set("a")));
    let _ = vault.find(digest(1), at(11), true);
    assert_eq!(state(&vault, 1, 11), "ended");
}

#[test]
fn a_session_nobody_knows_leaves_no_trace() {
    let vault = vault(8);
    assert!(!vault.end(digest(1), at(0)));
    assert!(!vault.update(digest(1), at(0), set("a")));
    assert_eq!(state(&vault, 1, 0), "unknown");
}

#[test]
fn a_taken_digest_is_not_overwritten() {
    let vault = vault(8);
    assert!(vault.insert(digest(1), session(0)));
    assert!(!vault.insert(digest(1), session(5)));
    assert_eq!(state(&vault, 1, 5), "live 0");
}

#[test]
fn the_longest_unused_session_makes_room() {
    let vault = vault(3);
    for number in 1..=3 {
        assert!(vault.insert(digest(number), session(number)));
    }
    let _ = vault.find(digest(1), at(10), true);
    assert!(vault.insert(digest(4), session(11)));
    let states: Vec<_> = (1..=4).map(|number| state(&vault, number, 11)).collect();
    assert_eq!(states, ["live 10", "unknown", "live 3", "live 11"]);
    assert!(!vault.update(digest(2), at(11), set("a")), "what was dropped is not revived");
}

#[test]
fn a_newcomer_is_never_the_one_that_is_dropped() {
    let vault = vault(1);
    for number in (1..=20).rev() {
        assert!(vault.insert(digest(number), session(0)));
        assert_eq!(state(&vault, number, 0), "live 0");
    }
}

#[test]
fn idle_sessions_are_forgotten_before_room_is_needed() {
    let vault = vault(1_000);
    let one_shard: Vec<u64> = (0..5).map(|number| number * 15).collect();
    for &number in &one_shard[..4] {
        assert!(vault.insert(digest(number), session(0)));
    }
    assert!(vault.insert(digest(one_shard[4]), session(200)));
    assert_eq!(state(&vault, one_shard[0], 200), "unknown");
}

#[test]
fn tombstones_are_forgotten_after_a_lifetime_and_bounded_before() {
    let of_one = vault(8);
    assert!(of_one.insert(digest(1), session(0)));
    assert!(of_one.end(digest(1), at(0)));
    let end_another = |number, seconds| {
        assert!(of_one.insert(digest(number), session(seconds)));
        assert!(of_one.end(digest(number), at(seconds)));
    };
    end_another(2, 999);
    assert_eq!(state(&of_one, 1, 999), "ended");
    end_another(3, 1_000);
    assert_eq!(state(&of_one, 1, 1_000), "unknown");
    assert_eq!(state(&of_one, 2, 1_000), "ended");

    let flooded = vault(8);
    for number in 0..100 {
        assert!(flooded.insert(digest(number), session(0)));
        assert!(flooded.end(digest(number), at(0)));
    }
    let remembered: usize =
        flooded.shards.iter().map(|shard| shard.lock().expect("whole").slots.len()).sum();
    assert_eq!(remembered, 8);
}

#[test]
fn a_flood_of_sessions_stays_within_the_bound() {
    let vault = vault(1_000);
    for number in 0..20_000 {
        assert!(vault.insert(digest(number), session(number / 1_000)));
        let _ = vault.find(digest(number / 2), at(number / 1_000 + 1), true);
    }
    for shard in &vault.shards {
        let shard = shard.lock().expect("whole");
        assert_eq!(shard.slots.len(), shard.by_use.len());
        assert!(shard.slots.len() <= shard.size_max);
    }
    let bound: usize = vault.shards.iter().map(|shard| shard.lock().expect("whole").size_max).sum();
    assert!((1_000..1_000 + vault.shards.len()).contains(&bound), "{bound}");
}

#[test]
fn fifty_writers_of_different_keys_lose_nothing() {
    let vault = vault(8);
    assert!(vault.insert(digest(1), session(0)));
    std::thread::scope(|scope| {
        for number in 0..50 {
            let vault = &vault;
            scope.spawn(move || {
                assert!(vault.update(digest(1), at(1), |session| {
                    session.values.insert(format!("key-{number}"), number.into());
                }));
            });
        }
    });
    let SessionLookup::Live(session) = vault.find(digest(1), at(1), false) else { panic!("dead") };
    assert_eq!(session.values.len(), 50);
}

#[test]
fn a_change_that_panics_leaves_nothing_half_done_and_the_vault_open() {
    let vault = vault(8);
    assert!(vault.insert(digest(1), session(0)));
    let broken = std::panic::AssertUnwindSafe(|| {
        vault.update(digest(1), at(1), |session| {
            session.values.insert("half".to_owned(), Value::Null);
            std::panic::resume_unwind(Box::new("on purpose"));
        })
    });
    assert!(std::panic::catch_unwind(broken).is_err());
    assert!(vault.update(digest(1), at(1), set("whole")));
    let SessionLookup::Live(session) = vault.find(digest(1), at(1), false) else { panic!("dead") };
    assert_eq!(session.values.keys().collect::<Vec<_>>(), ["whole"]);
}

#[test]
fn a_change_cannot_turn_back_the_sessions_clock() {
    let vault = vault(8);
    assert!(vault.insert(digest(1), session(0)));
    assert!(vault.update(digest(1), at(1), |session| {
        session.created_at = at(500);
        session.used_at = at(500);
    }));
    assert_eq!(state(&vault, 1, 1), "live 0");
}

#[test]
fn other_bounds_hold_for_the_sessions_that_there_are() {
    let vault = vault(8);
    for number in 0..8 {
        assert!(vault.insert(digest(number), session(number)));
    }
    let longer = SessionLifetime { idle_timeout: Duration::from_secs(500), ..LIFETIME };
    vault.adjust(2, longer);
    assert!(vault.update(digest(7), at(300), set("a")), "by the longer time-out it is not over");
    assert!(vault.insert(digest(9), session(301)));
    let live = (0..10).filter(|&number| state(&vault, number, 301).starts_with("live"));
    assert_eq!(live.collect::<Vec<_>>(), [7, 9], "the longest unused went");
    vault.adjust(2, LIFETIME);
    assert!(!vault.update(digest(7), at(302), set("b")), "by the shorter one it is over");
}
