//! Keys against the vectors, and everything a request may present in their place.

use super::*;
use crate::exchange::RequestId;
use crate::principal::IdentityText;

const VECTORS: &str = include_str!("vectors.json");
const KEY: &str = "plk_live_EPjpKsJZCqwcku2Q87Rrkf58xD4LWGbp0LjcyJ";
const OTHER: &str = "plk_live_77bpT1fq7Y5KI8r6rYk9c5xfSJul2Uqq1qMJJU";

fn prefix() -> KeyPrefix {
    KeyPrefix::parse("plk").expect("a prefix")
}

fn policy() -> ApiKeyPolicy {
    let pepper = Pepper::build(b"a pepper of thirty-two bytes or so").expect("long enough");
    ApiKeyPolicy::build(prefix(), pepper, "partner").expect("a realm")
}

fn vectors(list: &str) -> Vec<serde_json::Value> {
    let vectors: serde_json::Value = serde_json::from_str(VECTORS).expect("JSON");
    let list = vectors[list].as_array().expect("a list").clone();
    assert!(!list.is_empty());
    list
}

#[test]
fn every_valid_vector_is_a_key_and_shows_its_ends_alone() {
    for vector in vectors("valid") {
        let text = vector["key"].as_str().expect("a text");
        let key = ApiKey::parse(text.as_bytes(), &prefix()).expect(text);
        assert_eq!(key.expose(), text);
        assert_eq!(key.display(), vector["display"].as_str().expect("a text"));
        assert_eq!(key.environment() == Environment::Live, text.contains("_live_"));
        assert_eq!(format!("{key:?}"), format!("ApiKey({})", key.display()));
    }
}

#[test]
fn every_invalid_vector_is_refused() {
    for vector in vectors("invalid") {
        let text = vector["key"].as_str().expect("a text");
        assert_eq!(ApiKey::parse(text.as_bytes(), &prefix()).err(), Some(MalformedKey), "{vector}");
    }
}

#[test]
fn any_changed_letter_makes_a_key_malformed() {
    for position in 0..KEY.len() {
        for replacement in [b'0', b'z', b'_', b' ', 0xc3] {
            let mut text = KEY.as_bytes().to_vec();
            if std::mem::replace(&mut text[position], replacement) != replacement {
                assert!(ApiKey::parse(&text, &prefix()).is_err(), "{position} {replacement}");
            }
        }
    }
}

#[test]
fn a_generated_key_reads_back_and_is_new_each_time() {
    let prefix = KeyPrefix::parse("acme2").expect("a prefix");
    let key = ApiKey::generate(&prefix, Environment::Test);
    assert!(key.expose().starts_with("acme2_test_"), "{key:?}");
    let read = ApiKey::parse(key.expose().as_bytes(), &prefix).expect("well-formed");
    assert_eq!(read.expose(), key.expose());
    assert_eq!(read.environment(), Environment::Test);
    assert_ne!(ApiKey::generate(&prefix, Environment::Test).expose(), key.expose());
}

