//! Cookies as browsers, libraries and attackers write them, and sessions through their life.

use http::{HeaderMap, HeaderValue, header};
use serde_json::Map;

use super::*;
use crate::exchange::RequestId;
use crate::principal::{IdentityText, Scheme};

const SID: &str = "AAECAwQFBgcICQoLDA0ODw";
const REMOVAL: &str = "__Host-sid=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";

fn policy() -> SessionPolicy {
    let lifetime = SessionLifetime {
        idle_timeout: Duration::from_secs(1_800),
        lifetime: Duration::from_secs(43_200),
    };
    SessionPolicy::build("__Host-sid", lifetime).expect("a cookie name")
}

fn cookies<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(header::COOKIE, HeaderValue::from_bytes(field).expect("a header value"));
    }
    headers
}

fn sid() -> SessionId {
    SessionId::parse(SID.as_bytes()).expect("an id")
}

/// What a `Cookie` field leads to: `found`, `none`, or the refusal's code, with `-` behind it when
/// the cookie is taken away.
fn outcome(headers: &HeaderMap) -> String {
    match credential(headers, &policy()) {
        Ok(Some(digest)) if digest == sid().digest() => "found".to_owned(),
        Ok(Some(_)) => "another".to_owned(),
        Ok(None) => "none".to_owned(),
        Err(refusal) => {
            let mut answer = HeaderMap::new();
            refusal.add_headers(&mut answer);
            let removal = answer.get(header::SET_COOKIE).map(|value| value.to_str().unwrap());
            assert!(removal.is_none_or(|text| text == REMOVAL), "{removal:?}");
            format!("{}{}", refusal.code(), if removal.is_some() { "-" } else { "" })
        }
    }
}

#[track_caller]
fn check(field: &[u8], expected: &str) {
    let field = with_sid(field);
    let text = String::from_utf8_lossy(&field);
    assert_eq!(outcome(&cookies([field.as_slice()])), expected, "{text}");
}

/// The field with `SID` replaced by a well-formed id.
fn with_sid(field: &[u8]) -> Vec<u8> {
    match field.windows(3).position(|window| window == b"SID") {
        Some(at) => [&field[..at], SID.as_bytes(), &with_sid(&field[at + 3..])].concat(),
        None => field.to_vec(),
    }
}

#[test]
fn only_the_configured_name_byte_for_byte_is_the_session() {
    check(b"__Host-sid=SID", "found");
    check(b"a=1; __Host-sid=SID; b=2", "found");
    check(b"a=1;__Host-sid=SID", "found");
    check(b"", "none");
    check(b"%5F%5FHost-sid=SID", "none");
    check(b"__Host%2Dsid=SID", "none");
    check(b"__host-sid=SID", "none");
    check(b"__HOST-SID=SID", "none");
    check(b"\xe2\x80\x80__Host-sid=SID", "none");
    check(b"a=1; \xe2\x80\x80__Host-sid=SID", "none");
    check(b"\x85__Host-sid=SID", "none");
    check(b"\xa0__Host-sid=SID", "none");
    check(b"a=1;\t__Host-sid=SID", "none");
    check(b"__Host-sid =SID", "none");
    check(b"=__Host-sid=SID", "none");
    check(b"__Host-sid", "none");
    check(b"x__Host-sid=SID", "none");
}

#[test]
fn cookies_in_the_old_syntax_are_refused_without_signing_anybody_out() {
    check(b"$Version=1; __Host-sid=SID", "session_malformed");
    check(b"$version=\"1\"; a=\"; __Host-sid=SID; b=\"", "session_malformed");
}

#[test]
fn a_neighbour_with_bad_bytes_does_not_break_the_session() {
    check(b"name=J\xf6rg; __Host-sid=SID", "found");
    check(b"__Host-sid=SID; x=%ZZ%", "found");
    check(b"\xff\xfe; __Host-sid=SID; =; ;;", "found");
    check(b"q=\"a; __Host-sid=SID", "found");
}

