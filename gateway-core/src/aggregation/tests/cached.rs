//! Parts that are kept, and calls that are made once for many (rules 15 to 17; A1 to A16).

mod stands_in;

use futures::future::join_all;
use proptest::prelude::*;

use super::super::part_cache::{CacheRule, Purge};
use super::*;
use crate::principal::IdentityText;

const RULE: CacheRule = CacheRule {
    ttl: Duration::from_millis(1_000),
    stale_while_revalidate: Duration::from_millis(500),
    stale_if_error: Duration::from_millis(2_000),
    is_shared: false,
};

fn cached(call: &str, rule: CacheRule) -> View {
    let x = PartSource { cache: Some(rule), ..part("x", call) };
    view(&aggregate(vec![x, part("y", "GET b:/y")]), "x,y")
}

/// Counts up with each call, and says for whom.
fn counting() -> Platform {
    let platform = platform([("y", says("0"))]);
    let count = Arc::new(AtomicUsize::new(0));
    platform.answers_by("x", move |_| says(&count.fetch_add(1, Ordering::SeqCst).to_string()));
    platform
}

struct Asking {
    view: View,
    platform: Platform,
    environment: Environment<Platform>,
}

impl Asking {
    fn of(view: View, platform: Platform) -> Self {
        let clock = clock();
        let due = clock.now().after(1_000_000 * MS);
        let environment = environment(&platform, &clock, due);
        Self { view, platform, environment }
    }

    async fn ask(&self, who: &Principal) -> String {
        shown(answer_to(&self.view, &self.environment, who, "").await)
    }

    /// What part x is, and its outcome.
    async fn x(&self, user_id: &str) -> String {
        let answered = self.ask(&principal(user_id)).await;
        let (body, report) = answered.split_once("} ").expect("an answer");
        let value = body.trim_start_matches("{\"x\":").trim_end_matches(",\"y\":0");
        format!("{value} {}", report.split(' ').next().expect("a part"))
    }

    async fn pass(&self, ms: u32) {
        let clock = &self.environment.clock;
        ticking(clock, tokio::time::sleep(ms * MS)).await;
    }

