//! The report as the answer, its fields and the log tell it.

use sfv::{BareItem, ListEntry, Parser};

use super::*;

fn part(name: &str, outcome: Outcome, reason: Option<Reason>, us: Option<u64>) -> PartReport {
    let took = us.map(Duration::from_micros);
    let part = name.into();
    PartReport {
        part,
        number: 0,
        outcome,
        reason,
        took,
        weight: 1,
        items: None,
        cache: None,
        retry_after: None,
    }
}

fn report() -> Report {
    let bad_gateway = Reason::Status(StatusCode::BAD_GATEWAY);
    Report {
        parts: vec![
            part("profile", Outcome::Ok, None, Some(12_345)),
            part("usage", Outcome::Fallback, Some(Reason::Timeout), Some(300_000)),
            part("clicks", Outcome::Failed, Some(bad_gateway), Some(7)),
            part("hooks", Outcome::Skipped, Some(Reason::MissingInput), None),
        ],
        services: vec![0, 1, 2],
        upstream: Duration::from_millis(300),
    }
}

#[test]
fn the_report_is_a_structured_field_that_any_parser_reads() {
    let value = report().aggregate_status();
    assert_eq!(
        value,
        "profile;o=ok;ms=12, usage;o=fallback;r=timeout;ms=300, \
         clicks;o=failed;r=status;status=502;ms=0, hooks;o=skipped;r=missing_input"
    );
    let list: sfv::List = Parser::new(value.as_bytes()).parse().expect("RFC 9651");
    let words = list.iter().map(|entry| match entry {
        ListEntry::Item(item) => {
            let token = |item: &BareItem| item.as_token().map(ToString::to_string);
            (token(&item.bare_item), item.params.get("o").and_then(token))
        }
        ListEntry::InnerList(_) => (None, None),
    });
    let word = |word: &str| Some(word.to_owned());
    assert_eq!(
        words.collect::<Vec<_>>(),
        [
            (word("profile"), word("ok")),
            (word("usage"), word("fallback")),
            (word("clicks"), word("failed")),
            (word("hooks"), word("skipped")),
        ]
    );
}

#[test]
fn why_nothing_was_delivered_is_judged_by_what_is_missing_of_itself() {
    let (failed, skipped) = (Outcome::Failed, Outcome::Skipped);
    let closed = |reason| part("a", failed, Some(reason), None);
    let left_out = part("b", skipped, Some(Reason::Brownout), None);
    let reads_it = part("c", skipped, Some(Reason::MissingInput), None);
    let is_off = part("d", skipped, Some(Reason::Condition), None);
    let in_maintenance = |seconds| PartReport {
        retry_after: Some(Duration::from_secs(seconds)),
        ..closed(Reason::Maintenance)
    };
    for (parts, closed_for, is_left_out) in [
        (vec![in_maintenance(9), reads_it.clone(), is_off.clone()], Some(9), false),
        (vec![in_maintenance(9), in_maintenance(5)], Some(5), false),
        (vec![closed(Reason::Busy), left_out.clone()], Some(1), false),
        (vec![left_out, reads_it, is_off], Some(1), true),
        (vec![in_maintenance(9), closed(Reason::Timeout)], None, false),
    ] {
        let report = Report { parts, ..report() };
        assert_eq!(report.closed_for(), closed_for.map(Duration::from_secs), "{report:?}");
        assert_eq!(report.is_left_out(), is_left_out, "{report:?}");
    }
}

#[test]
fn server_timing_shows_each_call_in_milliseconds() {
    let timing = report().server_timing().expect("three were called");
    assert_eq!(timing, "profile;dur=12.345, usage;dur=300.000, clicks;dur=0.007");
    assert_eq!(Report { parts: Vec::new(), ..report() }.server_timing(), None);
}

#[test]
fn the_cache_s_share_and_missing_items_are_parameters() {
    let mut report = report();
    let uses = [
        CacheUse::Hit(60),
        CacheUse::StaleIfError(-7),
        CacheUse::Miss { is_kept: true },
        CacheUse::Hit(i64::MIN),
    ];
    for (part, cache) in report.parts.iter_mut().zip(uses) {
        part.cache = Some(cache);
    }
    assert_eq!(
        report.cache_status().expect("all have one"),
        "profile;hit;ttl=60, usage;fwd=stale;ttl=-7, clicks;fwd=miss;stored, \
         hooks;hit;ttl=-9223372036854775808"
    );
    report.parts.truncate(1);
    report.parts[0].outcome = Outcome::Partial;
    report.parts[0].items = Some((3, 50));
    report.parts[0].took = Some(Duration::MAX);
    let longest = u64::MAX / 1_000;
    let status = format!("profile;o=partial;failed=3;of=50;ms={longest}");
    assert_eq!(report.aggregate_status(), status);
    let none = Report { parts: Vec::new(), ..report };
    assert_eq!((none.cache_status(), none.aggregate_status().len()), (None, 0));
}

#[test]
fn completeness_is_the_weighted_share_and_a_fallback_counts() {
    let mut report = report();
    assert!((report.completeness() - 0.5).abs() < f64::EPSILON);
    report.parts[0].weight = 4;
    assert!((report.completeness() - 0.714).abs() < f64::EPSILON);
    report.parts.truncate(2);
    assert!((report.completeness() - 1.0).abs() < f64::EPSILON);
    assert!(!report.is_whole(), "a fallback is no answer of its service");
    report.parts.truncate(1);
    assert!(report.is_whole());
}
