//! Parts that read one another, and what is fetched for the items of a list (rules 8 to 10).

use super::super::plan::BatchSource;
use super::*;

/// A list of four items with three owners, one of them twice.
fn items() -> Act {
    says(
        r#"{"items":[{"id":1,"owner":"b"},{"id":"2","owner":"a"},{"id":3.0,"owner":"b"},{"id":4}],"n":4}"#,
    )
}

fn list() -> PartSource {
    part("list", "GET a:/list")
}

fn clicks(size: usize) -> PartSource {
    PartSource {
        for_each: Some("list.items".into()),
        batch: Some(BatchSource { size, key: "of".into(), from: Some("results".into()) }),
        into: Some("list.items.clicks".into()),
        ..part("clicks", "GET b:/clicks?ids={items.id}")
    }
}

fn owners() -> PartSource {
    PartSource {
        for_each: Some("list.items".into()),
        into: Some("list.items.owner".into()),
        ..part("owners", "GET c:/users/{item.owner}")
    }
}

/// Answers for the ids that were asked for, but for `3.0`.
fn batch_of(call: &PartCall) -> Act {
    let query = call.call.target.query().unwrap_or_default();
    let ids = query.strip_prefix("ids=").expect("ids").split(',');
    let result = |id: &str| format!(r#"{{"of":"{id}","total":{id}0}}"#);
    let results: Vec<String> = ids.filter(|id| *id != "3.0").map(result).collect();
    says(&format!(r#"{{"results":[{}]}}"#, results.join(",")))
}

fn user_of(call: &PartCall) -> Act {
    let name = call.call.target.path().rsplit('/').next().unwrap_or_default().to_owned();
    says(&format!(r#"{{"name":"{name}"}}"#))
}

fn with_lists() -> Platform {
    let platform = platform([("list", items())]);
    platform.answers_by("clicks", batch_of).answers_by("owners", user_of);
    platform
}

#[tokio::test(start_paused = true)]
async fn a_part_waits_for_the_one_it_reads_and_for_no_other() {
    let source = aggregate(vec![
        part("plan", "GET a:/plans/{part.profile.plan.id}"),
        part("profile", "GET a:/profile"),
        part("slow", "GET a:/slow"),
    ]);
    let platform = platform([
        ("profile", after(10, says(r#"{"plan":{"id":"p/1"}}"#))),
        ("plan", after(10, says(r#"{"name":"Pro"}"#))),
        ("slow", after(15, says("1"))),
    ]);
    let (ms, answered) = timed(&view(&source, "*"), &platform, 10_000).await;
    let expected = r#"{"plan":{"name":"Pro"},"profile":{"plan":{"id":"p/1"}},"slow":1} "#;
    assert!(answered.starts_with(expected), "{answered}");
    assert!(ms.abs_diff(20) <= 1, "{ms} ms");
    assert_eq!(platform.calls().last().expect("calls"), "0 GET /plans/p%2F1");
}

#[tokio::test(start_paused = true)]
async fn what_a_part_reads_is_called_even_where_it_is_not_shown() {
    let source = aggregate(vec![
        part("plan", "GET a:/plans/{part.profile.id}"),
        part("profile", "GET a:/profile"),
        part("other", "GET a:/other"),
    ]);
    let platform = platform([("profile", says(r#"{"id":1}"#)), ("plan", says("2"))]);
    let answered = shown(answer(&view(&source, "plan"), &platform, "").await);
    assert_eq!(answered, r#"{"plan":2} plan;o=ok profile;o=ok"#);
}

#[tokio::test(start_paused = true)]
async fn what_reads_a_part_that_failed_or_lacks_it_is_skipped_or_fails() {
    let ask = async |need: Option<Need>, profile: Act| {
        let plan = PartSource { need, ..part("plan", "GET a:/{part.profile.id}") };
        let source =
            aggregate(vec![part("profile", "GET a:/profile"), plan, part("x", "GET a:/x")]);
        let platform = platform([("profile", profile), ("x", says("1"))]);
        shown(answer(&view(&source, "plan,x"), &platform, "").await)
    };
    for profile in [answers(500, ""), says("null"), says(r#"{"id":null}"#), says(r#"{"id":[]}"#)] {
        let answered = ask(None, profile.clone()).await;
        assert!(answered.starts_with(r#"{"plan":null,"x":1} "#), "{answered}");
        assert!(answered.contains("plan;o=skipped;r=missing_input"), "{answered}");
        let answered = ask(Some(Need::Required), profile).await;
        assert!(answered.starts_with("502 part_failed "), "{answered}");
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_items_of_ten_ids_are_one_call_and_each_has_its_own() {
    let items: Vec<String> = (0..50).map(|item| format!(r#"{{"id":{}}}"#, item % 10 + 1)).collect();
    let platform = platform([("list", says(&format!(r#"{{"items":[{}]}}"#, items.join(","))))]);
    platform.answers_by("clicks", batch_of);
    let source = aggregate(vec![list(), clicks(50)]);
    let answered = answer(&view(&source, "*"), &platform, "").await.expect("an answer");
    assert_eq!(platform.calls()[1..], ["1 GET /clicks?ids=1,2,3,4,5,6,7,8,9,10"]);
    let body: Value = serde_json::from_slice(&answered.body).expect("JSON");
    for (place, item) in body["list"]["items"].as_array().expect("items").iter().enumerate() {
        assert_eq!(item["clicks"]["total"], json!((place % 10 + 1) * 10));
    }
    let source = aggregate(vec![list(), clicks(4)]);
    answer(&view(&source, "*"), &platform, "").await.expect("an answer");
    assert_eq!(platform.calls().len(), 2 + 1 + 3, "ten ids, four at a time");
}

#[tokio::test(start_paused = true)]
async fn equal_calls_are_one_and_results_are_joined_by_what_they_are_for() {
    let platform = with_lists();
    let source = aggregate(vec![list(), clicks(50), owners()]);
    assert_eq!(
        shown(answer(&view(&source, "*"), &platform, "").await),
        concat!(
            r#"{"list":{"items":["#,
            r#"{"id":1,"owner":{"name":"b"},"clicks":{"of":"1","total":10}},"#,
            r#"{"id":"2","owner":{"name":"a"},"clicks":{"of":"2","total":20}},"#,
            // Its service does not know it: that is an answer.
            r#"{"id":3.0,"owner":{"name":"b"},"clicks":null},"#,
            // It has no owner to ask for.
            r#"{"id":4,"clicks":{"of":"4","total":40},"owner":null}],"n":4}} "#,
            "list;o=ok clicks;o=ok owners;o=ok"
        )
    );
    let mut calls = platform.calls();
    calls.sort_unstable();
    let expected =
        ["0 GET /list", "1 GET /clicks?ids=1,2,3.0,4", "2 GET /users/a", "2 GET /users/b"];
    assert_eq!(calls, expected);
    let compact = view(&source, "list/items(id,clicks/total)");
    let body = answer(&compact, &platform, "").await.expect("an answer").body;
    assert_eq!(
        String::from_utf8_lossy(&body),
        concat!(
            r#"{"list":{"items":[{"id":1,"clicks":{"total":10}},{"id":"2","clicks":{"total":20}},"#,
            r#"{"id":3.0,"clicks":null},{"id":4,"clicks":{"total":40}}]}}"#
        )
    );
    let without = view(&source, "list/items(id)");
    let report = answer(&without, &platform, "").await.expect("an answer").report;
    assert_eq!(report.parts.len(), 1, "what is not shown is not fetched");
}

#[tokio::test(start_paused = true)]
async fn one_item_failing_leaves_the_others_whole_and_the_report_counts() {
    let ask = async |change: fn(&mut PartSource)| {
        let platform = with_lists();
        platform.answers_by("owners", |call| match call.call.target.path() {
            "/users/b" => answers(500, "secret"),
            _ => user_of(call),
        });
        let mut owners = owners();
        change(&mut owners);
        shown(
            answer(&view(&aggregate(vec![list(), owners]), "list/items/owner"), &platform, "")
                .await,
        )
    };
    assert_eq!(
        ask(|_| {}).await,
        concat!(
            r#"{"list":{"items":[{"owner":null},{"owner":{"name":"a"}},{"owner":null},{"owner":null}]}} "#,
            "list;o=ok owners;o=partial;r=status;status=500;failed=2;of=4"
        )
    );
    assert_eq!(
        ask(|owners| owners.fallback = Some(r#"{"name":"?"}"#.into())).await,
        concat!(
            r#"{"list":{"items":[{"owner":{"name":"?"}},{"owner":{"name":"a"}},{"owner":{"name":"?"}},{"owner":null}]}} "#,
            "list;o=ok owners;o=fallback;r=status;status=500"
        )
    );
    let required = ask(|owners| owners.need = Some(Need::Required)).await;
    assert!(required.starts_with("502 part_failed "), "{required}");
}

#[tokio::test(start_paused = true)]
async fn items_without_a_place_are_a_list_under_the_part_s_name() {
    let platform = with_lists();
    let owners = PartSource { into: None, ..owners() };
    let source = aggregate(vec![list(), owners]);
    assert_eq!(
        shown(answer(&view(&source, "owners"), &platform, "").await),
        r#"{"owners":[{"name":"b"},{"name":"a"},{"name":"b"},null]} list;o=ok owners;o=ok"#
    );
}

#[tokio::test(start_paused = true)]
async fn no_items_need_no_call_and_too_many_are_refused() {
    let platform = platform([("list", says(r#"{"items":[]}"#))]);
    let mut source = aggregate(vec![list(), owners()]);
    let answered = shown(answer(&view(&source, "*"), &platform, "").await);
    assert_eq!(answered, r#"{"list":{"items":[]}} list;o=ok owners;o=ok"#);
    assert_eq!(platform.calls().len(), 1);
    source.caps.items_max = 3;
    let answered = shown(answer(&view(&source, "*"), &with_lists(), "").await);
    assert!(answered.ends_with("owners;o=failed;r=too_many_items"), "{answered}");
    assert!(answered.contains(r#"{"id":1,"owner":null}"#), "{answered}");
}

#[tokio::test(start_paused = true)]
async fn calls_for_items_count_for_the_cap_on_calls_under_way() {
    let platform = with_lists();
    let mut source = aggregate(vec![list(), owners(), part("x", "GET a:/x")]);
    platform.does("x", after(50, says("1")));
    source.caps.concurrent_calls_max = 2;
    answer(&view(&source, "*"), &platform, "").await.expect("an answer");
    assert_eq!(platform.under_way(), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn values_stand_where_they_are_put_and_conflicts_end_by_the_policy() {
    use super::super::merge::Policy;
    let settings = |into: &str, on_conflict| PartSource {
        into: Some(into.into()),
        on_conflict,
        ..part("settings", "GET b:/settings")
    };
    let ask = async |second: PartSource, fields: &str| {
        let source = aggregate(vec![part("profile", "GET a:/profile"), second]);
        let platform = platform([
            ("profile", says(r#"{"name":"Ada","theme":{"dark":true}}"#)),
            ("settings", says(r#"{"theme":{"size":2},"lang":"de"}"#)),
        ]);
        let composed = answer(&view(&source, fields), &platform, "").await.expect("an answer");
        String::from_utf8(composed.body.to_vec()).expect("UTF-8")
    };
    assert_eq!(
        ask(settings("profile.settings", None), "*").await,
        r#"{"profile":{"name":"Ada","theme":{"dark":true},"settings":{"theme":{"size":2},"lang":"de"}}}"#
    );
    assert_eq!(
        ask(settings("profile.settings", None), "profile(settings/lang)").await,
        r#"{"profile":{"settings":{"lang":"de"}}}"#
    );
    assert_eq!(ask(settings("more", None), "more(lang)").await, r#"{"more":{"lang":"de"}}"#);
    for (policy, expected) in [
        (Policy::First, r#"{"profile":{"name":"Ada","theme":{"dark":true}}}"#),
        (Policy::Last, r#"{"profile":{"theme":{"size":2},"lang":"de"}}"#),
        (Policy::Deep, r#"{"profile":{"name":"Ada","theme":{"dark":true,"size":2},"lang":"de"}}"#),
    ] {
        assert_eq!(ask(settings("profile", Some(policy)), "*").await, expected, "{policy:?}");
    }
    let root = PartSource { is_merged_into_root: true, ..part("settings", "GET b:/settings") };
    assert_eq!(
        ask(root.clone(), "*").await,
        r#"{"profile":{"name":"Ada","theme":{"dark":true}},"theme":{"size":2},"lang":"de"}"#
    );
    assert_eq!(ask(root, "lang").await, r#"{"lang":"de"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_part_without_a_value_leaves_its_place_to_the_other_that_claims_it() {
    use super::super::merge::Policy;
    for policy in [Policy::First, Policy::Last, Policy::Deep, Policy::Concat] {
        for (first, second, expected) in [
            (says("1"), answers(500, ""), r#"{"x":1} "#),
            (answers(500, ""), says("2"), r#"{"x":2} "#),
        ] {
            let second_part = PartSource {
                into: Some("x".into()),
                on_conflict: Some(policy),
                ..part("y", "GET b:/")
            };
            let source = aggregate(vec![part("x", "GET a:/"), second_part]);
            let platform = platform([("x", first), ("y", second)]);
            let answered = shown(answer(&view(&source, "*"), &platform, "").await);
            assert!(answered.starts_with(expected), "{policy:?}: {answered}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fallback_without_a_place_is_no_answer() {
    let clicks = PartSource { fallback: Some("0".into()), ..clicks(50) };
    let source = aggregate(vec![list(), clicks]);
    let platform = platform([("list", answers(500, ""))]);
    let answered = shown(answer(&view(&source, "*"), &platform, "").await);
    let expected = "502 all_parts_failed list;o=failed;r=status;status=500 \
                    clicks;o=skipped;r=missing_input";
    assert_eq!(answered, expected);
}

#[tokio::test(start_paused = true)]
async fn the_report_s_name_is_nobody_else_s() {
    let root = PartSource { is_merged_into_root: true, ..part("root", "GET a:/") };
    let mut view = view(&aggregate(vec![root]), "*");
    view.has_meta = true;
    let platform = platform([("root", says(r#"{"_meta":1,"a":2}"#))]);
    let body = answer(&view, &platform, "").await.expect("an answer").body;
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(body.starts_with(r#"{"a":2,"_meta":{"completeness":1"#), "{body}");
}
