//! Signing and verifying against each other, and every way to be wrong.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::Mac as _;
use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::principal::{IdentityText, Principal, Scheme};

const NOW: u64 = 1_700_000_000;

fn key(byte: u8) -> AssertionKey {
    AssertionKey::build(&[byte; 32]).expect("long enough")
}

fn principal() -> Principal {
    let text = |text: &str| IdentityText::parse(text).expect("visible");
    Principal {
        scheme: Scheme::Jwt,
        user_id: text("4821"),
        role: Some(text("editor")),
        roles: Vec::new(),
        tenant: Some(text("tenant-7")),
        tier: text("pro"),
        scopes: Vec::new(),
        credential_id: None,
        expires_at: None,
    }
}

const REQUEST_ID: &str = "req_01HF7YAT000000000000000000";

fn claims(target: &str) -> Claims<'_> {
    Claims { audience: "link-service", method: "GET", target }
}

fn signed(target: &str, by: u8, principal: Option<&Principal>) -> String {
    let signer = Signer::new("mobile-bff", Duration::from_secs(20));
    let now = Timestamp::from_unix_seconds(NOW);
    let value = signer.sign(&key(by), &signer.common(REQUEST_ID, principal), &claims(target), now);
    value.to_str().expect("ASCII").to_owned()
}

fn verify(token: &str, target: &str, at: u64) -> Result<Verified, AssertionRefused> {
    let verifier = Verifier::new("link-service", vec![key(1), key(2)]);
    verifier.verify(Some(token), "GET", target, Timestamp::from_unix_seconds(at))
}