#[test]
fn two_session_cookies_are_never_chosen_between() {
    check(b"__Host-sid=SID; __Host-sid=BBECAwQFBgcICQoLDA0ODw", "ambiguous_session-");
    check(b"__Host-sid=junk; __Host-sid=SID", "ambiguous_session-");
    check(b"__Host-sid=SID; a=1; __Host-sid=SID", "ambiguous_session-");
    check(b"__Host-sid=; __Host-sid=SID", "ambiguous_session-");
    let field = format!("__Host-sid={SID}");
    let split = cookies([field.as_bytes(), field.as_bytes()]);
    assert_eq!(outcome(&split), "ambiguous_session-", "in two fields, as HTTP/2 sends them");
}

#[test]
fn a_value_that_is_no_id_is_refused_before_anything_is_looked_up() {
    for value in [
        "",
        "short",
        "AAECAwQFBgcICQoLDA0OD",
        "AAECAwQFBgcICQoLDA0ODww",
        "AAECAwQFBgcICQoLDA0OD+",
        "AAECAwQFBgcICQoLDA0OD/",
        "AAECAwQFBgcICQoLDA0ODx",
        "AAECAwQFBgcICQoLDA0OD=",
        "\"AAECAwQFBgcICQoLDA0ODw\"",
        "AAECAwQFBgcICQoLDA0ODw ",
        "AAECAwQFBgcICQoLDA0%4Fw",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    ] {
        check(format!("__Host-sid={value}").as_bytes(), "session_malformed-");
    }
}

#[test]
fn a_refused_value_stands_in_neither_the_log_nor_the_answer() {
    let headers = cookies([b"__Host-sid=leaked-value-of-22-byt".as_slice()]);
    let refusal = credential(&headers, &policy()).expect_err("malformed");
    let request_id = RequestId::generate(Timestamp::from_unix_seconds(0));
    let told = format!("{refusal} {refusal:?} {}", refusal.detail());
    let answer = crate::error::Refused::from(refusal).to_response(&request_id);
    let all = format!("{told} {answer:?}");
    assert!(!all.contains("leaked"), "{all}");
}

#[test]
fn a_hundred_cookies_and_sixteen_kibibytes_are_read_and_not_one_more() {
    let session = format!("__Host-sid={SID}");
    let count = |n: usize| format!("{}{session}", "a=1; ".repeat(n));
    assert_eq!(outcome(&cookies([count(99).as_bytes()])), "found");
    assert_eq!(outcome(&cookies([count(100).as_bytes()])), "cookies_too_large");

    let size = |n: usize| format!("{session}; a={}", "x".repeat(n - session.len() - 4));
    assert_eq!(outcome(&cookies([size(16_384).as_bytes()])), "found");
    assert_eq!(outcome(&cookies([size(16_385).as_bytes()])), "cookies_too_large");

    let half = size(9_000);
    let second = format!("b={}", "x".repeat(9_000));
    assert_eq!(outcome(&cookies([half.as_bytes(), second.as_bytes()])), "cookies_too_large");
    assert_eq!(SessionRefusal::TooLarge.status(), 431);
}

#[test]
fn the_cookie_is_set_and_removed_with_every_protection() {
    assert_eq!(
        policy().set_cookie(sid()),
        format!("__Host-sid={SID}; Path=/; Secure; HttpOnly; SameSite=Strict")
    );
    assert_eq!(policy().removal_cookie(), REMOVAL);
    assert_eq!(format!("{:?}", policy().set_cookie(sid())), "Sensitive");
    assert_eq!(format!("{:?}", sid()), "SessionId(…)");
}

#[test]
fn a_new_id_reads_back_and_no_two_are_alike() {
    let (one, other) = (SessionId::generate(), SessionId::generate());
    assert_ne!(one.to_bytes(), other.to_bytes());
    let read = SessionId::parse(&one.text()).expect("22 characters of base64url");
    assert_eq!(read.to_bytes(), one.to_bytes());
    assert_eq!(read.digest(), one.digest());
}

#[test]
fn a_digest_is_the_sha_256_of_what_the_browser_sends() {
    let hex: String = sid().digest().0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "5d2611d5a4dd2b40b277dfdb5ecf5b49819150d7d5c62f4eef960cb0c24db20c");
}

