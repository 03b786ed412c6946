//! Keys that come and go, and the tokens remembered meanwhile.

use super::*;

#[test]
fn a_token_that_is_seen_again_costs_no_signature() {
    let it = Fixture::new();
    let token = it.token();
    let first = it.verify(&token).expect("good");
    assert!(Arc::ptr_eq(&first, &it.verify(&token).expect("good")));
    let forgetful = JwtScheme::new(realm(), vec![issuer("users", &it.keys)], 0);
    let first = forgetful.verify(&token, at(NOW)).expect("good");
    assert!(!Arc::ptr_eq(&first, &forgetful.verify(&token, at(NOW)).expect("good")));
}

#[test]
fn a_remembered_token_still_ends_when_it_expires() {
    let it = Fixture::new();
    let token = it.token();
    assert!(it.verify(&token).is_ok());
    assert!(it.scheme.verify(&token, at(NOW + 839)).is_ok());
    let refusal = it.scheme.verify(&token, at(NOW + 840)).expect_err("expired");
    assert_eq!(answer(&refusal), "401 token_expired");
}

#[test]
fn a_remembered_token_ends_with_its_key() {
    let it = Fixture::new();
    let token = it.token();
    assert!(it.verify(&token).is_ok());
    let next = TestKey::es256();
    let both = KeySet::parse(&key_set(&[it.key.jwk("k1"), next.jwk("k2")]));
    it.keys.publish(both.expect("usable"));
    assert!(it.verify(&token).is_ok(), "its key is still published");
    it.keys.publish(KeySet::parse(&key_set(&[next.jwk("k2")])).expect("usable"));
    it.check_invalid("its key is gone", &token, "have no \"k1\"");
    it.keys.publish(KeySet::parse(&key_set(&[TestKey::es256().jwk("k1")])).expect("usable"));
    it.check_invalid("its id is another key's", &token, "signature is wrong");
}

#[test]
fn tokens_are_remembered_by_all_of_their_bytes() {
    let it = Fixture::new();
    let token = it.token();
    assert!(it.verify(&token).is_ok());
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    let unsigned = format!("{signed}.{}", base64url([1; 64]));
    it.check_invalid("the same claims unsigned", &unsigned, "signature is wrong");
    assert_eq!(it.scheme.verified_tokens(), 1, "what is refused is not remembered");
}

#[test]
fn no_flood_of_tokens_makes_the_memory_of_them_grow() {
    let it = Fixture::new();
    let scheme = JwtScheme::new(realm(), vec![issuer("users", &it.keys)], 10);
    for number in 0..100 {
        assert!(scheme.verify(&it.token_with_claim("jti", &json!(number)), at(NOW)).is_ok());
    }
    assert!(scheme.verified_tokens() <= 10, "{}", scheme.verified_tokens());
}

#[test]
fn keys_that_were_never_loaded_are_our_fault_and_not_the_tokens() {
    let cold = Arc::new(KeyCell::new());
    let scheme = JwtScheme::new(realm(), vec![issuer("users", &cold)], 100);
    let refusal = scheme.verify(&FIXTURE.token(), at(NOW)).expect_err("cold");
    assert_eq!(answer(&refusal), "503 keys_not_loaded");
    assert_eq!(refusal.wants_keys(), Some(WantedKeys { issuer: "users", newer_than: None }));
    let mut headers = HeaderMap::new();
    refusal.add_headers(&mut headers);
    assert_eq!(headers[header::RETRY_AFTER], "5");
    assert_eq!(headers.get(header::WWW_AUTHENTICATE), None);
}

#[test]
fn an_unknown_key_asks_for_the_keys_of_its_own_issuer() {
    let token = FIXTURE.token_with_header("kid", &"k2".into());
    let refusal = FIXTURE.verify(&token).expect_err("unknown");
    assert_eq!(
        refusal.wants_keys(),
        Some(WantedKeys { issuer: "users", newer_than: FIXTURE.keys.generation() })
    );
    FIXTURE.check_invalid("without new keys", &token, "the keys of users have no \"k2\"");
}
