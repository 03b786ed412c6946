//! Whole answers, with services that live in memory and time that passes only when nobody is busy.

mod cached;
mod joined;
mod progressive;
mod shaped;
mod written;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::caller::{PartAnswer, PartCall, PartFailure};
use super::part_cache::PartCache;
use super::plan::{Need, PartSource, PlanSource};
use super::status::Reason;
use super::testing::{aggregate, part, principal};
use super::*;
use crate::clock::{Clock, Moment, Timestamp};
use crate::error::Refused;
use crate::exchange::RequestId;
use crate::principal::Principal;

const MS: Duration = Duration::from_millis(1);

/// What a service does when it is called, and after how long.
type Act = (Duration, Result<PartAnswer, PartFailure>);

fn says(body: &str) -> Act {
    answers(200, body)
}

fn answers(status: u16, body: &str) -> Act {
    let answer = PartAnswer {
        status: StatusCode::from_u16(status).expect("status"),
        headers: HeaderMap::new(),
        retry_after: None,
        body: Bytes::copy_from_slice(body.as_bytes()),
        waited: Duration::ZERO,
    };
    (10 * MS, Ok(answer))
}

fn fails(reason: Reason) -> Act {
    (10 * MS, Err(reason.into()))
}

fn after(ms: u32, act: Act) -> Act {
    (ms * MS, act.1)
}

/// What a service does for one call.
type Script = Arc<dyn Fn(&PartCall) -> Act + Send + Sync>;

/// The services, by the part that calls them, and what they have seen.
#[derive(Clone, Default)]
struct Platform {
    services: Arc<Services>,
    /// Whom it is called for: what stands for `{who}` in an answer.
    who: Arc<str>,
}

#[derive(Default)]
struct Services {
    scripts: Mutex<HashMap<&'static str, Script>>,
    /// The gateway's own time in front of each call.
    overhead: Mutex<Duration>,
    calls: Mutex<Vec<String>>,
    under_way: AtomicUsize,
    under_way_max: AtomicUsize,
}

impl Platform {
    fn does(&self, part: &'static str, act: Act) -> &Self {
        self.answers_by(part, move |_| act.clone())
    }

    fn answers_by(
        &self,
        part: &'static str,
        script: impl Fn(&PartCall) -> Act + Send + Sync + 'static,
    ) -> &Self {
        self.services.scripts.lock().expect("no panic").insert(part, Arc::new(script));
        self
    }

    fn calls(&self) -> Vec<String> {
        self.services.calls.lock().expect("no panic").clone()
    }

    fn under_way(&self) -> (usize, usize) {
        (
            self.services.under_way.load(Ordering::SeqCst),
            self.services.under_way_max.load(Ordering::SeqCst),
        )
    }
}

/// Counts a call out again, however it ends.
struct Leaving(Arc<Services>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Caller for Platform {
    fn call(&self, call: PartCall) -> BoxFuture<'static, Result<PartAnswer, PartFailure>> {
        let Self { services, who } = self.clone();
        Box::pin(async move {
            let sent = &call.call;
            let mut line = format!("{} {} {}", call.service, sent.method, sent.target);
            if let Some(body) = &sent.body {
                line.push_str(&format!(" {}", String::from_utf8_lossy(body)));
            }
            services.calls.lock().expect("no panic").push(line);
            let now = services.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            services.under_way_max.fetch_max(now, Ordering::SeqCst);
            let _leaving = Leaving(Arc::clone(&services));
            let script = services.scripts.lock().expect("no panic").get(&*call.part).cloned();
            let (delay, result) =
                script.unwrap_or_else(|| panic!("no script for {}", call.part))(&call);
            let overhead = *services.overhead.lock().expect("no panic");
            tokio::time::sleep(overhead + delay).await;
            result.map(|answer| {
                let body = String::from_utf8_lossy(&answer.body).replace("{who}", &who).into();
                PartAnswer { waited: delay, body, ..answer }
            })
        })
    }
}

