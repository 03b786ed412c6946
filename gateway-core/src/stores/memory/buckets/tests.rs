//! The store against the published sequences, a model, many threads and many strangers.

use std::sync::Barrier;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::principal::Scheme;
use crate::rate_limit::{KeyHasher, Quota};

const NOW: Moment = Moment::from_micros(10_000_000_000);

fn quota(limit: u32) -> Quota {
    Quota::build(limit, Duration::from_secs(60), limit).expect("a quota")
}

fn key(hasher: &KeyHasher, name: &(impl ToString + ?Sized)) -> BucketKey {
    hasher.consumer(1, Scheme::Jwt, &name.to_string())
}

fn admit(buckets: &MemoryBuckets, charges: &[Charge<'_>], now: Moment) -> (bool, Vec<BucketState>) {
    let mut states = vec![BucketState::default(); charges.len()];
    (buckets.admit_all(charges, now, &mut states), states)
}

fn admit_one(buckets: &MemoryBuckets, key: BucketKey, quota: &Quota) -> bool {
    admit(buckets, &[Charge { key, quota, cost: 1 }], NOW).0
}

/// What is left, without taking anything.
fn left(buckets: &MemoryBuckets, key: BucketKey, quota: &Quota) -> u32 {
    admit(buckets, &[Charge { key, quota, cost: 0 }], NOW).1[0].remaining
}

#[test]
fn every_step_of_the_published_sequences_comes_out_as_published() {
    let text = include_str!("../../../rate_limit/vectors/gcra.json");
    let file: Value = serde_json::from_str(text).expect("JSON");
    let number = |value: &Value| value.as_u64().expect("a number");
    let (buckets, hasher) = (MemoryBuckets::new(1_000), KeyHasher::new());
    for case in file["cases"].as_array().expect("cases") {
        let small = |name: &str| u32::try_from(number(&case[name])).expect("small");
        let period = Duration::from_micros(number(&case["period_us"]));
        let quota = Quota::build(small("limit"), period, small("burst")).expect("a quota");
        for (place, step) in case["steps"].as_array().expect("steps").iter().enumerate() {
            let cost = u32::try_from(number(&step["cost"])).expect("small");
            let key = key(&hasher, &case["name"]);
            let now = NOW.after(Duration::from_micros(number(&step["now_us"])));
            let (is_admitted, states) =
                admit(&buckets, &[Charge { key, quota: &quota, cost }], now);
            let state = states[0];
            let at = format!("{}, step {place}: {state:?}", case["name"]);
            assert_eq!(is_admitted, step["allowed"], "{at}");
            assert_eq!(state.is_admitted, step["allowed"], "{at}");
            assert_eq!(u64::from(state.remaining), number(&step["remaining"]), "{at}");
            let micros = |length: Duration| u64::try_from(length.as_micros()).expect("in range");
            assert_eq!(micros(state.reset_after), number(&step["reset_after_us"]), "{at}");
            let wait = state.retry_after.map(micros).or(is_admitted.then_some(0));
            assert_eq!(wait, step["retry_after_us"].as_u64(), "{at}");
            let t = state.grows_after.map(|after| micros(after).div_ceil(1_000_000));
            assert_eq!(t, step["RateLimit_t"].as_u64(), "{at}");
        }
    }
}

#[test]
fn a_thousand_at_once_on_a_limit_of_a_hundred_admit_exactly_a_hundred() {
    let (buckets, quota) = (MemoryBuckets::new(1_000), quota(100));
    let key = key(&KeyHasher::new(), "a");
    let start = Barrier::new(20);
    let admitted = std::thread::scope(|scope| {
        let call = || {
            start.wait();
            (0..50).filter(|_| admit_one(&buckets, key, &quota)).count()
        };
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(call)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum::<usize>()
    });
    assert_eq!(admitted, 100);
    let state = admit(&buckets, &[Charge { key, quota: &quota, cost: 1 }], NOW).1[0];
    assert_eq!(state.retry_after, Some(Duration::from_millis(600)), "900 refusals cost nothing");
}

/// Were the shards locked in the order of the charges, this would never end.
#[test]
fn calls_that_charge_the_same_buckets_in_opposite_orders_do_not_block_each_other() {
    let (buckets, quota, hasher) = (MemoryBuckets::new(10_000), quota(5_000), KeyHasher::new());
    let keys: Vec<_> = (0..8).map(|name| key(&hasher, &name)).collect();
    let there: Vec<_> = keys.iter().map(|&key| Charge { key, quota: &quota, cost: 1 }).collect();
    let back: Vec<_> = there.iter().rev().copied().collect();
    std::thread::scope(|scope| {
        for charges in [&there, &back, &there, &back] {
            let buckets = &buckets;
            scope.spawn(move || (0..1_000).for_each(|_| assert!(admit(buckets, charges, NOW).0)));
        }
    });
    for key in keys {
        assert_eq!(left(&buckets, key, &quota), 1_000);
    }
}

#[test]
fn when_one_of_several_refuses_none_of_them_loses_anything() {
    let (buckets, hasher) = (MemoryBuckets::new(1_000), KeyHasher::new());
    let (one, ten) = (quota(1), quota(10));
    let small = Charge { key: key(&hasher, "small"), quota: &one, cost: 1 };
    let large = Charge { key: key(&hasher, "large"), quota: &ten, cost: 1 };
    assert!(admit(&buckets, &[small, large], NOW).0);
    for _ in 0..20 {
        let (is_admitted, states) = admit(&buckets, &[large, small], NOW);
        assert!(!is_admitted);
        assert_eq!([states[0].is_admitted, states[1].is_admitted], [true, false]);
    }
    assert_eq!(left(&buckets, large.key, &ten), 9);
}

#[test]
fn two_charges_on_one_bucket_in_one_call_count_together() {
    let (buckets, hasher, three) = (MemoryBuckets::new(1_000), KeyHasher::new(), quota(3));
    let charge = |cost| Charge { key: key(&hasher, "a"), quota: &three, cost };
    let (is_admitted, states) = admit(&buckets, &[charge(2), charge(2)], NOW);
    assert!(!is_admitted);
    assert_eq!(states[1].retry_after, None, "four never fit into three");
    assert!(admit(&buckets, &[charge(1), charge(2)], NOW).0);
    assert_eq!(left(&buckets, charge(0).key, &three), 0);
}

#[test]
fn a_look_without_cost_leaves_no_bucket_behind() {
    let (buckets, quota) = (MemoryBuckets::new(1_000), quota(3));
    assert_eq!(left(&buckets, key(&KeyHasher::new(), "a"), &quota), 3);
    assert!(buckets.is_empty());
}

#[test]
fn a_hundred_thousand_strangers_neither_fill_the_memory_nor_refill_a_consumer() {
    let (buckets, hasher, hundred) = (MemoryBuckets::new(10_000), KeyHasher::new(), quota(100));
    let consumer = key(&hasher, "acme");
    for _ in 0..100 {
        assert!(admit_one(&buckets, consumer, &hundred));
    }
    for stranger in 0..100_000 {
        assert!(admit_one(&buckets, key(&hasher, &stranger), &hundred), "a stranger has its own");
    }
    assert!(buckets.len() <= 10_000_usize.next_multiple_of(SHARDS), "{}", buckets.len());
    assert!(!admit_one(&buckets, consumer, &hundred), "its bucket is as empty as before");
}

#[test]
fn buckets_that_are_full_again_make_room_before_any_other() {
    let (mut shard, hasher, quota) = (Shard::default(), KeyHasher::new(), quota(60));
    let mut take = |name: &str, now| {
        shard.take(&Charge { key: key(&hasher, name), quota: &quota, cost: 1 }, now, 4);
        shard.buckets.len()
    };
    let later = NOW.after(Duration::from_secs(2));
    assert_eq!(take("idle", NOW), 1);
    assert_eq!(take("idle too", NOW), 2);
    assert_eq!(take("busy", later), 3);
    assert_eq!(take("busy too", later), 4);
    assert_eq!(take("busy", later), 4, "a bucket that is there needs no room");
    assert_eq!(take("new", later), 3, "both idle ones are gone, and only they");
    assert!(shard.buckets.contains_key(&key(&hasher, "busy")));
}

#[test]
fn a_shard_of_one_bucket_keeps_the_latest() {
    let (buckets, hasher, quota) = (MemoryBuckets::new(0), KeyHasher::new(), quota(60));
    for stranger in 0..1_000 {
        assert!(admit_one(&buckets, key(&hasher, &stranger), &quota));
    }
    assert!((1..=SHARDS).contains(&buckets.len()), "{}", buckets.len());
}

#[test]
fn a_lock_whose_holder_panicked_still_counts() {
    let (buckets, one) = (MemoryBuckets::new(1_000), quota(1));
    let key = key(&KeyHasher::new(), "a");
    assert!(admit_one(&buckets, key, &one));
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _held = lock(&buckets.shards[key.shard(SHARDS)]);
            panic!("while it holds the lock");
        });
        assert!(holder.join().is_err());
    });
    assert!(!admit_one(&buckets, key, &one));
}

