//! A source against an issuer's server on loopback that counts, answers as told, or does not.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use futures::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::*;
use crate::auth::claims::{ClaimMapping, ClaimPointer};
use crate::auth::jwks::Algorithm;
use crate::auth::jwt::{Issuer, JwtReason, JwtRefusal, JwtScheme, Realm};
use crate::auth::test_issuer::{NOW, TestKey, good_claims, key_set};
use crate::clock::Timestamp;
use crate::principal::IdentityText;

/// What a server says to everybody: these bytes, and then the end of the connection or nothing.
#[derive(Debug, Clone)]
struct Answer {
    bytes: Vec<u8>,
    then_hangs: bool,
}

impl Answer {
    fn of(status: &str, fields: &str, body: &[u8]) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n");
        Self { bytes: [head.as_bytes(), body].concat(), then_hangs: false }
    }

    fn keys(keys: &[Value]) -> Self {
        Self::of("200 OK", "Content-Type: application/jwk-set+json\r\n", &key_set(keys))
    }
}

/// An issuer's server on loopback, which counts its requests.
struct Server {
    address: SocketAddr,
    hits: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
    /// A permit for each answer it may give.
    allowed: Arc<Semaphore>,
}

impl Server {
    async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = Self {
            address: listener.local_addr().expect("an address"),
            hits: Arc::default(),
            answer: Arc::new(Mutex::new(answer)),
            allowed: Arc::new(Semaphore::new(1_000_000)),
        };
        let (hits, answer) = (Arc::clone(&server.hits), Arc::clone(&server.answer));
        let allowed = Arc::clone(&server.allowed);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (hits, answer) = (Arc::clone(&hits), Arc::clone(&answer));
                tokio::spawn(serve(stream, hits, answer, Arc::clone(&allowed)));
            }
        });
        server
    }

    fn says(&self, answer: Answer) {
        *self.answer.lock().expect("not poisoned") = answer;
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    fn location(&self) -> KeyLocation {
        KeyLocation::parse_url(&format!("http://{}/keys", self.address)).expect("a URL")
    }
}

async fn serve(
    mut stream: TcpStream,
    hits: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
    allowed: Arc<Semaphore>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    hits.fetch_add(1, Ordering::SeqCst);
    allowed.acquire().await.expect("never closed").forget();
    let answer = answer.lock().expect("not poisoned").clone();
    stream.write_all(&answer.bytes).await.ok();
    if answer.then_hangs {
        std::future::pending::<()>().await;
    }
}

/// An issuer `users`, a scheme that knows it, and the source of its keys.
struct Fixture {
    clock: Clock,
    scheme: JwtScheme,
    source: KeySource,
}

impl Fixture {
    fn start(location: KeyLocation, change: impl FnOnce(&mut KeySourceSettings)) -> Self {
        let clock = Clock::manual(Timestamp::from_unix_seconds(NOW));
        let keys = Arc::new(KeyCell::new());
        let scheme = scheme(&keys);
        let mut settings = KeySourceSettings::new("users".into(), location);
        change(&mut settings);
        let source = KeySource::spawn(&Handle::current(), settings, keys, clock.clone());
        Self { clock, scheme, source: source.expect("a client") }
    }

    /// As a gateway does it: verify, have the keys fetched when they are missing, try once more.
    async fn verify(&self, token: &str) -> Result<(), JwtRefusal> {
        let now = self.clock.wall();
        let Err(refusal) = self.scheme.verify(token, now) else { return Ok(()) };
        let Some(wanted) = refusal.wants_keys() else { return Err(refusal) };
        self.source.refresh(wanted.newer_than).await;
        self.scheme.verify(token, now).map(|_| ())
    }

    async fn refresh(&self) {
        self.source.refresh(self.source.keys.generation()).await;
    }
}

fn scheme(keys: &Arc<KeyCell>) -> JwtScheme {
    let pointer = |text| ClaimPointer::parse(text).expect("a pointer");
    let issuer = Issuer {
        name: "users".into(),
        issuer: "https://users.example.com".into(),
        audiences: vec!["https://api.example.com".into()],
        algorithms: vec![Algorithm::Es256],
        token_types: Vec::new(),
        claims: ClaimMapping {
            user_id: pointer("/user_id"),
            role: pointer("/role"),
            roles: pointer("/roles"),
            tenant: pointer("/tenant_id"),
            tier: pointer("/tier"),
            default_tier: IdentityText::parse("free").expect("visible"),
        },
        max_lifetime: Duration::from_secs(3_600),
        clock_skew: Duration::from_secs(30),
        keys: Arc::clone(keys),
    };
    JwtScheme::new(Realm::parse("mobile").expect("visible"), vec![issuer], 100)
}