fn platform(acts: impl IntoIterator<Item = (&'static str, Act)>) -> Platform {
    let platform = Platform::default();
    for (part, act) in acts {
        platform.does(part, act);
    }
    platform
}

fn view(source: &PlanSource, fields: &str) -> View {
    let view = ViewSource {
        name: "dashboard".into(),
        fields: fields.into(),
        limits: Vec::new(),
        drop: None,
        has_meta: false,
        params: vec!["id".into()],
        takes_safe_methods: false,
    };
    let plan = Plan::compile(source, &|name| "abcdefs".find(name)).expect("a plan");
    View::compile(&view, Arc::new(plan)).expect("a view")
}

fn clock() -> Clock {
    Clock::manual(Timestamp::from_unix_seconds(1_700_000_000))
}

/// Lets a view answer while the clock follows tokio's paused time.
async fn answer(
    view: &View,
    platform: &Platform,
    query: &str,
) -> Result<Composed, AggregateFailed> {
    let clock = clock();
    let due = clock.now().after(10_000 * MS);
    answer_by(view, platform, query, &clock, due).await
}

async fn answer_by(
    view: &View,
    platform: &Platform,
    query: &str,
    clock: &Clock,
    due: Moment,
) -> Result<Composed, AggregateFailed> {
    let environment = environment(platform, clock, due);
    answer_to(view, &environment, &principal("4821"), query).await
}

fn environment(platform: &Platform, clock: &Clock, due: Moment) -> Environment<Platform> {
    let cache = PartCache::new(1 << 20);
    Environment { caller: platform.clone(), clock: clock.clone(), cache, due }
}

async fn answer_to(
    view: &View,
    environment: &Environment<Platform>,
    principal: &Principal,
    query: &str,
) -> Result<Composed, AggregateFailed> {
    let body = Bytes::from_static(br#"{"title":"new"}"#);
    let inputs = Inputs {
        principal: Some(principal),
        params: &["x7".into()],
        query: Some(query),
        headers: &HeaderMap::new(),
        body: Some(&body),
    };
    let answered = view.answer(environment, &inputs);
    ticking(&environment.clock, answered).await
}

/// Lets the clock follow tokio's paused time while a future runs.
async fn ticking<T>(clock: &Clock, future: impl Future<Output = T>) -> T {
    let ticks = async {
        loop {
            tokio::time::sleep(MS).await;
            clock.advance(MS);
        }
    };
    tokio::select! {
        // The clock first, so that it already shows the time at which something ends.
        biased;
        () = ticks => unreachable!("a clock never stops"),
        done = future => done,
    }
}

/// An answer in one line: its body and its report without times; or its problem.
fn shown(answered: Result<Composed, AggregateFailed>) -> String {
    let status = |report: &Report| {
        let timed = report.aggregate_status();
        let text = timed.to_str().expect("ASCII");
        let parts = text.split(", ").map(|part| part.split(";ms=").next().unwrap_or_default());
        parts.collect::<Vec<_>>().join(" ")
    };
    match answered {
        Ok(composed) => {
            let body = String::from_utf8(composed.body.to_vec()).expect("UTF-8");
            format!("{body} {}", status(&composed.report))
        }
        Err(failed) => {
            let report = failed.report().map(status).unwrap_or_default();
            let response = problem(failed).0;
            format!("{} {} {report}", response["status"], response["code"].as_str().expect("code"))
        }
    }
}

fn problem(failed: AggregateFailed) -> (Value, HeaderMap) {
    let request_id = RequestId::parse("req_01JDEXAMP00000000000000000").expect("well-formed");
    let response = Refused::from(failed).to_response(&request_id);
    (serde_json::from_slice(response.body()).expect("JSON"), response.headers().clone())
}

fn dashboard() -> PlanSource {
    aggregate(vec![
        PartSource {
            need: Some(Need::Required),
            ..part("profile", "GET a:/users/{identity.user_id}")
        },
        part("links", "GET b:/links?owner={identity.user_id}&limit={query.limit|20}"),
        part("clicks", "GET c:/summary"),
        PartSource {
            fallback: Some(r#"{"plan":"unknown","price":null}"#.into()),
            ..part("usage", "GET d:/usage")
        },
        part("hooks", "GET b:/webhooks"),
    ])
}

fn healthy() -> Platform {
    platform([
        ("profile", after(30, says(r#"{"name":"Ada","email":"a@b.example"}"#))),
        ("links", after(50, says(r#"{"items":[{"id":9007199254740993,"slug":"a"},{"id":0.10}]}"#))),
        ("clicks", after(10, says("  1e400 "))),
        ("usage", after(40, says(r#"{"plan":"pro","price":12}"#))),
        ("hooks", after(20, answers(204, ""))),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_whole_view_is_every_part_byte_for_byte_in_declaration_order() {
    let platform = healthy();
    assert_eq!(
        shown(answer(&view(&dashboard(), "*"), &platform, "limit=5").await),
        concat!(
            r#"{"profile":{"name":"Ada","email":"a@b.example"},"#,
            r#""links":{"items":[{"id":9007199254740993,"slug":"a"},{"id":0.10}]},"#,
            r#""clicks":1e400,"usage":{"plan":"pro","price":12},"hooks":null} "#,
            "profile;o=ok links;o=ok clicks;o=ok usage;o=ok hooks;o=ok"
        )
    );
    let calls = [
        "0 GET /users/4821",
        "1 GET /links?owner=4821&limit=5",
        "2 GET /summary",
        "3 GET /usage",
        "1 GET /webhooks",
    ];
    let mut seen = platform.calls();
    seen.sort_unstable();
    let mut expected = calls.map(str::to_owned);
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

#[tokio::test(start_paused = true)]
async fn a_compact_view_shows_what_it_names_and_calls_only_for_that() {
    let platform = healthy();
    let compact = view(&dashboard(), "links/items(id),usage(plan)");
    assert_eq!(
        shown(answer(&compact, &platform, "").await),
        concat!(
            r#"{"links":{"items":[{"id":9007199254740993},{"id":0.10}]},"usage":{"plan":"pro"}} "#,
            // Required though hidden: it is called, and only its failure would be seen.
            "profile;o=ok links;o=ok usage;o=ok"
        )
    );
    assert_eq!(platform.calls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_client_s_fields_narrow_the_view_and_a_hidden_one_is_unknown() {
    let compact = view(&dashboard(), "profile(name),links/items(id),usage(plan)");
    let ask = async |query: &str| shown(answer(&compact, &healthy(), query).await);
    assert_eq!(
        ask("fields=usage%28plan%29,profile/name").await,
        r#"{"profile":{"name":"Ada"},"usage":{"plan":"pro"}} profile;o=ok usage;o=ok"#
    );
    for hidden in ["hooks", "links/items/slug", "usage(price)", "nothing", "__proto__"] {
        assert_eq!(ask(&format!("fields={hidden}")).await, "400 unknown_field ", "{hidden}");
    }
    assert_eq!(ask("fields=profile(").await, "400 invalid_fields ");
    assert_eq!(ask("fields=").await, "400 invalid_fields ");

    let failed = answer(&compact, &healthy(), "fields=profile(name,email)").await;
    let (problem, _) = problem(failed.expect_err("hidden"));
    assert_eq!(problem["field"], "profile/email");
    assert_eq!(problem["detail"], "There is no field \"profile/email\" here.");
}

#[tokio::test(start_paused = true)]
async fn latencies_never_change_a_byte_of_the_answer() {
    let mut random = StdRng::seed_from_u64(7);
    let mut meta = view(&dashboard(), "*");
    meta.has_meta = true;
    let mut bodies = Vec::new();
    for _ in 0..1_000 {
        let platform = healthy();
        platform.does("links", answers(500, ""));
        let scripts: Vec<_> = platform.services.scripts.lock().expect("no panic").drain().collect();
        for (part, script) in scripts {
            let delay = random.random_range(0..60) * MS;
            platform.answers_by(part, move |call| (delay, script(call).1));
        }
        bodies.push(answer(&meta, &platform, "").await.expect("an answer").body);
    }
    let meta = concat!(
        r#""_meta":{"completeness":0.8,"parts":{"profile":{"outcome":"ok"},"#,
        r#""links":{"outcome":"failed","reason":"status"},"clicks":{"outcome":"ok"},"#,
        r#""usage":{"outcome":"ok"},"hooks":{"outcome":"ok"}}}}"#
    );
    assert!(bodies[0].ends_with(meta.as_bytes()), "{:?}", bodies[0]);
    assert!(bodies.iter().all(|body| body == &bodies[0]));
}

/// One part fails next to one that does not: required, optional and with a fallback.
async fn check_failure(act: Act, required: &str, reason: &str) {
    for (need, expected) in [
        (Need::Required, required.to_owned()),
        (Need::Optional, format!(r#"{{"x":null,"y":1}} x;o=failed;r={reason} y;o=ok"#)),
        (Need::Fallback, format!(r#"{{"x":{{"a":0}},"y":1}} x;o=fallback;r={reason} y;o=ok"#)),
    ] {
        let fallback = (need == Need::Fallback).then(|| r#"{"a":0,"hidden":1}"#.to_owned());
        let x = PartSource { need: Some(need), fallback, ..part("x", "GET a:/x") };
        let view = view(&aggregate(vec![x, part("y", "GET b:/y")]), "x(a),y");
        let platform = platform([("x", act.clone()), ("y", after(0, says("1")))]);
        let answered = answer(&view, &platform, "").await;
        let status = answered.as_ref().ok().map(|composed| {
            let mut headers = HeaderMap::new();
            composed.add_headers(&mut headers);
            assert_eq!(composed.etag(b""), None, "{act:?} {need:?}");
            headers["cache-control"].clone()
        });
        let answered = shown(answered);
        match need {
            Need::Required => {
                let report = format!(" x;o=failed;r={reason} y;o=ok");
                assert_eq!(answered, format!("{expected}{report}"), "{act:?}");
            }
            Need::Optional | Need::Fallback => {
                assert_eq!(answered, expected, "{act:?} {need:?}");
                assert_eq!(status.expect("an answer"), "no-store");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_failure_does_to_the_answer_what_the_part_s_need_says() {
    let secret = r#"{"secret":1}"#;
    check_failure(answers(404, secret), "404 part_not_found", "status;status=404").await;
    check_failure(answers(401, secret), "401 part_unauthorized", "status;status=401").await;
    check_failure(answers(403, secret), "403 part_forbidden", "status;status=403").await;
    check_failure(answers(429, secret), "429 part_rate_limited", "status;status=429").await;
    check_failure(answers(400, secret), "502 part_failed", "status;status=400").await;
    check_failure(answers(410, secret), "502 part_failed", "status;status=410").await;
    check_failure(answers(500, secret), "502 part_failed", "status;status=500").await;
    check_failure(answers(503, secret), "502 part_failed", "status;status=503").await;
    check_failure(answers(302, secret), "502 part_failed", "redirect").await;
    check_failure(answers(304, ""), "502 part_failed", "redirect").await;
    check_failure(fails(Reason::Refused), "502 part_failed", "refused").await;
    check_failure(fails(Reason::Reset), "502 part_failed", "reset").await;
    check_failure(fails(Reason::TooLarge), "502 part_failed", "too_large").await;
    check_failure(fails(Reason::Timeout), "504 part_timeout", "timeout").await;
    check_failure(after(60_000, says("1")), "504 part_timeout", "timeout").await;
    check_failure(fails(Reason::Unavailable), "503 part_unavailable", "unavailable").await;
    check_failure(fails(Reason::Busy), "503 part_busy", "busy").await;
    check_failure(fails(Reason::Overloaded), "503 part_overloaded", "overloaded").await;
    check_failure(fails(Reason::Maintenance), "503 part_maintenance", "maintenance").await;
    check_failure(says("{\"a\":1"), "502 part_failed", "unparsable").await;
    check_failure(says("{\"a\":1} {}"), "502 part_failed", "unparsable").await;
    check_failure(says("<html>"), "502 part_failed", "unparsable").await;
    let large = format!("\"{}\"", "a".repeat(4 << 20));
    check_failure(says(&large), "502 part_failed", "too_large").await;
}

#[tokio::test(start_paused = true)]
async fn any_2xx_is_success_and_no_body_is_null() {
    for (status, body, expected) in [
        (200, "[]", "[]"),
        (201, "1", "1"),
        (299, "{}", "{}"),
        (204, "", "null"),
        (200, "", "null"),
    ] {
        let view = view(&aggregate(vec![part("x", "GET a:/x")]), "*");
        let answered = answer(&view, &platform([("x", answers(status, body))]), "").await;
        assert_eq!(shown(answered), format!("{{\"x\":{expected}}} x;o=ok"), "{status} {body:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_problem_names_part_and_reason_and_repeats_no_word_of_the_service() {
    let platform = healthy();
    platform.does("profile", after(15, answers(500, "stack trace of the user database")));
    let failed = answer(&view(&dashboard(), "*"), &platform, "").await.expect_err("required");
    let (problem, headers) = problem(failed);
    assert_eq!(
        problem,
        json!({
            "type": "about:blank", "title": "Bad Gateway", "status": 502, "code": "part_failed",
            "detail": "The part \"profile\", without which there is no answer, failed: status.",
            "part": "profile", "reason": "status",
            "request_id": "req_01JDEXAMP00000000000000000",
        })
    );
    assert_eq!(
        headers["aggregate-status"],
        "profile;o=failed;r=status;status=500;ms=15, links;o=skipped;r=cancelled, \
         clicks;o=ok;ms=10, usage;o=skipped;r=cancelled, hooks;o=skipped;r=cancelled"
    );
    assert_eq!(headers["cache-control"], "no-store");
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_told_where_waiting_helps() {
    let source = PlanSource { is_all_or_nothing: true, ..aggregate(vec![part("x", "GET a:/x")]) };
    let told = async |result: Result<PartAnswer, PartFailure>| {
        let failed = answer(&view(&source, "*"), &platform([("x", (MS, result))]), "").await;
        problem(failed.expect_err("required")).1.get("retry-after").cloned()
    };
    let wait = Some(Duration::from_millis(2_500));
    let limited =
        |retry_after| answers(429, "").1.map(|answer| PartAnswer { retry_after, ..answer });
    let down = |retry_after| Err(PartFailure { retry_after, ..Reason::Unavailable.into() });
    assert_eq!(told(limited(wait)).await.expect("told"), "3");
    assert_eq!(told(limited(None)).await, None);
    assert_eq!(told(down(wait)).await.expect("told"), "3");
    assert_eq!(told(down(None)).await.expect("told"), "1");
    assert_eq!(told(answers(500, "").1).await, None);
}

#[tokio::test(start_paused = true)]
async fn when_no_part_is_delivered_there_is_no_answer() {
    let source = aggregate(vec![
        part("x", "GET a:/x"),
        part("y", "GET b:/y"),
        part("z", "GET c:/z?q={query.q}"),
    ]);
    let ask = async |x: Act, y: Act| {
        shown(answer(&view(&source, "*"), &platform([("x", x), ("y", y)]), "").await)
    };
    let late = || fails(Reason::Timeout);
    assert!(ask(late(), late()).await.starts_with("504 all_parts_timeout x;o=failed;r=timeout"));
    assert!(ask(late(), answers(503, "")).await.starts_with("502 all_parts_failed "));
    assert!(ask(late(), says("null")).await.starts_with(r#"{"x":null,"y":null,"z":null} "#));

    let source = aggregate(vec![
        PartSource { need: Some(Need::Required), ..part("hidden", "GET a:/hidden") },
        part("x", "GET a:/x"),
    ]);
    let ask = async |hidden, x| {
        let platform = platform([("hidden", says(hidden)), ("x", x)]);
        shown(answer(&view(&source, "x"), &platform, "").await)
    };
    let late_x = "504 all_parts_timeout hidden;o=ok x;o=failed;r=timeout";
    assert_eq!(ask("1", late()).await, late_x);
    let broken = ask("{", says("1")).await;
    assert!(broken.starts_with("502 part_failed hidden;o=failed;r=unparsable"), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn all_or_nothing_is_one_line_whatever_the_parts_say() {
    let source = PlanSource { is_all_or_nothing: true, ..dashboard() };
    for part in ["links", "usage"] {
        let platform = healthy();
        platform.does(part, answers(404, ""));
        let answered = shown(answer(&view(&source, "*"), &platform, "").await);
        assert!(answered.starts_with("404 part_not_found "), "{part}: {answered}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_input_skips_its_part_or_refuses_the_request_before_any_call() {
    let call = "GET a:/x?q={query.q}";
    let other = || part("other", "GET b:/other");
    let ask = async |x: PartSource, query: &str| {
        let platform = platform([("x", says("1")), ("other", says("2"))]);
        let answered = answer(&view(&aggregate(vec![x, other()]), "*"), &platform, query).await;
        (shown(answered), platform.calls().len())
    };
    let optional = || part("x", call);
    let required = || PartSource { need: Some(Need::Required), ..optional() };
    let fallback = PartSource { fallback: Some("[]".into()), ..optional() };
    let skipped = r#"{"x":null,"other":2} x;o=skipped;r=missing_input other;o=ok"#;
    assert_eq!(ask(optional(), "").await, (skipped.into(), 1));
    let fell_back = r#"{"x":[],"other":2} x;o=fallback;r=missing_input other;o=ok"#;
    assert_eq!(ask(fallback, "").await, (fell_back.into(), 1));
    assert_eq!(ask(required(), "").await, ("400 missing_input ".into(), 0));
    assert_eq!(ask(required(), "q=1").await.1, 2);
    let tenant = PartSource { call: "GET a:/t/{identity.tenant}".into(), ..required() };
    assert_eq!(ask(tenant, "").await, ("403 missing_identity ".into(), 0));
    let too_long = format!("q={}", "a".repeat(70_000));
    assert_eq!(ask(required(), &too_long).await, ("400 invalid_input ".into(), 0));
}

/// How long an answer takes, in ms, and what it is.
async fn timed(view: &View, platform: &Platform, due_ms: u32) -> (u128, String) {
    let clock = clock();
    let start = clock.now();
    let answered = answer_by(view, platform, "", &clock, start.after(due_ms * MS)).await;
    (clock.now().since(start).as_millis(), shown(answered))
}

#[tokio::test(start_paused = true)]
async fn parts_run_side_by_side_as_far_as_the_cap_allows() {
    let parts = ["p0", "p1", "p2", "p3", "p4"];
    for (cap, took, under_way) in [(64, 100, 5), (2, 300, 2), (1, 500, 1), (0, 500, 1)] {
        let mut source = aggregate(parts.iter().map(|name| part(name, "GET a:/")).collect());
        source.caps.concurrent_calls_max = cap;
        let platform = platform(parts.map(|name| (name, after(100, says("1")))));
        let (ms, answered) = timed(&view(&source, "*"), &platform, 10_000).await;
        assert!(answered.starts_with(r#"{"p0":1,"p1":1,"p2":1,"p3":1,"p4":1}"#), "{answered}");
        assert_eq!((ms, platform.under_way().1), (took, under_way), "cap {cap}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_deadline_is_kept_and_a_call_without_time_is_not_made() {
    let slow = || platform([("x", after(60_000, says("1"))), ("y", after(1, says("2")))]);
    let y = || part("y", "GET a:/y");
    let source = |deadline_ms: Option<u32>| {
        let deadline = deadline_ms.map(|ms| ms * MS);
        aggregate(vec![PartSource { deadline, ..part("x", "GET a:/x") }, y()])
    };
    let late = r#"{"x":null,"y":2} x;o=failed;r=timeout y;o=ok"#;
    for (own_ms, due_ms, took_ms) in
        [(None, 10_000, 800), (Some(50), 10_000, 50), (Some(5_000), 10_000, 800), (None, 200, 200)]
    {
        let (ms, answered) = timed(&view(&source(own_ms), "*"), &slow(), due_ms).await;
        assert_eq!(answered, late);
        assert!(ms.abs_diff(took_ms) <= 1, "{ms} ms instead of {took_ms}");
    }
    let mut queued = source(None);
    queued.caps.concurrent_calls_max = 1;
    let platform = slow();
    let (ms, answered) = timed(&view(&queued, "*"), &platform, 10_000).await;
    assert!(answered.starts_with("504 all_parts_timeout "), "{answered}");
    assert!(ms.abs_diff(800) <= 1 && platform.calls().len() == 1, "{ms} ms");
}

#[tokio::test(start_paused = true)]
async fn a_required_part_that_fails_ends_the_answer_at_once() {
    let platform = healthy();
    platform.does("profile", after(5, answers(404, "")));
    let (ms, answered) = timed(&view(&dashboard(), "*"), &platform, 10_000).await;
    assert!(answered.starts_with("404 part_not_found "), "{answered}");
    assert!(ms <= 6, "{ms} ms");
    assert_eq!(platform.under_way().0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_takes_every_call_with_it() {
    let platform = healthy();
    let view = view(&dashboard(), "*");
    let gone = tokio::time::timeout(MS, answer(&view, &platform, "")).await;
    assert!(gone.is_err());
    assert_eq!((platform.under_way().1, platform.under_way().0), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn parts_that_together_are_too_large_are_no_answer() {
    let mut source = aggregate(vec![part("x", "GET a:/x"), part("y", "GET b:/y")]);
    source.caps.answer_size_max = 12;
    let ask = async |y| {
        let platform = platform([("x", says("\"1234\"")), ("y", says(y))]);
        shown(answer(&view(&source, "*"), &platform, "").await)
    };
    assert!(ask("\"1234\"").await.starts_with(r#"{"x":"1234","y":"1234"} "#));
    assert!(ask("\"12345\"").await.starts_with("502 answer_too_large "));
}

#[tokio::test(start_paused = true)]
async fn an_xml_service_s_answer_is_shown_as_json() {
    let to_json: plan::XmlToJson =
        |xml| xml.starts_with(b"<usage").then(|| br#"{"plan":"pro","seats":"3"}"#.to_vec());
    let x = PartSource { xml_to_json: Some(to_json), ..part("x", "GET a:/x") };
    let source = aggregate(vec![x, part("y", "GET b:/y")]);
    let ask = async |x| {
        let platform = platform([("x", says(x)), ("y", says("1"))]);
        shown(answer(&view(&source, "x(plan),y"), &platform, "").await)
    };
    assert_eq!(ask("<usage/>").await, r#"{"x":{"plan":"pro"},"y":1} x;o=ok y;o=ok"#);
    assert_eq!(ask("").await, r#"{"x":null,"y":1} x;o=ok y;o=ok"#);
    assert_eq!(ask("<html>").await, r#"{"x":null,"y":1} x;o=failed;r=unparsable y;o=ok"#);
}

#[tokio::test(start_paused = true)]
async fn the_report_tells_times_services_and_the_critical_path() {
    let composed = answer(&view(&dashboard(), "*"), &healthy(), "").await.expect("an answer");
    let report = &composed.report;
    assert_eq!(report.services, [0, 1, 2, 3]);
    assert_eq!(report.upstream, 50 * MS);
    let signing = healthy();
    *signing.services.overhead.lock().expect("no panic") = 3 * MS;
    let signed = answer(&view(&dashboard(), "links"), &signing, "").await.expect("an answer");
    assert_eq!(signed.report.upstream, 50 * MS, "the gateway's own time is not the services'");
    let mut headers = HeaderMap::new();
    composed.add_headers(&mut headers);
    let status = "profile;o=ok;ms=30, links;o=ok;ms=50, clicks;o=ok;ms=10, usage;o=ok;ms=40, \
                  hooks;o=ok;ms=20";
    assert_eq!(headers["aggregate-status"], status);
    let timing = "profile;dur=30.000, links;dur=50.000, clicks;dur=10.000, usage;dur=40.000, \
                  hooks;dur=20.000";
    assert_eq!(headers["server-timing"], timing);
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["cache-control"], "private, no-cache");
}

#[tokio::test(start_paused = true)]
async fn equal_answers_have_equal_tags_only_for_the_same_principal() {
    let tag = async |body, salt: &[u8]| {
        let view = view(&aggregate(vec![part("x", "GET a:/x")]), "*");
        let composed = answer(&view, &platform([("x", says(body))]), "").await.expect("an answer");
        composed.etag(salt).expect("whole").to_str().expect("ASCII").to_owned()
    };
    let ada = tag("1", b"ada").await;
    assert_eq!(ada, tag("1", b"ada").await);
    assert_ne!(ada, tag("2", b"ada").await);
    assert_ne!(ada, tag("1", b"bob").await);
    assert!(ada.len() == 24 && ada.starts_with('"') && ada.ends_with('"'), "{ada}");
}

#[test]
fn every_mistake_of_a_view_is_reported_under_its_key() {
    let mistakes = |fields: &str, limits: &[(&str, usize)]| {
        let source = aggregate(vec![part("x", "GET a:/x/{path.id}/{path.sub}")]);
        let plan = Plan::compile(&source, &|_| Some(0)).expect("a plan");
        let view = ViewSource {
            name: "dashboard".into(),
            fields: fields.into(),
            limits: limits.iter().map(|&(path, limit)| (path.to_owned(), limit)).collect(),
            drop: None,
            has_meta: false,
            params: vec!["id".into()],
            takes_safe_methods: true,
        };
        let errors = View::compile(&view, Arc::new(plan)).expect_err("mistakes");
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let route = "views.dashboard.route: part \"x\" reads a path parameter it lacks";
    assert_eq!(mistakes("*", &[]), [route]);
    assert_eq!(
        mistakes("x(", &[]),
        [route, "views.dashboard.fields: a name is missing at character 3"]
    );
    assert_eq!(mistakes("x,y", &[]), [route, "views.dashboard.fields: there is no part \"y\""]);
    assert_eq!(
        mistakes("x(a)", &[("x/b", 1), ("x/a", 1), ("y", 1)]),
        [
            route,
            "views.dashboard.limit.x/b: the view shows nothing there",
            "views.dashboard.limit.y: the view shows nothing there",
        ]
    );
}
