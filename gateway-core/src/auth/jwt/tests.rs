//! Tokens in, principals or refusals out. Here: requests, good tokens, answers, and anything at
//! all; the rest by what is wrong with a token.

mod claims;
mod form;
mod head;
mod known_keys;

use std::sync::LazyLock;

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::claims::ClaimPointer;
use crate::auth::jwks::KeySet;
use crate::auth::test_issuer::{NOW, TestKey, base64url, good_claims, key_set};
use crate::error::{Refusal as _, Refused};
use crate::exchange::RequestId;

fn pointer(text: &str) -> ClaimPointer {
    ClaimPointer::parse(text).expect(text)
}

fn issuer(name: &str, keys: &Arc<KeyCell>) -> Issuer {
    Issuer {
        name: name.into(),
        issuer: format!("https://{name}.example.com").into(),
        audiences: vec!["https://api.example.com".into(), "mobile".into()],
        algorithms: ["ES256", "ES384", "EdDSA", "RS256", "PS256"]
            .into_iter()
            .filter_map(Algorithm::parse)
            .collect(),
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
    }
}

fn realm() -> Realm {
    Realm::parse("mobile").expect("visible")
}

fn cell_of(keys: &[Value]) -> Arc<KeyCell> {
    let cell = KeyCell::new();
    cell.publish(KeySet::parse(&key_set(keys)).expect("usable"));
    Arc::new(cell)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

/// A scheme with one issuer, `users`, whose key `k1` signs ES256.
struct Fixture {
    key: TestKey,
    keys: Arc<KeyCell>,
    scheme: JwtScheme,
}

impl Fixture {
    fn new() -> Self {
        let key = TestKey::es256();
        let keys = cell_of(&[key.jwk("k1")]);
        let scheme = JwtScheme::new(realm(), vec![issuer("users", &keys)], 100);
        Self { key, keys, scheme }
    }

    fn token(&self) -> String {
        self.token_of(&good_claims())
    }

    fn token_of(&self, claims: &Value) -> String {
        self.key.sign(&self.key.header("k1"), claims)
    }

    fn token_with_claim(&self, name: &str, value: &Value) -> String {
        let mut claims = good_claims();
        claims[name] = value.clone();
        self.token_of(&claims)
    }

    fn token_without_claim(&self, name: &str) -> String {
        let mut claims = good_claims();
        claims.as_object_mut().expect("an object").remove(name);
        self.token_of(&claims)
    }

    fn token_with_header(&self, name: &str, value: &Value) -> String {
        let mut header = self.key.header("k1");
        header[name] = value.clone();
        self.key.sign(&header, &good_claims())
    }

    fn verify(&self, token: &str) -> Result<Arc<Principal>, JwtRefusal> {
        self.scheme.verify(token, at(NOW))
    }

    /// Refused with 401 `token_invalid`, for the reason whose log line has `reason` in it.
    #[track_caller]
    fn check_invalid(&self, what: &str, token: &str, reason: &str) {
        let refusal = self.verify(token).expect_err(what);
        assert_eq!(answer(&refusal), "401 token_invalid", "{what}");
        assert_eq!(challenge(&refusal), r#"Bearer realm="mobile", error="invalid_token""#);
        let log = Refused::from(refusal).to_string();
        assert!(log.contains(reason), "{what}: {log}");
        for part in token.split('.').filter(|part| part.len() > 4) {
            assert!(!log.contains(part), "{what}: {log} shows the token");
        }
    }
}

fn answer(refusal: &JwtRefusal) -> String {
    format!("{} {}", refusal.status().as_u16(), refusal.code())
}

fn challenge(refusal: &JwtRefusal) -> String {
    let mut headers = HeaderMap::new();
    refusal.add_headers(&mut headers);
    let challenge = headers.get(header::WWW_AUTHENTICATE);
    challenge.map_or_else(String::new, |it| it.to_str().expect("visible").to_owned())
}

fn authorization(values: &[&[u8]]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        let value = HeaderValue::from_bytes(value).expect("a field value");
        headers.append(header::AUTHORIZATION, value);
    }
    headers
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::new);

#[test]
fn a_request_without_a_credential_gets_a_challenge_without_an_error() {
    let scheme = &FIXTURE.scheme;
    assert_eq!(scheme.credential(&HeaderMap::new()).expect("none"), None);
    let refusal = scheme.refuse_missing();
    assert_eq!(answer(&refusal), "401 credential_missing");
    assert_eq!(challenge(&refusal), r#"Bearer realm="mobile""#);
}

#[test]
fn two_credentials_are_a_bad_request_and_neither_is_chosen() {
    for (what, values) in [
        ("two fields", &[&b"Bearer a"[..], b"Bearer a"][..]),
        ("two fields of two schemes", &[b"Basic YTpi", b"Bearer a"]),
        ("one list", &[b"Bearer a, Bearer b"]),
        ("one list without a space", &[b"Bearer a,b"]),
    ] {
        let refusal = FIXTURE.scheme.credential(&authorization(values)).expect_err(what);
        assert_eq!(answer(&refusal), "400 credential_ambiguous", "{what}");
        assert_eq!(challenge(&refusal), r#"Bearer realm="mobile", error="invalid_request""#);
    }
}

#[test]
fn a_token_anywhere_else_than_in_authorization_is_no_credential() {
    let mut headers = HeaderMap::new();
    for name in ["cookie", "x-access-token", "proxy-authorization"] {
        let value = HeaderValue::from_static("Bearer a");
        headers.insert(HeaderName::from_static(name), value);
    }
    assert_eq!(FIXTURE.scheme.credential(&headers).expect("none"), None);
    for other in ["Basic YTpi", "DPoP a", "Bearers a", "Bearer-x a", "Bear", "", "Token Bearer a"] {
        let headers = authorization(&[other.as_bytes()]);
        assert_eq!(FIXTURE.scheme.credential(&headers).expect(other), None, "{other}");
    }
}

#[test]
fn bearer_is_written_in_any_case_and_followed_by_spaces_only() {
    for value in ["Bearer a.b-c_~+/=", "bearer a.b-c_~+/=", "BEARER    a.b-c_~+/="] {
        let headers = authorization(&[value.as_bytes()]);
        assert_eq!(FIXTURE.scheme.credential(&headers).expect(value), Some("a.b-c_~+/="));
    }
    for value in [
        &b"Bearer\ta"[..],
        b"Bearer \ta",
        b"Bearer a\tb",
        b"Bearer a b",
        b"Bearer",
        b"Bearer ",
        b"Bearer=a",
        b"Bearer \"a\"",
        b"Bearer \xc3\xa9",
        b"Bearer \xff",
    ] {
        let what = String::from_utf8_lossy(value).into_owned();
        let refusal = FIXTURE.scheme.credential(&authorization(&[value])).expect_err(&what);
        assert_eq!(answer(&refusal), "401 token_invalid", "{what}");
    }
}

#[test]
fn a_good_token_says_who_its_bearer_is() {
    let who = FIXTURE.verify(&FIXTURE.token()).expect("good");
    assert_eq!(who.scheme, Scheme::Jwt);
    assert_eq!(who.user_id.as_str(), "4821");
    assert_eq!(who.role.as_ref().map(IdentityText::as_str), Some("editor"));
    assert_eq!(who.tier.as_str(), "free");
    assert_eq!(who.credential_id.as_ref().map(IdentityText::as_str), Some("t-1"));
    assert_eq!(who.expires_at, Some(at(NOW + 840)));
}

#[test]
fn every_algorithm_of_the_issuer_is_verified() {
    let ed25519 = TestKey::ed25519();
    let renamed = || {
        let mut header = ed25519.header("k");
        header["alg"] = "Ed25519".into();
        ed25519.sign(&header, &good_claims())
    };
    for (key, token) in [
        (&TestKey::es256(), None),
        (&TestKey::es384(), None),
        (&TestKey::rsa("RS256"), None),
        (&TestKey::rsa("PS256"), None),
        (&ed25519, None),
        (&ed25519, Some(renamed())),
    ] {
        let keys = cell_of(&[key.jwk("k")]);
        let scheme = JwtScheme::new(realm(), vec![issuer("users", &keys)], 100);
        let token = token.unwrap_or_else(|| key.sign(&key.header("k"), &good_claims()));
        assert!(scheme.verify(&token, at(NOW)).is_ok(), "{}", key.algorithm);
    }
}

#[test]
fn harmless_variations_of_a_good_token_are_good() {
    for (what, token) in [
        ("a type with its prefix", FIXTURE.token_with_header("typ", &"application/at+jwt".into())),
        ("a type in capitals", FIXTURE.token_with_header("typ", &"AT+JWT".into())),
        ("our second name", FIXTURE.token_with_claim("aud", &"mobile".into())),
        ("several audiences", FIXTURE.token_with_claim("aud", &json!(["other", "mobile"]))),
        ("a fraction of a second", FIXTURE.token_with_claim("iat", &json!(1_799_999_999.5))),
        ("the issuer's clock ahead", FIXTURE.token_with_claim("iat", &json!(NOW + 30))),
        ("no key id", FIXTURE.key.sign(&json!({"typ":"at+jwt","alg":"ES256"}), &good_claims())),
    ] {
        assert!(FIXTURE.verify(&token).is_ok(), "{what}");
    }
}

#[test]
fn an_answer_says_what_to_do_and_nothing_of_the_reason() {
    let token = FIXTURE.token_with_claim("iss", &"https://evil.example.com".into());
    let refusal = FIXTURE.verify(&token).expect_err("refused");
    let request_id = RequestId::parse("req_01HF7YAT000000000000000000").expect("well-formed");
    let response = Refused::from(refusal).to_response(&request_id);
    let body: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(
        body,
        json!({
            "type": "about:blank", "title": "Unauthorized", "status": 401,
            "detail": "The access token is not accepted. Get a new one.",
            "code": "token_invalid", "request_id": "req_01HF7YAT000000000000000000",
        })
    );
}

#[test]
fn a_realm_can_stand_between_quotes() {
    for bad in ["", "a\"b", "a\\b", "a b", "a\r\nb", "\u{e9}"] {
        assert_eq!(Realm::parse(bad), Err(InvalidRealm), "{bad:?}");
    }
}

/// A token of which any text may be the header, any text the claims, signed all the same.
fn signed(header: &str, claims: &str) -> String {
    FIXTURE.key.sign_text(header, claims)
}

proptest! {
    #[test]
    fn no_text_makes_the_scheme_panic(text in ".{0,300}") {
        let _ = FIXTURE.scheme.verify(&text, at(NOW));
    }

    #[test]
    fn no_field_makes_the_scheme_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        for field in [bytes.clone(), [b"Bearer ", &bytes[..]].concat()] {
            if let Ok(value) = HeaderValue::from_bytes(&field) {
                let mut headers = HeaderMap::new();
                headers.insert(header::AUTHORIZATION, value);
                let _ = FIXTURE.scheme.credential(&headers);
            }
        }
    }

    #[test]
    fn no_signed_text_makes_the_scheme_panic(header in ".{0,100}", claims in ".{0,100}") {
        prop_assert!(FIXTURE.verify(&signed(&header, &claims)).is_err());
        let good_header = FIXTURE.key.header("k1").to_string();
        prop_assert!(FIXTURE.verify(&signed(&good_header, &claims)).is_err());
    }

    #[test]
    fn no_changed_byte_of_a_good_token_is_accepted(place in any::<prop::sample::Index>(), to in "[ -~]") {
        static TOKEN: LazyLock<String> = LazyLock::new(|| FIXTURE.token());
        let place = place.index(TOKEN.len());
        prop_assume!(TOKEN[place..=place] != to);
        let mut changed = TOKEN.clone();
        changed.replace_range(place..=place, &to);
        prop_assert!(FIXTURE.verify(&changed).is_err(), "{place} {to}");
    }
}
