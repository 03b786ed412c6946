//! Every mistake of a declaration, under its key.

use std::time::Duration;

use super::super::testing::{aggregate, part};
use super::*;

fn mistakes(source: &PlanSource) -> Vec<String> {
    let resolve = |name: &str| (name == "s").then_some(0);
    Plan::compile(source, &resolve)
        .err()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn every_mistake_of_a_declaration_is_reported_at_once_under_its_key() {
    let fallback = |need, fallback: &str| PartSource {
        need: Some(need),
        fallback: (!fallback.is_empty()).then(|| fallback.to_owned()),
        ..part("f", "GET s:/f")
    };
    let source = PlanSource {
        deadline: Duration::ZERO,
        ..aggregate(vec![
            part("a", "GET other:/a"),
            part("a", "TRACE s:/a"),
            part("_meta", "GET s:/b"),
            PartSource { weight: 0, deadline: Some(Duration::ZERO), ..part("c", "GET s:/c") },
            fallback(Need::Fallback, ""),
            PartSource { name: "g".into(), ..fallback(Need::Required, "1") },
            PartSource { name: "h".into(), ..fallback(Need::Fallback, "{plan}") },
        ])
    };
    assert_eq!(
        mistakes(&source),
        [
            "aggregates.dashboard.deadline: must be longer than nothing",
            "aggregates.dashboard.parts: two parts have this name",
            "aggregates.dashboard.parts.a.call: there is no service \"other\"",
            "aggregates.dashboard.parts.a.call: the method must be GET, POST, PUT, PATCH or DELETE",
            "aggregates.dashboard.parts._meta: must be 1 to 64 letters, digits, \"-\" and \
             \"_\", a letter first",
            "aggregates.dashboard.parts.c.deadline: must be longer than nothing",
            "aggregates.dashboard.parts.c.weight: must be from 1 to 1000",
            "aggregates.dashboard.parts.f.need: needs a \"fallback\" to fall back to",
            "aggregates.dashboard.parts.g.need: must be \"fallback\" where there is a \
             \"fallback\"",
            "aggregates.dashboard.parts.h.fallback: must be one JSON value",
        ]
    );
}

#[test]
fn an_aggregate_has_from_one_part_to_the_cap() {
    let many = |count: usize| {
        let parts = (0..count).map(|number| part(&format!("p{number}"), "GET s:/"));
        mistakes(&aggregate(parts.collect()))
    };
    let refused = ["aggregates.dashboard.parts: must be from 1 to 32 parts"];
    assert_eq!(many(0), refused);
    assert!(many(1).is_empty() && many(32).is_empty());
    assert_eq!(many(33), refused);
}

/// One part's mistakes beside `list`, which has items, without the key up to the part.
#[track_caller]
fn mistake(part: &PartSource, expected: &[&str]) {
    let list = super::super::testing::part("list", "GET s:/list");
    let found = mistakes(&aggregate(vec![list, part.clone()]));
    let prefix = format!("aggregates.dashboard.parts.{}.", part.name);
    let found: Vec<&str> =
        found.iter().map(|found| found.strip_prefix(&prefix).unwrap_or(found)).collect();
    assert_eq!(found, expected, "{part:?}");
}

fn source(call: &str, change: impl FnOnce(&mut PartSource)) -> PartSource {
    let mut source = part("x", call);
    change(&mut source);
    source
}

#[test]
fn items_and_batches_stand_where_they_can_be_had() {
    let each = |part: &mut PartSource| part.for_each = Some("list.items".into());
    let batch = |part: &mut PartSource| {
        each(part);
        part.batch = Some(BatchSource { size: 2, key: "id".into(), from: None });
    };
    mistake(&source("GET s:/x/{item.id}", each), &[]);
    mistake(&source("GET s:/x?ids={items.id}", batch), &[]);
    let no_items = "call: reads items, and there is no `for_each`";
    mistake(&source("GET s:/x/{item.id}", |_| {}), &[no_items]);
    mistake(
        &source("GET s:/x/{items.id}", each),
        &["call: reads all items at once, and there is no `batch`"],
    );
    mistake(
        &source("GET s:/x", each),
        &["call: reads no `{item.…}`, so all calls would be the same"],
    );
    mistake(
        &source("GET s:/x/{item.id}", batch),
        &["call: reads one item, and a `batch` has several"],
    );
    mistake(
        &source("POST s:/x/{item.id}", each),
        &["for_each: must be absent: a write is one call"],
    );
    mistake(
        &source("GET s:/x/{item.id}", |part| part.for_each = Some("none.items".into())),
        &["for_each: must begin with a part"],
    );
    mistake(&source("GET s:/x/{part.none.id}", |_| {}), &["call: there is no part \"none\""]);
}

#[test]
fn two_parts_claim_one_place_only_by_a_policy() {
    let into = |place: &str| source("GET s:/x", |part| part.into = Some(place.into()));
    mistake(&into("elsewhere"), &[]);
    mistake(&into("list.meta.x"), &[]);
    mistake(
        &into("list"),
        &["into: claims list, as \"list\" does; say `on_conflict = \"first\"`, \"last\", \
           \"deep\" or \"concat\""],
    );
    let deep = PartSource { on_conflict: Some(super::super::merge::Policy::Deep), ..into("list") };
    mistake(&deep, &[]);
    mistake(&into("_meta"), &["into: must be another name: `_meta` is the report's"]);
    mistake(&into("none.x"), &["into: there is no part \"none\""]);
    mistake(&into("x.y"), &["into: must lead into a part that stands under its own name"]);
    let each = |place: &str| {
        source("GET s:/x/{item.id}", |part| {
            part.for_each = Some("list.items".into());
            part.into = Some(place.into());
        })
    };
    mistake(&each("list.items.x"), &[]);
    mistake(&each("list.x"), &["into: must be \"list.items\" and one more name"]);
    let roots =
        ["a", "b"].map(|name| PartSource { is_merged_into_root: true, ..part(name, "GET s:/") });
    let found = mistakes(&aggregate(roots.to_vec()));
    assert!(
        found[0].starts_with("aggregates.dashboard.parts.b.merge: claims the root"),
        "{found:?}"
    );
}

#[test]
fn a_cycle_is_printed_and_two_writes_are_a_lie() {
    let circle = vec![
        part("a", "GET s:/{part.b.x}"),
        part("b", "GET s:/{part.c.x}"),
        part("c", "GET s:/{part.a.x}"),
    ];
    let expected = "aggregates.dashboard.parts: wait for one another: a → b → c → a";
    assert_eq!(mistakes(&aggregate(circle)), [expected]);
    let itself = vec![part("a", "GET s:/{part.a.x}")];
    assert_eq!(
        mistakes(&aggregate(itself)),
        ["aggregates.dashboard.parts: wait for one another: a → a"]
    );
    let writes =
        vec![part("a", "POST s:/"), part("b", "DELETE s:/"), part("c", "GET s:/{part.a.x}")];
    assert_eq!(
        mistakes(&aggregate(writes)),
        [
            "aggregates.dashboard.parts.b.call: is a second write: what the first one did could \
             not be undone",
            "aggregates.dashboard.parts.c.call: reads the write's answer, and the write runs last",
        ]
    );
}

#[test]
fn what_is_kept_for_everybody_depends_on_nobody() {
    let shared = |call: &str| {
        source(call, |part| {
            part.cache = Some(CacheSource {
                ttl: Duration::from_secs(1),
                stale_while_revalidate: Duration::ZERO,
                stale_if_error: Duration::ZERO,
                is_shared: true,
            });
        })
    };
    mistake(&shared("GET s:/x?l={query.l|de}"), &[]);
    let reason = "cache.scope: must be \"identity\": the call, or whose data it is, depends on who \
                  asks";
    mistake(&shared("GET s:/x/{identity.user_id}"), &[reason]);
    let owned = PartSource { owner: Some("owner".into()), ..shared("GET s:/x") };
    mistake(&owned, &[reason]);
    mistake(&shared("POST s:/x"), &["cache: must be absent: a write is not kept"]);
    let mut never = shared("GET s:/x");
    never.cache = never.cache.map(|cache| CacheSource { ttl: Duration::ZERO, ..cache });
    mistake(&never, &["cache.ttl: must be longer than nothing"]);
}

#[test]
fn what_cannot_be_read_is_reported_where_it_stands() {
    mistake(
        &source("GET s:/", |part| part.when = Some("role".into())),
        &["when: {role} must name a source and a value: {query.limit}"],
    );
    mistake(
        &source("GET s:/", |part| part.drop = Some("a(".into())),
        &["drop: a name is missing at character 3"],
    );
    mistake(
        &source("GET s:/", |part| part.rename = vec![("a//b".into(), "c".into())]),
        &["rename: must be names with \"/\" between them"],
    );
    mistake(
        &source("GET s:/", |part| part.headers = vec![("Cookie".into(), "a".into())]),
        &["headers.Cookie: the cookie field never reaches a part"],
    );
    mistake(
        &source("GET s:/", |part| part.headers = vec![("X-User-Id".into(), "a".into())]),
        &["headers.x-user-id: must be absent: the gateway says this itself"],
    );
    mistake(
        &source("GET s:/", |part| part.body = Some(serde_json::json!(1))),
        &["body: must be absent: a GET has no body"],
    );
    mistake(
        &source("PUT s:/", |part| part.body = Some(serde_json::json!("{x"))),
        &["body: a \"{\" has no \"}\" behind it"],
    );
    let mut headers = aggregate(vec![part("x", "GET s:/")]);
    headers.response_headers = ["Set-Cookie", "ETag", "X-User-Id", "a b"]
        .map(|name| (name.to_owned(), HeaderRule::First))
        .to_vec();
    let at = "aggregates.dashboard.response_headers";
    assert_eq!(
        mistakes(&headers),
        [
            format!("{at}.Set-Cookie: must be absent: name the cookies under `set_cookies`"),
            format!("{at}.ETag: must be absent: the gateway says this itself"),
            format!("{at}.X-User-Id: must be absent: the gateway says this itself"),
            format!("{at}.a b: is no name of a header field"),
        ]
    );
}

#[test]
fn what_an_answer_can_do_without_is_light_and_read_by_nothing_that_stays() {
    let required = |one: PartSource| PartSource { need: Some(Need::Required), ..one };
    let heavy = |one: PartSource| PartSource { weight: 2, ..one };
    let spare = |weight_max, parts| {
        let source = PlanSource { brownout_weight_max: weight_max, ..aggregate(parts) };
        let plan = Plan::compile(&source, &|_| Some(0)).expect("a plan");
        let spare = plan.parts.iter().filter(|part| part.is_spare);
        spare.map(|part| part.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let parts = || {
        vec![
            required(part("a", "GET s:/a/{part.b.id}")),
            part("b", "GET s:/b/{part.c.id}"),
            part("c", "GET s:/c"),
            part("d", "GET s:/d"),
            heavy(part("e", "GET s:/e")),
            part("f", "POST s:/f"),
            PartSource { fallback: Some("1".into()), ..part("g", "GET s:/g/{part.d.id}") },
        ]
    };
    assert_eq!(spare(1, parts()), "d g");
    assert_eq!(spare(2, parts()), "d e g");
    assert_eq!(spare(0, parts()), "", "none");
    let light = || vec![part("a", "GET s:/a"), part("b", "GET s:/b")];
    assert_eq!(spare(1, light()), "", "something must be left");
    let mut mixed = light();
    mixed.push(heavy(part("e", "GET s:/e/{part.b.id}")));
    assert_eq!(spare(2, mixed), "a", "the heaviest stays, and what it reads");
}