#[test]
fn a_name_that_could_end_the_cookie_early_is_not_accepted() {
    for name in ["", "a b", "a;b", "a=b", "sid\r\n", "sïd", "a,b"] {
        assert!(SessionPolicy::build(name, policy().lifetime()).is_err(), "{name:?}");
    }
    assert!(SessionPolicy::build("__Host-Http-sid", policy().lifetime()).is_ok());
}

fn text(text: &str) -> IdentityText {
    IdentityText::parse(text).expect("visible ASCII")
}

fn principal() -> Arc<Principal> {
    Arc::new(Principal {
        scheme: Scheme::Session,
        user_id: text("4821"),
        role: None,
        roles: Vec::new(),
        tenant: None,
        tier: text("free"),
        scopes: Vec::new(),
        credential_id: None,
        expires_at: None,
    })
}

/// A session that began at second 0 and was last used at `used_s`, judged at `now_s`.
fn judged(principal: Option<Arc<Principal>>, used_s: u64, now_s: u64) -> String {
    let session = Session {
        principal,
        values: Map::new(),
        created_at: Timestamp::from_unix_seconds(0),
        used_at: Timestamp::from_unix_seconds(used_s),
    };
    let now = Timestamp::from_unix_seconds(now_s);
    match judge(SessionLookup::Live(Arc::new(session)), &policy(), now) {
        Ok(principal) => principal.user_id.to_string(),
        Err(refusal) => refusal.code().to_owned(),
    }
}

#[test]
fn a_session_ends_exactly_at_its_idle_time_out_and_at_its_lifetime() {
    let check = |used_s, now_s, expected: &str| {
        assert_eq!(judged(Some(principal()), used_s, now_s), expected, "used {used_s} now {now_s}");
    };
    check(0, 0, "4821");
    check(0, 1_799, "4821");
    check(0, 1_800, "session_expired");
    check(1_799, 3_598, "4821");
    check(43_000, 43_199, "4821");
    check(43_199, 43_200, "session_expired");
    assert_eq!(judged(None, 0, 0), "session_missing");
}

#[test]
fn a_dead_session_is_a_401_that_takes_its_cookie_away() {
    let now = Timestamp::from_unix_seconds(0);
    for (lookup, code) in
        [(SessionLookup::Ended, "session_ended"), (SessionLookup::Unknown, "session_expired")]
    {
        let refusal = judge(lookup, &policy(), now).expect_err("dead");
        let request_id = RequestId::generate(now);
        assert_eq!(refusal.code(), code);
        let answer = crate::error::Refused::from(refusal).to_response(&request_id);
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["set-cookie"], REMOVAL);
        assert_eq!(answer.headers()["www-authenticate"], "Cookie realm=\"session\"");
    }
}

#[test]
fn a_vault_that_does_not_answer_is_a_503_that_may_be_retried() {
    let down = StoreUnavailable { store: "session vault", reason: "10.0.0.7 refused".to_owned() };
    let request_id = RequestId::generate(Timestamp::from_unix_seconds(0));
    let answer = crate::error::Refused::from(SessionRefusal::from(down)).to_response(&request_id);
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    let body = String::from_utf8_lossy(answer.body());
    assert!(body.contains("session_store_unavailable") && !body.contains("10.0.0.7"), "{body}");
}

#[test]
fn cookies_stay_between_the_browser_and_the_gateway() {
    let mut request = cookies([b"__Host-sid=x".as_slice(), b"a=1"]);
    strip_cookies(&mut request);
    assert!(!request.contains_key(header::COOKIE));

    let mut answer = HeaderMap::new();
    for value in [
        "theme=dark; Path=/",
        " theme = dark",
        "tracker=1",
        "__Host-sid=fixed",
        "__host-SID=fixed",
        "__Host-sid",
        "Theme=dark",
        "theme",
        "=theme=dark",
    ] {
        answer.append(header::SET_COOKIE, HeaderValue::from_static(value));
    }
    let allowed = ["theme".into(), "__Host-sid".into(), "__host-SID".into()];
    keep_set_cookie(&mut answer, &allowed, &policy());
    let kept: Vec<_> = answer.get_all(header::SET_COOKIE).iter().collect();
    assert_eq!(kept, ["theme=dark; Path=/", " theme = dark"]);

    keep_set_cookie(&mut answer, &[], &policy());
    assert!(!answer.contains_key(header::SET_COOKIE));
}