proptest! {
    #[test]
    fn several_buckets_are_charged_exactly_as_each_alone_would_be(
        calls in proptest::collection::vec(
            (proptest::collection::vec((0_usize..6, 0_u32..4), 1..8), 0_u64..5_000_000),
            1..60,
        ),
    ) {
        let (buckets, hasher) = (MemoryBuckets::new(1_000), KeyHasher::new());
        let quotas: Vec<_> = (1..=6).map(|limit| quota(limit * 3)).collect();
        let mut model = [Bucket::default(); 6];
        let mut now = NOW;
        for (charged, gap_us) in calls {
            now = now.after(Duration::from_micros(gap_us));
            let charge = |&(place, cost): &(usize, u32)| {
                Charge { key: key(&hasher, &place), quota: &quotas[place], cost }
            };
            let charges: Vec<_> = charged.iter().map(charge).collect();
            let mut after = model;
            let mut is_expected = true;
            for &(place, cost) in &charged {
                is_expected &= after[place].peek(&quotas[place], cost, now).is_admitted;
                if cost > 0 {
                    after[place].take(&quotas[place], cost, now);
                }
            }
            let (is_admitted, states) = admit(&buckets, &charges, now);
            prop_assert_eq!(is_admitted, is_expected);
            prop_assert_eq!(states.iter().all(|state| state.is_admitted), is_expected);
            if is_expected {
                model = after;
            }
            for (place, bucket) in model.iter().enumerate() {
                let look = Charge { key: key(&hasher, &place), quota: &quotas[place], cost: 0 };
                let seen = admit(&buckets, &[look], now).1[0];
                prop_assert_eq!(seen, bucket.peek(&quotas[place], 0, now));
            }
        }
    }
}

#[test]
fn another_bound_holds_from_the_next_new_bucket_on() {
    let (buckets, hasher, quota) = (MemoryBuckets::new(3_200), KeyHasher::new(), quota(10));
    for stranger in 0..1_000 {
        assert!(admit_one(&buckets, key(&hasher, &stranger), &quota));
    }
    assert_eq!(buckets.len(), 1_000);
    buckets.resize(SHARDS);
    assert_eq!(buckets.len(), 1_000, "nothing goes at once");
    for stranger in 1_000..2_000 {
        assert!(admit_one(&buckets, key(&hasher, &stranger), &quota));
    }
    assert!(buckets.len() <= SHARDS, "{}", buckets.len());
}
