//! Sessions as a browser sees them: requests through the middleware, then the pipeline's own look
//! at the cookie.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use futures::future::join_all;
use gateway_core::auth::session::{SessionId, SessionLifetime, credential, judge};
use gateway_core::clock::Timestamp;
use gateway_core::principal::{IdentityText, Scheme};
use gateway_core::store::{Pending, SessionChange, SessionDigest, SessionLookup, SessionVault};
use gateway_core::stores::memory::MemoryVault;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::*;

const REMOVAL: &str = "__Host-sid=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";

/// A gateway's endpoints, its vault, and what the pipeline would say of a cookie.
struct Bff {
    sessions: Sessions,
    clock: Clock,
    router: Router,
    /// A request to `/slow` has touched its session, and waits for the gate.
    slow_is_inside: Arc<Notify>,
    gate: Arc<Notify>,
}

/// What a browser would see.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    set_cookie: Vec<String>,
}

fn principal(user_id: &str) -> Principal {
    let text = |text| IdentityText::parse(text).expect("visible ASCII");
    Principal {
        scheme: Scheme::Session,
        user_id: text(user_id),
        role: Some(text("editor")),
        roles: vec![text("editor"), text("viewer")],
        tenant: Some(text("t_1")),
        tier: text("pro"),
        scopes: vec![text("links:read")],
        credential_id: None,
        expires_at: Some(Timestamp::from_unix_seconds(5_000)),
    }
}

impl Bff {
    fn new() -> Self {
        let vault = MemoryVault::new(1_000, lifetime());
        Self::on(Vault::Memory(Arc::new(vault)))
    }

    fn on(vault: Vault) -> Self {
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_000));
        let policy = SessionPolicy::build("__Host-sid", lifetime()).expect("a cookie name");
        let sessions = Sessions::new(vault, Arc::new(policy), clock.clone());
        let (slow_is_inside, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (inside, open) = (Arc::clone(&slow_is_inside), Arc::clone(&gate));
        let slow = async move |Path(what): Path<String>, session: Session| {
            if what == "loaded" {
                session.get_value("x").await.expect("loaded");
            }
            inside.notify_one();
            open.notified().await;
            session.insert("late", true).await.expect("inserted");
            "done"
        };
        let router = Router::new()
            .route("/login/{user}", post(login))
            .route(
                "/logout",
                post(async |session: Session| sign_out(&session).await.is_ok().to_string()),
            )
            .route(
                "/cycle",
                post(async |session: Session| session.cycle_id().await.is_ok().to_string()),
            )
            .route("/set/{key}/{status}", post(set))
            .route("/remove/{key}", post(remove))
            .route("/keys", get(keys))
            .route("/slow/{what}", post(slow))
            .layer(from_fn_with_state(sessions.clone(), keep_session));
        Self { sessions, clock, router, slow_is_inside, gate }
    }

    async fn call(&self, method: &str, path: &str, cookie: Option<&str>) -> (Seen, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let set_cookie: Vec<String> = response
            .headers()
            .get_all("set-cookie")
            .iter()
            .map(|value| value.to_str().expect("ASCII").to_owned())
            .collect();
        if !set_cookie.is_empty() {
            assert_eq!(response.headers()["cache-control"], "no-store");
        }
        let seen = Seen { status: response.status().as_u16(), set_cookie };
        let body = axum::body::to_bytes(response.into_body(), 64 * 1024).await.expect("a body");
        (seen, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    async fn post(&self, path: &str, cookie: Option<&str>) -> Seen {
        self.call("POST", path, cookie).await.0
    }

    /// Signs in and returns the cookie as a browser would send it.
    async fn login(&self, user: &str, cookie: Option<&str>) -> String {
        let seen = self.post(&format!("/login/{user}"), cookie).await;
        cookie_of(&seen)
    }

    /// What the pipeline makes of the cookie: a user, or a refusal's code.
    async fn identify(&self, cookie: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("cookie", HeaderValue::from_str(cookie).expect("a value"));
        let now = self.clock.wall();
        let digest = match credential(&headers, &self.sessions.policy) {
            Ok(digest) => digest.expect("a cookie"),
            Err(refusal) => return refusal.code().to_owned(),
        };
        let lookup = self.sessions.vault.find(digest, now, true).await.expect("memory");
        match judge(lookup, &self.sessions.policy, now) {
            Ok(principal) => principal.user_id.to_string(),
            Err(refusal) => refusal.code().to_owned(),
        }
    }
}

fn lifetime() -> SessionLifetime {
    SessionLifetime {
        idle_timeout: Duration::from_secs(1_800),
        lifetime: Duration::from_secs(43_200),
    }
}

fn cookie_of(seen: &Seen) -> String {
    assert_eq!(seen.set_cookie.len(), 1, "{seen:?}");
    seen.set_cookie[0].split(';').next().expect("a pair").to_owned()
}

fn quiet(status: u16) -> Seen {
    Seen { status, set_cookie: Vec::new() }
}

async fn login(Path(user): Path<String>, session: Session) -> StatusCode {
    match sign_in(&session, &principal(&user)).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(refusal) => refusal.status(),
    }
}