    fn calls_of_x(&self) -> usize {
        self.platform.calls().iter().filter(|call| call.contains("/x")).count()
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_used_again_until_it_is_stale_and_then_shown_once_more() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    assert_eq!(asking.x("ada").await, "0 x;o=ok");
    assert_eq!(asking.x("ada").await, "0 x;o=cached");
    asking.pass(1_100).await;
    assert_eq!(asking.x("ada").await, "0 x;o=stale", "shown at once, and fetched anew");
    asking.pass(20).await;
    assert_eq!(asking.x("ada").await, "1 x;o=cached");
    asking.pass(1_600).await;
    assert_eq!(asking.x("ada").await, "2 x;o=ok", "too old to be shown");
    assert_eq!(asking.calls_of_x(), 3);
}

#[tokio::test(start_paused = true)]
async fn each_use_is_told_in_the_words_of_the_rfc() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    let status = async || {
        let answered = answer_to(&asking.view, &asking.environment, &principal("ada"), "").await;
        answered.expect("an answer").report.cache_status().expect("a cache")
    };
    assert_eq!(status().await, "x;fwd=miss;stored");
    assert_eq!(status().await, "x;hit;ttl=1");
    asking.pass(1_100).await;
    assert_eq!(status().await, "x;hit;ttl=-1");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_misses_are_one_call_and_two_identities_are_two() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    let all = join_all((0..100).map(|_| asking.x("ada"))).await;
    assert_eq!(asking.calls_of_x(), 1);
    assert!(all.iter().all(|answer| answer == "0 x;o=ok"), "{all:?}");
    let two = Asking::of(cached("GET a:/x", RULE), counting());
    let users = ["ada", "bob"];
    join_all((0..100).map(|number| two.x(users[number % 2]))).await;
    assert_eq!(two.calls_of_x(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_everybodys_is_fetched_once_and_without_a_name() {
    let shared = CacheRule { is_shared: true, ..RULE };
    let asking = Asking::of(cached("GET a:/x", shared), platform([("y", says("0"))]));
    asking.platform.answers_by("x", |call| {
        assert!(!call.says_who, "a shared answer is nobody's");
        says("7")
    });
    let users: Vec<String> = (0..500).map(|user| format!("u{user}")).collect();
    let all = join_all(users.iter().map(|user| asking.x(user))).await;
    assert!(all.iter().all(|answer| answer == "7 x;o=ok"), "{all:?}");
    assert_eq!(asking.calls_of_x(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_failed_or_must_not_be_kept_is_not_kept() {
    let with = |name: &'static str, value: &'static str| {
        let (delay, answer) = says("1");
        let mut answer = answer.expect("an answer");
        answer.headers.insert(name, HeaderValue::from_static(value));
        (delay, Ok(answer))
    };
    for (act, is_shared) in [
        (answers(401, ""), false),
        (answers(403, ""), false),
        (answers(429, ""), false),
        (answers(500, ""), false),
        (says("{"), false),
        (fails(Reason::Reset), false),
        (with("cache-control", "no-store"), false),
        (with("vary", "*"), false),
        (with("cache-control", "private"), true),
        (with("set-cookie", "a=b"), true),
    ] {
        let rule = CacheRule { is_shared, ..RULE };
        let platform = platform([("x", act.clone()), ("y", says("0"))]);
        let asking = Asking::of(cached("GET a:/x", rule), platform);
        asking.x("ada").await;
        asking.x("ada").await;
        assert_eq!(asking.calls_of_x(), 2, "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_takes_what_it_names_and_what_is_under_way() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    let cache = Arc::clone(&asking.environment.cache);
    for (purge, removed) in [
        (Purge::Part("dashboard.x"), 2),
        (Purge::Part("dashboard.y"), 0),
        (Purge::Call("GET a:/x"), 2),
        (Purge::Call("GET a:/y"), 0),
        (Purge::Identity("ada"), 1),
        (Purge::Identity("ad"), 0),
        (Purge::All, 2),
    ] {
        asking.x("ada").await;
        asking.x("bob").await;
        assert_eq!(cache.purge(purge), removed, "{purge:?}");
    }
    cache.purge(Purge::All);
    let before = asking.calls_of_x();
    let purging = async {
        tokio::time::sleep(5 * MS).await;
        cache.purge(Purge::Identity("ada"));
    };
    let (answered, ()) = tokio::join!(asking.x("ada"), purging);
    assert!(answered.ends_with("x;o=ok"), "who waits is answered: {answered}");
    asking.x("ada").await;
    assert_eq!(asking.calls_of_x() - before, 2, "what began before the purge is not kept");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_ends_with_the_identity_it_is_for() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    asking.x("ada").await;
    asking.pass(1_100).await;
    asking.platform.does("x", after(60_000, says("1")));
    assert_eq!(asking.x("ada").await, "0 x;o=stale");
    asking.pass(1).await;
    assert_eq!(asking.platform.under_way().0, 1, "the refresh");
    asking.environment.cache.purge(Purge::Identity("ada"));
    asking.pass(1).await;
    assert_eq!(asking.platform.under_way().0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_nobody_waits_for_any_more_is_given_up() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    asking.platform.does("x", after(300, says("1")));
    let one = tokio::time::timeout(10 * MS, asking.x("ada"));
    let other = tokio::time::timeout(20 * MS, asking.x("ada"));
    assert!(matches!(tokio::join!(one, other), (Err(_), Err(_))));
    assert_eq!(asking.calls_of_x(), 1);
    asking.pass(2).await;
    assert_eq!(asking.platform.under_way().0, 0);
    // One that leaves does not take the call from another.
    let one = tokio::time::timeout(10 * MS, asking.x("ada"));
    let (gone, stayed) = tokio::join!(one, asking.x("ada"));
    assert!(gone.is_err());
    assert_eq!(stayed, "1 x;o=ok");
    assert_eq!(asking.calls_of_x(), 2);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_by_bytes() {
    let cache = PartCache::new(64 * 1024);
    let large = format!("\"{}\"", "a".repeat(1_000));
    let platform = platform([("x", says(&large)), ("y", says("0"))]);
    let mut asking = Asking::of(cached("GET a:/x", RULE), platform);
    asking.environment.cache = Arc::clone(&cache);
    for user in 0..500 {
        asking.x(&format!("u{user}")).await;
    }
    assert!(cache.size() <= 64 * 1024, "{} bytes", cache.size());
    assert!(cache.size() > 16 * 1024, "{} bytes", cache.size());
}

#[derive(Debug, Clone)]
struct Visit {
    user: String,
    role: Option<String>,
    tenant: Option<String>,
    pause_ms: u32,
    purges: bool,
}

fn visits() -> impl Strategy<Value = Vec<Visit>> {
    let text = |letters: &'static str| proptest::string::string_regex(letters).expect("a pattern");
    let visit = (
        text("[ab]:?"),
        proptest::option::of(text("[ab]:?")),
        proptest::option::of(text("[ab]:?")),
        0..900_u32,
        proptest::bool::weighted(0.05),
    )
        .prop_map(|(user, role, tenant, pause_ms, purges)| Visit {
            user,
            role,
            tenant,
            pause_ms,
            purges,
        });
    proptest::collection::vec(visit, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever asks, however often, in whatever role: what they are shown was made for them.
    #[test]
    fn no_answer_ever_holds_anothers_data(visits in visits()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(check_visits(&visits));
    }
}

/// Nine at a time; the service says for whom it was asked.
async fn check_visits(visits: &[Visit]) {
    let platform = platform([("x", says("\"{who}\"")), ("y", says("0"))]);
    let asking = Asking::of(cached("GET a:/x", RULE), platform);
    for group in visits.chunks(9) {
        let pause = group.iter().map(|visit| visit.pause_ms).max().unwrap_or(0);
        asking.pass(pause).await;
        join_all(group.iter().map(|visit| check_visit(&asking, visit))).await;
    }
}

async fn check_visit(asking: &Asking, visit: &Visit) {
    let text = |text: &String| IdentityText::parse(text).expect("visible");
    let mut principal = principal(&visit.user);
    principal.role = visit.role.as_ref().map(text);
    principal.tenant = visit.tenant.as_ref().map(text);
    let who = format!("{} {:?} {:?}", visit.user, visit.role, visit.tenant).replace('"', "'");
    let Environment { caller, clock, cache, due } = &asking.environment;
    if visit.purges {
        cache.purge(Purge::Identity(&visit.user));
    }
    let environment = Environment {
        caller: Platform { who: who.as_str().into(), ..caller.clone() },
        clock: clock.clone(),
        cache: Arc::clone(cache),
        due: *due,
    };
    let answered = answer_to(&asking.view, &environment, &principal, "").await;
    let body: Value = serde_json::from_slice(&answered.expect("an answer").body).expect("JSON");
    assert_eq!(body["x"], json!(who), "{visit:?}");
}

#[tokio::test(start_paused = true)]
async fn the_old_answer_stands_in_for_what_cannot_be_had_and_not_for_what_is_refused() {
    let with_stale = async |act: Act| {
        let asking = Asking::of(cached("GET a:/x", RULE), counting());
        asking.x("ada").await;
        asking.pass(1_600).await;
        asking.platform.does("x", act);
        asking.x("ada").await
    };
    for act in [
        fails(Reason::Reset),
        fails(Reason::Refused),
        fails(Reason::Timeout),
        fails(Reason::Unavailable),
        after(60_000, says("1")),
        answers(503, ""),
        says("{"),
    ] {
        assert_eq!(with_stale(act.clone()).await, "0 x;o=stale", "{act:?}");
    }
    for (act, reason) in [
        (answers(401, ""), "status;status=401"),
        (answers(403, ""), "status;status=403"),
        (answers(404, ""), "status;status=404"),
        (answers(429, ""), "status;status=429"),
        (answers(302, ""), "redirect"),
    ] {
        assert_eq!(with_stale(act).await, format!("null x;o=failed;r={reason}"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_may_no_longer_see_is_not_kept_for_them() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    asking.x("ada").await;
    asking.pass(1_100).await;
    asking.platform.does("x", answers(403, ""));
    assert_eq!(asking.x("ada").await, "0 x;o=stale", "the refresh learns of it");
    asking.pass(20).await;
    assert_eq!(asking.x("ada").await, "null x;o=failed;r=status;status=403");
}

#[tokio::test(start_paused = true)]
async fn what_turns_out_to_be_personal_is_not_for_all_who_waited_along() {
    let shared = CacheRule { is_shared: true, ..RULE };
    let asking = Asking::of(cached("GET a:/x", shared), platform([("y", says("0"))]));
    let count = Arc::new(AtomicUsize::new(0));
    asking.platform.answers_by("x", move |_| {
        let (delay, answer) = says(&count.fetch_add(1, Ordering::SeqCst).to_string());
        let mut answer = answer.expect("an answer");
        answer.headers.insert("cache-control", HeaderValue::from_static("private"));
        (delay, Ok(answer))
    });
    let mut all = join_all(["ada", "bob", "eve"].map(|user| asking.x(user))).await;
    all.sort_unstable();
    assert_eq!(all, ["0 x;o=ok", "1 x;o=ok", "2 x;o=ok"]);
}

#[tokio::test(start_paused = true)]
async fn two_aggregates_share_an_answer_and_each_shows_its_own_fields_of_it() {
    let with_cookie = || {
        let (delay, answer) = says("1");
        let mut answer = answer.expect("an answer");
        answer.headers.insert("set-cookie", HeaderValue::from_static("sid=secret"));
        (delay, Ok(answer))
    };
    let view_of = |name: &str, cookies: &[&str]| {
        let x = PartSource { cache: Some(RULE), ..part("x", "GET a:/x") };
        let mut source = aggregate(vec![x, part("y", "GET b:/y")]);
        source.aggregate = name.into();
        source.set_cookies = cookies.iter().map(|&name| name.to_owned()).collect();
        view(&source, "*")
    };
    let mut asking =
        Asking::of(view_of("one", &["sid"]), platform([("x", with_cookie()), ("y", says("0"))]));
    let headers = async |asking: &Asking| {
        let answered = answer_to(&asking.view, &asking.environment, &principal("ada"), "").await;
        answered.expect("an answer").headers.len()
    };
    assert_eq!(headers(&asking).await, 1);
    assert_eq!(headers(&asking).await, 0, "a cookie is set once");
    asking.view = view_of("other", &[]);
    assert_eq!(headers(&asking).await, 0, "the other lists no cookie");
    // Without such a list the answer is one for both, and a purge by either part takes it.
    asking.view = view_of("third", &[]);
    assert_eq!(asking.x("ada").await, "1 x;o=cached");
    assert_eq!(asking.environment.cache.purge(Purge::Part("third.x")), 1);
}

#[tokio::test(start_paused = true)]
async fn items_that_were_kept_too_long_are_told_as_such() {
    let owners = PartSource {
        cache: Some(RULE),
        for_each: Some("x.items".into()),
        ..part("owners", "GET b:/users/{item.id}")
    };
    let source = aggregate(vec![part("x", "GET a:/x"), owners]);
    let items = says(r#"{"items":[{"id":1},{"id":2}]}"#);
    let platform = platform([("x", items), ("owners", says("7"))]);
    let asking = Asking::of(view(&source, "*"), platform);
    let owners = async |asking: &Asking| {
        let answered = asking.ask(&principal("ada")).await;
        let (_, status) = answered.split_once("owners;").expect("a report");
        status.to_owned()
    };
    assert_eq!(owners(&asking).await, "o=ok");
    assert_eq!(owners(&asking).await, "o=cached");
    asking.pass(1_100).await;
    assert_eq!(owners(&asking).await, "o=stale");
    asking.pass(1_600).await;
    asking.platform.does("owners", answers(503, ""));
    let answered = answer_to(&asking.view, &asking.environment, &principal("ada"), "").await;
    assert!(!answered.expect("an answer").report.is_whole(), "old ones stand in");
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_pins_no_more_than_its_own_bytes() {
    let padded = format!("{}1", " ".repeat(100_000));
    let asking = Asking::of(cached("GET a:/x", RULE), platform([("y", says("0"))]));
    asking.platform.does("x", says(&padded));
    assert_eq!(asking.x("ada").await, "1 x;o=ok");
    let answered = answer_to(&asking.view, &asking.environment, &principal("ada"), "").await;
    assert_eq!(answered.expect("an answer").body, r#"{"x":1,"y":0}"#);
    let size = asking.environment.cache.size();
    assert!(size < 1_000, "{size} bytes");
}

#[tokio::test(start_paused = true)]
async fn who_joins_a_call_has_their_own_time_for_it() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    asking.platform.does("x", after(100, says("1")));
    let Environment { caller, clock, cache, .. } = &asking.environment;
    let hurried = Environment {
        caller: caller.clone(),
        clock: clock.clone(),
        cache: Arc::clone(cache),
        due: clock.now().after(50 * MS),
    };
    let ada = principal("ada");
    let first = answer_to(&asking.view, &hurried, &ada, "");
    let (first, second) = tokio::join!(first, asking.x("ada"));
    let first = shown(first);
    assert!(first.contains("x;o=failed;r=timeout"), "{first}");
    assert_eq!(second, "1 x;o=ok");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_turns_out_personal_costs_nobody_more_than_their_time() {
    let shared = CacheRule { is_shared: true, ..RULE };
    let asking = Asking::of(cached("GET a:/x", shared), platform([("y", says("0"))]));
    asking.platform.answers_by("x", |_| {
        let mut answer = says("1").1.expect("an answer");
        answer.headers.insert("cache-control", HeaderValue::from_static("private"));
        after(600, (MS, Ok(answer)))
    });
    let clock = asking.environment.clock.clone();
    let begun = clock.now();
    let (first, second) = tokio::join!(asking.x("ada"), asking.x("bob"));
    assert_eq!(first, "1 x;o=ok");
    assert_eq!(second, "null x;o=failed;r=timeout");
    // Two at a time move the clock twice as fast as it goes.
    assert!(clock.now().since(begun) <= 1_700 * MS, "the aggregate's 800 ms");
}

#[tokio::test(start_paused = true)]
async fn what_is_purged_while_a_new_one_fails_is_not_shown() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    asking.x("ada").await;
    asking.pass(1_600).await;
    asking.platform.does("x", after(50, answers(503, "")));
    let purging = async {
        tokio::time::sleep(20 * MS).await;
        asking.environment.cache.purge(Purge::Identity("ada"));
    };
    let (answered, ()) = tokio::join!(asking.x("ada"), purging);
    assert_eq!(answered, "null x;o=failed;r=status;status=503");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_gets_no_more_calls_for_all_who_wait() {
    let asking = Asking::of(cached("GET a:/x", RULE), counting());
    asking.platform.does("x", after(60_000, says("1")));
    let all = join_all((0..50).map(|_| asking.x("ada"))).await;
    assert!(all.iter().all(|answer| answer == "null x;o=failed;r=timeout"), "{all:?}");
    assert_eq!(asking.calls_of_x(), 1);
}