/// A token of any payload, properly signed.
fn forged(payload: &str) -> String {
    let signed = format!("{HEADER}.{}", BASE64_URL_SAFE_NO_PAD.encode(payload));
    let mut mac = key(1).0;
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn the_header_says_what_it_is_said_to_say() {
    let header = BASE64_URL_SAFE_NO_PAD.decode(HEADER).expect("base64url");
    assert_eq!(header, br#"{"alg":"HS256","typ":"gateway-assertion+jwt"}"#);
}

#[test]
fn what_was_signed_is_what_is_verified() {
    let verified =
        verify(&signed("/links/x7Kp2?a=1", 1, Some(&principal())), "/links/x7Kp2?a=1", NOW);
    let verified = verified.expect("valid");
    assert_eq!(verified.issuer, "mobile-bff");
    assert_eq!(verified.request_id, "req_01HF7YAT000000000000000000");
    assert_eq!(verified.user_id.as_deref(), Some("4821"));
    assert_eq!(verified.role.as_deref(), Some("editor"));
    assert_eq!(verified.tenant.as_deref(), Some("tenant-7"));
    assert_eq!(verified.tier.as_deref(), Some("pro"));
    let anonymous = verify(&signed("/", 1, None), "/", NOW).expect("valid");
    assert_eq!((anonymous.user_id, anonymous.tier), (None, None));
}

#[test]
fn during_a_rotation_both_keys_verify_and_no_third() {
    assert!(verify(&signed("/", 2, None), "/", NOW).is_ok());
    assert_eq!(verify(&signed("/", 3, None), "/", NOW), Err(AssertionRefused::Signature));
}

#[test]
fn it_holds_for_its_request_its_service_and_its_time_alone() {
    let token = signed("/links/x7Kp2", 1, Some(&principal()));
    assert_eq!(verify(&token, "/links/x7Kp2?", NOW), Err(AssertionRefused::Request));
    assert_eq!(verify(&token, "/links", NOW), Err(AssertionRefused::Request));
    assert!(verify(&token, "/links/x7Kp2", NOW + 19).is_ok());
    assert_eq!(verify(&token, "/links/x7Kp2", NOW + 20), Err(AssertionRefused::Time));
    assert!(verify(&token, "/links/x7Kp2", NOW - 5).is_ok(), "the gateway's clock is ahead");
    assert_eq!(verify(&token, "/links/x7Kp2", NOW - 6), Err(AssertionRefused::Time));
    let now = Timestamp::from_unix_seconds(NOW);
    let post = Verifier::new("link-service", vec![key(1)]);
    let post = post.verify(Some(&token), "POST", "/links/x7Kp2", now);
    assert_eq!(post, Err(AssertionRefused::Request));
    let other = Verifier::new("user-service", vec![key(1)]);
    let other = other.verify(Some(&token), "GET", "/links/x7Kp2", now);
    assert_eq!(other, Err(AssertionRefused::Audience));
    let none = Verifier::new("link-service", vec![key(1)]).verify(None, "GET", "/", now);
    assert_eq!(none, Err(AssertionRefused::Missing));
}

#[test]
fn every_other_form_is_refused() {
    let good = signed("/", 1, None);
    let (head, signature) = good.rsplit_once('.').expect("three segments");
    let (_, payload) = head.split_once('.').expect("three segments");
    let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    for bad in [
        String::new(),
        "a.b.c".to_owned(),
        head.to_owned(),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{good}="),
        format!("{good}."),
        format!(" {good}"),
        format!("{good}.{signature}"),
        "x".repeat(SIZE_MAX_TESTED),
    ] {
        let refused = verify(&bad, "/", NOW);
        let expected = [AssertionRefused::Malformed, AssertionRefused::Signature];
        assert!(refused.is_err_and(|error| expected.contains(&error)), "{bad}");
    }
}

const SIZE_MAX_TESTED: usize = 20_000;

#[test]
fn signed_claims_of_another_shape_are_refused_too() {
    let base = r#""iss":"g","aud":"link-service","htm":"GET","htu":"/","jti":"r""#;
    let good = format!("{{{base},\"iat\":{NOW},\"exp\":{}}}", NOW + 30);
    assert!(verify(&forged(&good), "/", NOW).is_ok());
    for (payload, expected) in [
        (format!("{{{base},\"iat\":{NOW},\"exp\":{}}}", NOW + 31), AssertionRefused::Time),
        (format!("{{{base},\"iat\":{NOW},\"exp\":{}}}", NOW - 1), AssertionRefused::Time),
        (format!("{{{base},\"iat\":{NOW}}}"), AssertionRefused::Malformed),
        (format!("{{{base},{base},\"iat\":{NOW},\"exp\":{NOW}}}"), AssertionRefused::Malformed),
        (
            format!("{{{base},\"iat\":{NOW},\"exp\":{NOW},\"admin\":true}}"),
            AssertionRefused::Malformed,
        ),
        (format!("{{{base},\"iat\":\"{NOW}\",\"exp\":{NOW}}}"), AssertionRefused::Malformed),
        ("null".to_owned(), AssertionRefused::Malformed),
    ] {
        assert_eq!(verify(&forged(&payload), "/", NOW), Err(expected), "{payload}");
    }
}

#[test]
fn a_short_key_is_refused_and_none_is_ever_printed() {
    assert_eq!(AssertionKey::build(&[7; 31]).err(), Some(WeakKey { length: 31 }));
    assert_eq!(format!("{:?}", key(b'k')), "AssertionKey(…)");
}

proptest! {
    #[test]
    fn no_target_can_write_a_claim_of_its_own(target in "\\PC{0,40}|.*\",\"sub\":\"1") {
        let verified = verify(&signed(&target, 1, None), &target, NOW).expect("valid");
        prop_assert_eq!(verified.user_id, None);
    }

    #[test]
    fn no_changed_letter_is_accepted(place in 0_usize..300, letter in "[A-Za-z0-9_.-]") {
        let good = signed("/links", 1, Some(&principal()));
        let place = place % good.len();
        let mut changed = good.clone();
        changed.replace_range(place..=place, &letter);
        prop_assume!(changed != good);
        prop_assert!(verify(&changed, "/links", NOW).is_err());
    }
}