async fn set(Path((key, status)): Path<(String, u16)>, session: Session) -> StatusCode {
    // Every writer has loaded before any of them saves.
    session.get_value("x").await.expect("loaded");
    tokio::task::yield_now().await;
    session.insert(&key, status).await.expect("inserted");
    StatusCode::from_u16(status).expect("a status")
}

async fn remove(Path(key): Path<String>, session: Session) {
    session.remove_value(&key).await.expect("removed");
}

async fn keys(session: Session) -> String {
    let mut found = BTreeSet::new();
    for key in (0..50).map(|n| format!("k{n}")).chain(["late".to_owned(), "principal".to_owned()]) {
        if session.get_value(&key).await.expect("loaded").is_some() {
            found.insert(key);
        }
    }
    found.into_iter().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn signing_in_sets_one_cookie_with_every_protection() {
    let bff = Bff::new();
    let seen = bff.post("/login/4821", None).await;
    let cookie = cookie_of(&seen);
    let id = cookie.strip_prefix("__Host-sid=").expect("the configured name");
    assert_eq!(seen.set_cookie, [format!("{cookie}; Path=/; Secure; HttpOnly; SameSite=Strict")]);
    assert!(SessionId::parse(id.as_bytes()).is_some(), "22 characters of base64url");
    assert_eq!(bff.identify(&cookie).await, "4821");
}

#[tokio::test]
async fn the_pipeline_finds_the_whole_principal_that_signed_in() {
    let bff = Bff::new();
    let cookie = bff.login("4821", None).await;
    let id = SessionId::parse(&cookie.as_bytes()["__Host-sid=".len()..]).expect("an id");
    let found = bff.sessions.vault.find(id.digest(), bff.clock.wall(), false).await;
    let SessionLookup::Live(session) = found.expect("memory") else { panic!("dead") };
    assert_eq!(session.principal.as_deref(), Some(&principal("4821")));
}

#[tokio::test]
async fn an_id_that_the_browser_brought_is_never_given_a_session() {
    let bff = Bff::new();
    let planted = "__Host-sid=AAECAwQFBgcICQoLDA0ODw";
    let cookie = bff.login("4821", Some(planted)).await;
    assert_ne!(cookie, planted);
    assert_eq!(bff.identify(planted).await, "session_expired");
    assert_eq!(bff.identify(&cookie).await, "4821");
}

#[tokio::test]
async fn a_session_from_before_signing_in_ends_with_it_and_leaves_nothing_behind() {
    let bff = Bff::new();
    let anonymous = cookie_of(&bff.post("/set/k1/200", None).await);
    assert_eq!(bff.identify(&anonymous).await, "session_missing", "alive, and nobody's");
    let first = bff.login("1", Some(&anonymous)).await;
    assert_eq!(bff.identify(&anonymous).await, "session_ended");
    assert_eq!(bff.call("GET", "/keys", Some(&first)).await.1, "principal");

    let second = bff.login("2", Some(&first)).await;
    assert_eq!(bff.identify(&first).await, "session_ended");
    assert_eq!(bff.identify(&second).await, "2");
}

#[tokio::test]
async fn a_cycled_id_keeps_the_session_and_ends_the_old_id() {
    let bff = Bff::new();
    let old = bff.login("4821", None).await;
    bff.post("/set/k1/200", Some(&old)).await;
    let new = cookie_of(&bff.post("/cycle", Some(&old)).await);
    assert_ne!(new, old);
    assert_eq!(bff.identify(&old).await, "session_ended");
    assert_eq!(bff.identify(&new).await, "4821");
    assert_eq!(bff.call("GET", "/keys", Some(&new)).await.1, "k1 principal");
}

#[tokio::test]
async fn signing_out_removes_the_cookie_in_the_words_browsers_obey() {
    let bff = Bff::new();
    let cookie = bff.login("4821", None).await;
    let seen = bff.post("/logout", Some(&cookie)).await;
    assert_eq!(seen, Seen { status: 200, set_cookie: vec![REMOVAL.to_owned()] });
    assert_eq!(bff.identify(&cookie).await, "session_ended");
    let again = bff.post("/logout", Some(&cookie)).await;
    assert_eq!(again, Seen { status: 200, set_cookie: vec![REMOVAL.to_owned()] });
    assert_eq!(bff.post("/logout", None).await, quiet(200));
}

#[tokio::test]
async fn fifty_parallel_writers_of_different_keys_lose_nothing() {
    let bff = Bff::new();
    let cookie = bff.login("4821", None).await;
    let paths: Vec<_> = (0..50).map(|number| format!("/set/k{number}/200")).collect();
    let (bff_ref, cookie_ref) = (&bff, &cookie);
    let calls = paths.iter().map(|path| bff_ref.post(path, Some(cookie_ref)));
    for seen in join_all(calls).await {
        assert_eq!(seen, quiet(200));
    }
    let expected: BTreeSet<_> =
        (0..50).map(|n| format!("k{n}")).chain(["principal".to_owned()]).collect();
    let found = bff.call("GET", "/keys", Some(&cookie)).await.1;
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>().join(" "));
}