#[test]
fn a_prefix_is_short_plain_and_starts_with_a_letter() {
    for bad in ["", "p", "Plk", "1pk", "p_k", "plk-", "abcdefghijklm"] {
        assert!(KeyPrefix::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_digest_depends_on_key_and_pepper_and_neither_is_printed() {
    let key = |text: &str| ApiKey::parse(text.as_bytes(), &prefix()).expect("a key");
    let pepper = |text: &[u8]| Pepper::build(text).expect("long enough");
    let (one, two) = (pepper(&[1; 32]), pepper(&[2; 32]));
    assert_eq!(one.digest(&key(KEY)), one.digest(&key(KEY)));
    assert_ne!(one.digest(&key(KEY)), one.digest(&key(OTHER)));
    assert_ne!(one.digest(&key(KEY)), two.digest(&key(KEY)));
    // python: hmac.new(b"\1" * 32, key, "sha256")
    let hex: String = one.digest(&key(KEY)).0.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "2d636bbba34ab4735c0a0a7af94f4278a09066f604f52131c65c3deb775c58d2");
    assert_eq!(format!("{one:?}"), "Pepper(…)");
    assert_eq!(Pepper::build(&[1; 31]).err(), Some(WeakPepper { length: 31 }));
}

/// What a head presents: `key`, `none`, or a status and a code.
#[track_caller]
fn check(fields: &[(&'static str, &str)], query: Option<&str>, expected: &str) {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    let key = ApiKey::parse(KEY.as_bytes(), &prefix()).expect("a key");
    let got = match policy().credential(&headers, query) {
        Ok(Some(digest)) if digest == policy().pepper.digest(&key) => "key".to_owned(),
        Ok(Some(_)) => "another key".to_owned(),
        Ok(None) => "none".to_owned(),
        Err(refusal) => format!("{} {}", refusal.status().as_u16(), refusal.code()),
    };
    assert_eq!(got, expected, "{fields:?} {query:?}");
}

#[test]
fn a_key_is_read_from_either_header() {
    check(&[], None, "none");
    check(&[("authorization", &format!("Bearer {KEY}"))], None, "key");
    check(&[("authorization", &format!("bEARER   {KEY}"))], None, "key");
    check(&[("x-api-key", KEY)], None, "key");
    check(&[("x-api-key", KEY)], Some("limit=20&prefix=plk_"), "key");
}

#[test]
fn a_malformed_key_is_a_401_without_asking_the_store() {
    for vector in vectors("invalid") {
        let Ok(text) = HeaderValue::from_str(vector["key"].as_str().expect("a text")) else {
            continue;
        };
        let text = text.to_str().expect("ASCII");
        check(&[("x-api-key", text)], None, "401 api_key_malformed");
        let bearer = format!("Bearer {text}");
        check(&[("authorization", &bearer)], None, "401 api_key_malformed");
    }
    for value in ["", "Bearer", "Bearer ", KEY, &format!("Basic {KEY}"), &format!("Bearer,{KEY}")] {
        check(&[("authorization", value)], None, "401 api_key_malformed");
    }
    check(&[("x-api-key", &format!("Bearer {KEY}"))], None, "401 api_key_malformed");
}

#[test]
fn two_different_keys_are_ambiguous_and_the_same_one_twice_is_not() {
    let bearer = format!("Bearer {KEY}");
    check(&[("authorization", &bearer), ("x-api-key", KEY)], None, "key");
    check(&[("authorization", &bearer), ("x-api-key", OTHER)], None, "400 ambiguous_credentials");
    check(
        &[("authorization", "Basic YTpi"), ("x-api-key", KEY)],
        None,
        "400 ambiguous_credentials",
    );
    check(&[("x-api-key", KEY), ("x-api-key", OTHER)], None, "400 ambiguous_credentials");
    let twice = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    check(&twice, None, "400 ambiguous_credentials");
}

#[test]
fn a_key_in_the_query_is_refused_even_beside_a_good_one() {
    for query in [
        format!("key={KEY}"),
        format!("a=1&token={KEY}"),
        format!("key={}", KEY.replace('_', "%5F")),
        format!("%70lk_live_{}", KEY.trim_start_matches("plk_live_")),
        "anything=plk_test_cut-short".to_owned(),
        "api_key=whatever".to_owned(),
        "API%5FKEY=whatever".to_owned(),
        "x-api-key=".to_owned(),
    ] {
        check(&[], Some(&query), "400 api_key_in_query");
        check(&[("x-api-key", KEY)], Some(&query), "400 api_key_in_query");
    }
    let hint = ApiKeyRefusal::InQuery.detail();
    assert!(hint.contains("X-API-Key") && !hint.contains(KEY), "{hint}");
}

fn record() -> KeyRecord {
    let text = |text| IdentityText::parse(text).expect("visible ASCII");
    let key = ApiKey::parse(KEY.as_bytes(), &prefix()).expect("a key");
    KeyRecord {
        id: text("key_1"),
        digest: policy().pepper.digest(&key),
        partner: text("acme"),
        tier: text("pro"),
        scopes: vec![text("links:read")],
        expires_at: None,
        is_revoked: false,
    }
}

#[test]
fn a_good_record_becomes_the_partners_principal() {
    let now = Timestamp::from_unix_seconds(0);
    let principal = policy().judge(record().digest, Some(&record()), now).expect("valid");
    assert_eq!(principal.scheme, Scheme::ApiKey);
    assert_eq!(principal.user_id.as_str(), "acme");
    assert_eq!(principal.tier.as_str(), "pro");
    assert_eq!(principal.scopes, record().scopes);
    assert_eq!(principal.credential_id, Some(record().id));
}

#[test]
fn a_key_expires_exactly_when_its_record_says() {
    let ends = Timestamp::from_unix_seconds(1_000);
    let record = KeyRecord { expires_at: Some(ends), ..record() };
    let judge = |now| policy().judge(record.digest, Some(&record), now).is_ok();
    assert!(judge(Timestamp::from_unix_seconds(999)));
    assert!(!judge(ends));
}

#[test]
fn unknown_revoked_and_expired_keys_are_answered_alike_to_the_byte() {
    let now = Timestamp::from_unix_seconds(1_000);
    let request_id = RequestId::generate(now);
    let revoked = KeyRecord { is_revoked: true, ..record() };
    let expired = KeyRecord { expires_at: Some(now), ..record() };
    let of_another_key = KeyRecord { digest: KeyDigest([7; 32]), ..record() };
    let cases = [
        (None, "the API key is unknown"),
        (Some(&of_another_key), "the API key is unknown"),
        (Some(&revoked), "the API key is revoked"),
        (Some(&expired), "the API key is expired"),
    ];
    let mut answers = Vec::new();
    for (found, reason) in cases {
        let refusal = policy().judge(record().digest, found, now).expect_err(reason);
        assert_eq!(refusal.to_string(), reason);
        let answer = crate::error::Refused::from(refusal).to_response(&request_id);
        answers.push(format!("{answer:?}"));
    }
    assert!(
        answers[0].contains(r#""www-authenticate": "Bearer realm=\"partner\"""#),
        "{answers:?}"
    );
    assert!(answers[0].contains("status: 401"), "{answers:?}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[test]
fn a_realm_cannot_break_out_of_its_quotes() {
    let pepper = || Pepper::build(&[1; 32]).expect("long enough");
    for realm in ["", "a\"b", "a\\b", "a\r\nb", "é"] {
        assert!(ApiKeyPolicy::build(prefix(), pepper(), realm).is_err(), "{realm:?}");
    }
}
