//! Answers that are sent part by part (rule 22).

use futures::StreamExt as _;

use super::super::progress::{Event, Format, OwnedInputs, Progress};
use super::*;

/// Every event with the time at which it comes, in ms.
async fn events(source: &PlanSource, fields: &str, platform: &Platform) -> Vec<(u128, String)> {
    let clock = clock();
    let begun = clock.now();
    let environment = environment(platform, &clock, begun.after(10_000 * MS));
    let inputs = OwnedInputs {
        principal: Some(Arc::new(principal("4821"))),
        params: Vec::new(),
        query: None,
        headers: HeaderMap::new(),
        body: None,
    };
    let mut progress = Progress::begin(Arc::new(view(source, fields)), environment, inputs);
    let mut events = Vec::new();
    let reading = async {
        while let Some(event) = progress.next().await {
            let text = match event {
                Event::Part(json) => String::from_utf8(json.to_vec()).expect("UTF-8"),
                Event::Done(report) => format!("done {}", report.completeness()),
                Event::Failed(failed) => format!("failed {}", problem(failed).0["code"]),
            };
            events.push((clock.now().since(begun).as_millis(), text));
        }
    };
    ticking(&clock, reading).await;
    events
}

#[tokio::test(start_paused = true)]
async fn each_part_is_sent_when_it_lands_and_the_report_last() {
    let platform = healthy();
    platform.does("links", after(500, fails(Reason::Reset)));
    let events = events(&dashboard(), "profile(name),links,clicks,usage(plan)", &platform).await;
    let expected = [
        (10, r#"{"part":"clicks","outcome":"ok","data":1e400}"#),
        (30, r#"{"part":"profile","outcome":"ok","data":{"name":"Ada"}}"#),
        (40, r#"{"part":"usage","outcome":"ok","data":{"plan":"pro"}}"#),
        (500, r#"{"part":"links","outcome":"failed","reason":"reset","data":null}"#),
        (500, "done 0.75"),
    ];
    assert_eq!(events.len(), expected.len(), "{events:?}");
    for ((at, event), (due, expected)) in events.iter().zip(expected) {
        assert_eq!(event, expected);
        assert!(at.abs_diff(due) <= 1, "{event} came at {at} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_that_others_are_put_into_is_sent_again() {
    let owners = PartSource {
        for_each: Some("list.items".into()),
        into: Some("list.items.owner".into()),
        ..part("owners", "GET c:/users/{item.owner}")
    };
    let source = aggregate(vec![part("list", "GET a:/list"), owners]);
    let platform =
        platform([("list", says(r#"{"items":[{"owner":"b"}]}"#)), ("owners", says(r#"{"n":1}"#))]);
    let events = events(&source, "*", &platform).await;
    let events: Vec<&str> = events.iter().map(|(_, event)| event.as_str()).collect();
    assert_eq!(
        events,
        [
            r#"{"part":"list","outcome":"ok","data":{"items":[{"owner":null}]}}"#,
            r#"{"part":"list","outcome":"ok","data":{"items":[{"owner":{"n":1}}]}}"#,
            "done 1",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn where_a_value_stands_elsewhere_the_frame_says_where() {
    let root = PartSource { is_merged_into_root: true, ..part("root", "GET a:/") };
    let renamed = PartSource { into: Some("other".into()), ..part("x", "GET b:/") };
    let source = aggregate(vec![root, renamed]);
    let platform = platform([("root", says(r#"{"a":1}"#)), ("x", after(20, says("2")))]);
    let events = events(&source, "*", &platform).await;
    assert_eq!(events[0].1, r#"{"part":"root","at":"/","outcome":"ok","data":{"a":1}}"#);
    assert_eq!(events[1].1, r#"{"part":"x","at":"other","outcome":"ok","data":2}"#);
}

#[tokio::test(start_paused = true)]
async fn what_a_root_part_brings_is_settled_as_in_the_whole_answer() {
    let root = PartSource { is_merged_into_root: true, ..part("root", "GET a:/") };
    let source = aggregate(vec![part("x", "GET b:/"), root]);
    let platform = platform([("x", says("1")), ("root", after(20, says(r#"{"x":2,"a":3}"#)))]);
    let events = events(&source, "*", &platform).await;
    let frame = r#"{"part":"root","at":"/","outcome":"ok","data":{"x":1,"a":3}}"#;
    assert_eq!(events[1].1, frame);
}

#[tokio::test(start_paused = true)]
async fn a_required_part_that_fails_ends_the_answer_with_its_problem() {
    let platform = healthy();
    platform.does("profile", after(25, answers(500, "secret")));
    let events = events(&dashboard(), "*", &platform).await;
    let last = events.last().expect("events");
    assert_eq!(last.1, "failed \"part_failed\"");
    assert_eq!(events.len(), 3, "clicks and hooks had landed: {events:?}");
    assert_eq!(platform.under_way().0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_goes_away_takes_every_call_with_it() {
    let platform = healthy();
    let source = dashboard();
    let reading = events(&source, "*", &platform);
    assert!(tokio::time::timeout(15 * MS, reading).await.is_err());
    assert_eq!(platform.under_way(), (0, 5));
}

#[test]
fn a_frame_is_one_line_whatever_white_space_is_in_it() {
    let json = b"{\n \"a\":\r\n1}";
    assert_eq!(Format::Ndjson.frame("part", json), "{  \"a\":  1}\n");
    assert_eq!(Format::EventStream.frame("part", json), "event: part\ndata: {  \"a\":  1}\n\n");
}