#[tokio::test]
async fn a_removed_key_stays_removed_beside_another_ones_write() {
    let bff = Bff::new();
    let cookie = bff.login("4821", None).await;
    bff.post("/set/k1/200", Some(&cookie)).await;
    tokio::join!(bff.post("/set/k2/200", Some(&cookie)), bff.post("/remove/k1", Some(&cookie)),);
    assert_eq!(bff.call("GET", "/keys", Some(&cookie)).await.1, "k2 principal");
    bff.post("/remove/principal", Some(&cookie)).await;
    assert_eq!(bff.identify(&cookie).await, "session_missing");
}

#[tokio::test]
async fn a_slow_request_cannot_revive_a_session_that_was_ended_meanwhile() {
    for what in ["loaded", "untouched"] {
        let bff = Bff::new();
        let cookie = bff.login("4821", None).await;
        let path = format!("/slow/{what}");
        let (slow, ()) = tokio::join!(bff.post(&path, Some(&cookie)), async {
            bff.slow_is_inside.notified().await;
            assert_eq!(bff.post("/logout", Some(&cookie)).await.set_cookie, [REMOVAL]);
            bff.gate.notify_one();
        });
        assert_eq!(slow, quiet(200), "{what}: no cookie, old or new, nor its removal");
        assert_eq!(bff.identify(&cookie).await, "session_ended", "{what}");
        bff.clock.advance(Duration::from_secs(40_000));
        assert_eq!(bff.identify(&cookie).await, "session_ended", "{what}");
    }
}

#[tokio::test]
async fn a_value_written_under_a_failed_answer_is_kept() {
    let bff = Bff::new();
    let cookie = bff.login("4821", None).await;
    assert_eq!(bff.post("/set/k1/502", Some(&cookie)).await, quiet(502));
    assert_eq!(bff.post("/set/k2/504", Some(&cookie)).await, quiet(504));
    assert_eq!(bff.call("GET", "/keys", Some(&cookie)).await.1, "k1 k2 principal");
}