fn token(key: &TestKey, key_id: &str) -> String {
    key.sign(&key.header(key_id), &good_claims())
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_thousand_first_requests_at_once_make_one_fetch() {
    let key = TestKey::es256();
    let server = Server::start(Answer::keys(&[key.jwk("k1")])).await;
    server.allowed.forget_permits(usize::MAX);
    let it = Fixture::start(server.location(), |_| {});
    let token = token(&key, "k1");
    let mut all = join_all((0..1_000).map(|_| it.verify(&token)));
    assert!(futures::poll!(&mut all).is_pending(), "they wait for the keys");
    server.allowed.add_permits(1_000);
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn a_thousand_unknown_keys_make_one_fetch_in_thirty_seconds_and_hurt_nobody() {
    let key = TestKey::es256();
    let server = Server::start(Answer::keys(&[key.jwk("k1")])).await;
    let it = Fixture::start(server.location(), |_| {});
    let good = token(&key, "k1");
    assert!(it.verify(&good).await.is_ok());
    for (period, fetches) in [(0, 2), (1, 3)] {
        for number in 0..500 {
            let unknown = token(&key, &format!("unknown-{period}-{number}"));
            let refusal = it.verify(&unknown).await.expect_err("unknown");
            assert!(matches!(refusal.reason, JwtReason::UnknownKey { .. }));
            assert!(it.verify(&good).await.is_ok());
        }
        assert_eq!(server.hits(), fetches, "period {period}");
        it.clock.advance(30 * SECOND);
    }
}

#[tokio::test]
async fn a_new_key_arrives_with_the_poll_even_when_strangers_keep_the_budget_spent() {
    let (old, new) = (TestKey::es256(), TestKey::es256());
    let server = Server::start(Answer::keys(&[old.jwk("old")])).await;
    let it = Fixture::start(server.location(), |settings| {
        settings.poll_interval = Duration::from_millis(5);
    });
    // The clock stands still, so the budget is never granted again.
    assert!(it.verify(&token(&old, "unknown")).await.is_err());
    server.says(Answer::keys(&[old.jwk("old"), new.jwk("new")]));
    let mut answers = it.source.answers.clone();
    while it.scheme.verify(&token(&new, "new"), it.clock.wall()).is_err() {
        answers.changed().await.expect("the source runs");
    }
}

#[tokio::test]
async fn after_a_soft_rotation_the_first_new_token_fetches_once_and_old_ones_stay_good() {
    let (old, new) = (TestKey::es256(), TestKey::es256());
    let server = Server::start(Answer::keys(&[old.jwk("old")])).await;
    let it = Fixture::start(server.location(), |_| {});
    assert!(it.verify(&token(&old, "old")).await.is_ok());
    server.says(Answer::keys(&[old.jwk("old"), new.jwk("new")]));
    for _ in 0..10 {
        assert!(it.verify(&token(&new, "new")).await.is_ok());
        assert!(it.verify(&token(&old, "old")).await.is_ok());
    }
    assert_eq!(server.hits(), 2, "the first, and one for the rotation");
}

#[tokio::test]
async fn after_a_hard_rotation_old_tokens_end_with_the_next_fetch() {
    let (old, new) = (TestKey::es256(), TestKey::es256());
    let server = Server::start(Answer::keys(&[old.jwk("old")])).await;
    let it = Fixture::start(server.location(), |_| {});
    let old_token = token(&old, "old");
    assert!(it.verify(&old_token).await.is_ok());
    server.says(Answer::keys(&[new.jwk("new")]));
    assert!(it.verify(&token(&new, "new")).await.is_ok());
    let refusal = it.verify(&old_token).await.expect_err("its key is gone");
    assert!(matches!(refusal.reason, JwtReason::UnknownKey { .. }));
    assert_eq!(server.hits(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_down_at_the_start_makes_the_gateway_unready_and_no_token_bad() {
    let key = TestKey::es256();
    let server = Server::start(Answer::of("500 Internal Server Error", "", b"")).await;
    let it = Fixture::start(server.location(), |_| {});
    let token = token(&key, "k1");
    let refusal = it.verify(&token).await.expect_err("no keys");
    assert!(matches!(refusal.reason, JwtReason::KeysNotLoaded { .. }));
    assert!(!it.source.is_loaded());
    assert_eq!(it.source.age(it.clock.now()), None);
    server.says(Answer::keys(&[key.jwk("k1")]));
    it.clock.advance(30 * SECOND);
    assert!(it.verify(&token).await.is_ok());
    assert!(it.source.is_loaded());
}

#[tokio::test]
async fn an_issuer_that_fails_in_any_way_leaves_the_old_keys_in_force() {
    let key = TestKey::es256();
    let attacker = TestKey::es256();
    let elsewhere = Server::start(Answer::keys(&[attacker.jwk("k2")])).await;
    let redirect = format!("Location: http://{}/keys\r\n", elsewhere.address);
    let good = Answer::keys(&[key.jwk("k1")]);
    let server = Server::start(good.clone()).await;
    let it = Fixture::start(server.location(), |settings| {
        settings.refetch_cooldown = Duration::ZERO;
        settings.fetch_timeout = Duration::from_millis(200);
    });
    while !it.source.is_loaded() {
        it.refresh().await;
    }
    let generation = it.source.keys.generation();
    let hanging = |bytes: &[u8]| Answer { bytes: bytes.to_vec(), then_hangs: true };
    let huge = Answer::of("200 OK", "", &[&good.bytes[..], &vec![b' '; 10_000_000]].concat());
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n";
    for (what, answer) in [
        ("500", Answer::of("500 Internal Server Error", "", &key_set(&[attacker.jwk("k2")]))),
        ("204", Answer::of("204 No Content", "", b"")),
        ("a hang", hanging(b"")),
        ("a slow drip", hanging(endless)),
        ("a reset", Answer { bytes: Vec::new(), then_hangs: false }),
        ("half an answer", Answer { bytes: good.bytes[..150].to_vec(), then_hangs: false }),
        ("HTML", Answer::of("200 OK", "Content-Type: text/html\r\n", b"<html>Sign in</html>")),
        ("an empty object", Answer::of("200 OK", "", b"{}")),
        ("no keys", Answer::keys(&[])),
        ("10 MB", huge),
        ("a redirect to another host", Answer::of("302 Found", &redirect, b"")),
    ] {
        let hits = server.hits();
        server.says(answer);
        it.refresh().await;
        assert!(server.hits() > hits, "{what}: it was asked");
        assert_eq!(it.source.keys.generation(), generation, "{what}");
        assert!(it.scheme.verify(&token(&key, "k1"), it.clock.wall()).is_ok(), "{what}");
    }
    assert_eq!(elsewhere.hits(), 0, "no redirect is followed");
}

#[tokio::test]
async fn keys_that_cannot_be_confirmed_for_too_long_are_dropped() {
    let key = TestKey::es256();
    let server = Server::start(Answer::keys(&[key.jwk("k1")])).await;
    let it = Fixture::start(server.location(), |settings| {
        settings.refetch_cooldown = Duration::ZERO;
        settings.stale_max = 3_600 * SECOND;
    });
    it.refresh().await;
    server.says(Answer::of("503 Service Unavailable", "", b""));
    it.clock.advance(3_600 * SECOND);
    it.refresh().await;
    assert!(it.source.is_loaded());
    assert_eq!(it.source.age(it.clock.now()), Some(3_600 * SECOND));
    it.clock.advance(SECOND);
    it.refresh().await;
    assert!(!it.source.is_loaded());
    server.says(Answer::keys(&[key.jwk("k1")]));
    it.refresh().await;
    assert!(it.source.is_loaded());
    assert_eq!(it.source.age(it.clock.now()), Some(Duration::ZERO));
}

#[tokio::test]
async fn the_size_of_a_key_set_is_capped_to_the_byte_wherever_it_comes_from() {
    let keys = key_set(&[TestKey::es256().jwk("k1")]);
    let server = Server::start(Answer::of("200 OK", "", &keys)).await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &keys).expect("written");
    for location in [server.location(), KeyLocation::File(file.path().to_owned())] {
        for (size_max, fits) in [(keys.len(), true), (keys.len() - 1, false)] {
            let fetcher = Fetcher::try_new(location.clone(), 5 * SECOND, size_max);
            let fetched = fetcher.expect("a client").fetch().await;
            assert_eq!(fetched.is_ok(), fits, "{location:?}");
            assert!(fits || matches!(fetched, Err(FetchFailed::TooLarge { .. })));
        }
    }
}

#[tokio::test]
async fn the_issuers_cache_control_is_what_sets_the_next_poll() {
    let keys = key_set(&[TestKey::es256().jwk("k1")]);
    let server = Server::start(Answer::of("200 OK", "Cache-Control: max-age=600\r\n", &keys)).await;
    let fetcher = Fetcher::try_new(server.location(), 5 * SECOND, 10_000).expect("a client");
    assert_eq!(fetcher.fetch().await.expect("keys").freshness, Some(600 * SECOND));
    server.says(Answer::of("200 OK", "", &keys));
    assert_eq!(fetcher.fetch().await.expect("keys").freshness, None);
}

#[tokio::test]
async fn keys_come_from_a_file_too_and_are_read_again() {
    let (old, new) = (TestKey::es256(), TestKey::es256());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), key_set(&[old.jwk("old")])).expect("written");
    let it = Fixture::start(KeyLocation::File(file.path().to_owned()), |_| {});
    assert!(it.verify(&token(&old, "old")).await.is_ok());
    std::fs::write(file.path(), key_set(&[new.jwk("new")])).expect("written");
    assert!(it.verify(&token(&new, "new")).await.is_ok());
    let gone = Fixture::start(KeyLocation::File("/nowhere/keys.json".into()), |_| {});
    assert!(gone.verify(&token(&new, "new")).await.is_err());
    assert!(!gone.source.is_loaded());
}

#[test]
fn a_source_is_asked_from_another_runtime_and_answers_even_after_its_own_has_ended() {
    let key = TestKey::es256();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), key_set(&[key.jwk("k1")])).expect("written");
    let single = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (background, core) = (single().expect("a runtime"), single().expect("a runtime"));
    let handle = background.handle().clone();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || background.block_on(async { ended.await.ok() }));
    let keys = Arc::new(KeyCell::new());
    let location = KeyLocation::File(file.path().to_owned());
    let settings = KeySourceSettings::new("users".into(), location);
    let clock = Clock::manual(Timestamp::from_unix_seconds(NOW));
    let source = KeySource::spawn(&handle, settings, Arc::clone(&keys), clock).expect("a source");
    core.block_on(source.refresh(None));
    assert!(keys.is_loaded());
    end.send(()).expect("the runtime waits");
    thread.join().expect("ends");
    core.block_on(source.refresh(keys.generation()));
}