#[tokio::test]
async fn only_a_cookie_that_the_raw_parser_accepts_opens_a_session() {
    let bff = Bff::new();
    let cookie = bff.login("4821", None).await;
    let id = cookie.strip_prefix("__Host-sid=").expect("the configured name");
    let open = |header: String| {
        let bff = &bff;
        async move { bff.call("GET", "/keys", Some(&header)).await }
    };
    assert_eq!(open(format!("a=%ZZ; {cookie}")).await, (quiet(200), "principal".to_owned()));
    for forged in [
        format!("%5F%5FHost-sid={id}"),
        format!("__host-sid={id}"),
        format!("__Host-sid =\u{20}{id}"),
        format!("{cookie}; {cookie}"),
        format!("$Version=1; {cookie}"),
        format!("\u{2000}__Host-sid={id}"),
    ] {
        assert_eq!(open(forged.clone()).await, (quiet(200), String::new()), "{forged}");
    }
    let too_many = "a=1; ".repeat(100);
    assert_eq!(open(format!("{too_many}{cookie}")).await.0, quiet(431));
}

#[tokio::test]
async fn a_session_that_timed_out_is_not_loaded() {
    let bff = Bff::new();
    let cookie = bff.login("4821", None).await;
    bff.clock.advance(Duration::from_secs(1_799));
    assert_eq!(bff.call("GET", "/keys", Some(&cookie)).await.1, "principal");
    bff.clock.advance(Duration::from_secs(1));
    assert_eq!(bff.call("GET", "/keys", Some(&cookie)).await, (quiet(200), String::new()));
    assert_eq!(bff.identify(&cookie).await, "session_expired");
}

#[tokio::test]
async fn a_request_that_changes_nothing_sets_no_cookie() {
    let bff = Bff::new();
    assert_eq!(bff.call("GET", "/keys", None).await, (quiet(200), String::new()));
    let cookie = bff.login("4821", None).await;
    assert_eq!(bff.call("GET", "/keys", Some(&cookie)).await.0, quiet(200));
    assert_eq!(bff.post("/set/k1/200", Some(&cookie)).await, quiet(200));
}

/// A vault whose every answer is that it does not answer.
struct Silent;

fn silent<'a, T: Send + 'a>() -> Pending<'a, Result<T, StoreUnavailable>> {
    let error = StoreUnavailable { store: "session vault", reason: "10.0.0.7 refused".to_owned() };
    Box::pin(std::future::ready(Err(error)))
}

impl SessionVault for Silent {
    fn find(
        &self,
        _: SessionDigest,
        _: Timestamp,
        _: bool,
    ) -> Pending<'_, Result<SessionLookup, StoreUnavailable>> {
        silent()
    }
    fn insert(
        &self,
        _: SessionDigest,
        _: gateway_core::store::Session,
    ) -> Pending<'_, Result<bool, StoreUnavailable>> {
        silent()
    }
    fn update<'a>(
        &'a self,
        _: SessionDigest,
        _: Timestamp,
        _: SessionChange<'a>,
    ) -> Pending<'a, Result<bool, StoreUnavailable>> {
        silent()
    }
    fn end(&self, _: SessionDigest, _: Timestamp) -> Pending<'_, Result<bool, StoreUnavailable>> {
        silent()
    }
}

#[tokio::test]
async fn nobody_signs_in_while_the_vault_does_not_answer() {
    let bff = Bff::on(Vault::Shared(Arc::new(Silent)));
    assert_eq!(bff.post("/login/4821", None).await, quiet(503));
    let request = Request::post("/login/4821").body(Body::empty()).expect("a request");
    let response = bff.router.clone().oneshot(request).await.expect("infallible");
    let refused = response.extensions().get::<Refused>().expect("a refusal for the pipeline");
    assert_eq!(refused.refusal().code(), "session_store_unavailable");
    let known = "__Host-sid=AAECAwQFBgcICQoLDA0ODw";
    assert_eq!(bff.post("/login/4821", Some(known)).await, quiet(503));
}