#[tokio::test]
async fn who_has_seen_older_keys_does_not_wait_for_newer_ones_than_are_there() {
    let server = Server::start(Answer::keys(&[TestKey::es256().jwk("k1")])).await;
    let it = Fixture::start(server.location(), |settings| {
        settings.refetch_cooldown = Duration::ZERO;
    });
    it.source.refresh(None).await;
    it.source.refresh(None).await;
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn a_source_ends_with_its_last_clone() {
    let server = Server::start(Answer::keys(&[TestKey::es256().jwk("k1")])).await;
    let it = Fixture::start(server.location(), |_| {});
    let mut answers = it.source.answers.clone();
    let clone = it.source.clone();
    drop(it);
    clone.refresh(None).await;
    answers.mark_unchanged();
    drop(clone);
    assert!(answers.changed().await.is_err(), "the task is gone");
}

#[test]
fn keys_come_by_http_without_a_password_in_the_url() {
    for (url, is_good) in [
        ("https://users.example.com/.well-known/jwks.json", true),
        ("http://127.0.0.1:8082/.well-known/jwks.json", true),
        ("ftp://users.example.com/keys", false),
        ("file:///etc/passwd", false),
        ("https://user:secret@users.example.com/keys", false),
        ("https://user@users.example.com/keys", false),
        ("/keys", false),
        ("", false),
    ] {
        assert_eq!(KeyLocation::parse_url(url).is_ok(), is_good, "{url}");
    }
}
