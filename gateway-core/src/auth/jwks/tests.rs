//! Key sets in, usable keys and reasons out.

use serde_json::{Value, json};

use super::*;
use crate::auth::test_issuer::{TestKey, base64url, key_set};

fn parse(keys: &[Value]) -> Result<KeySet, KeySetFault> {
    KeySet::parse(&key_set(keys))
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

fn without(mut jwk: Value, name: &str) -> Value {
    jwk.as_object_mut().expect("an object").remove(name);
    jwk
}

/// The set has one good key beside `jwk`: that one stays usable, `jwk` is ignored for `reason`.
#[track_caller]
fn check_ignored(what: &str, jwk: Value, reason: IgnoredReason) {
    let good = TestKey::ed25519().jwk("good");
    let set = parse(&[jwk, good]).expect(what);
    assert_eq!(set.ignored(), [IgnoredKey { index: 0, reason }], "{what}");
    assert_eq!(set.usable_count(), 1, "{what}");
    assert!(matches!(set.choose(Some("good"), Algorithm::EdDsa), KeyChoice::Found(_)), "{what}");
}

#[test]
fn every_asymmetric_type_of_key_serves_its_own_algorithm_and_no_other() {
    const ALL: [Algorithm; 9] = [
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ];
    for key in [
        TestKey::es256(),
        TestKey::es384(),
        TestKey::ed25519(),
        TestKey::rsa("RS256"),
        TestKey::rsa("PS256"),
    ] {
        let set = parse(&[key.jwk("k")]).expect(key.algorithm);
        let own = Algorithm::parse(key.algorithm).expect(key.algorithm);
        for algorithm in ALL {
            let is_found = matches!(set.choose(Some("k"), algorithm), KeyChoice::Found(_));
            assert_eq!(is_found, algorithm == own, "{} for {algorithm:?}", key.algorithm);
        }
    }
}

#[test]
fn an_rsa_key_that_names_no_algorithm_serves_the_whole_family() {
    let set = parse(&[without(TestKey::rsa("RS256").jwk("k"), "alg")]).expect("usable");
    for algorithm in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Rs512] {
        assert!(matches!(set.choose(Some("k"), algorithm), KeyChoice::Found(_)), "{algorithm:?}");
    }
    assert!(matches!(set.choose(Some("k"), Algorithm::Es256), KeyChoice::Unclear));
}

#[test]
fn both_names_of_ed25519_are_the_same_algorithm_and_names_have_a_case() {
    assert_eq!(Algorithm::parse("Ed25519"), Algorithm::parse("EdDSA"));
    for name in ["none", "None", "", "HS256", "es256", "ES512", "ES256K", "Ed448", "RSA-OAEP"] {
        assert_eq!(Algorithm::parse(name), None, "{name}");
    }
}

#[test]
fn a_key_for_something_else_than_verifying_is_ignored() {
    let jwk = || TestKey::es256().jwk("k");
    let reason = IgnoredReason::NotForSignatures;
    check_ignored("for encryption", with(jwk(), "use", "enc".into()), reason);
    check_ignored("for signing only", with(jwk(), "key_ops", json!(["sign"])), reason);
    check_ignored("for nothing", with(jwk(), "key_ops", json!([])), reason);
    let verifying = with(with(jwk(), "use", "sig".into()), "key_ops", json!(["verify"]));
    assert!(parse(&[verifying]).is_ok());
}

#[test]
fn a_symmetric_key_in_a_public_set_is_ignored() {
    let jwk = json!({"kty": "oct", "kid": "k", "alg": "HS256", "k": base64url([7; 32])});
    check_ignored("symmetric", jwk, IgnoredReason::Unsupported);
}

#[test]
fn an_unknown_type_curve_or_algorithm_costs_only_its_own_key() {
    let jwk = || TestKey::es256().jwk("k");
    check_ignored("unknown type", with(jwk(), "kty", "AKP".into()), IgnoredReason::Unsupported);
    check_ignored("unknown curve", with(jwk(), "crv", "P-521".into()), IgnoredReason::Unsupported);
    check_ignored("no curve", without(jwk(), "crv"), IgnoredReason::Unsupported);
    for algorithm in ["ES512", "ES384", "RS256", "none", "HS256", "RSA-OAEP"] {
        let jwk = with(jwk(), "alg", algorithm.into());
        check_ignored(algorithm, jwk, IgnoredReason::AlgorithmDoesNotFit);
    }
}

#[test]
fn a_malformed_key_costs_only_itself() {
    let jwk = || TestKey::es256().jwk("k");
    let short = base64url([1; 31]);
    for (what, jwk) in [
        ("no object", json!("key")),
        ("no type", without(jwk(), "kty")),
        ("a number as id", with(jwk(), "kid", json!(1))),
        ("a long id", with(jwk(), "kid", "k".repeat(257).into())),
        ("no coordinate", without(jwk(), "y")),
        ("a short coordinate", with(jwk(), "x", short.into())),
        ("padding", with(jwk(), "x", format!("{}=", jwk()["x"].as_str().expect("text")).into())),
    ] {
        check_ignored(what, jwk, IgnoredReason::Malformed);
    }
}

#[test]
fn a_member_that_stands_twice_makes_a_key_malformed() {
    let jwk = TestKey::es256().jwk("k").to_string().replacen('{', "{\"kid\":\"other\",", 1);
    let good = TestKey::ed25519().jwk("good");
    let set = KeySet::parse(format!("{{\"keys\":[{jwk},{good}]}}").as_bytes()).expect("usable");
    assert_eq!(set.ignored(), [IgnoredKey { index: 0, reason: IgnoredReason::Malformed }]);
}

#[test]
fn a_published_private_half_makes_a_key_unusable() {
    let jwk = with(TestKey::es256().jwk("k"), "d", base64url([1; 32]).into());
    check_ignored("private", jwk, IgnoredReason::Private);
}

#[test]
fn a_weak_or_monstrous_rsa_key_is_ignored() {
    let jwk = || TestKey::rsa("RS256").jwk("k");
    let modulus = |bits: usize| {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] >>= (8 - bits % 8) % 8;
        Value::from(base64url(bytes))
    };
    let reason = IgnoredReason::UnsafeRsa;
    check_ignored("1024 bits", with(jwk(), "n", modulus(1_024)), reason);
    check_ignored("2047 bits", with(jwk(), "n", modulus(2_047)), reason);
    check_ignored("8193 bits", with(jwk(), "n", modulus(8_193)), reason);
    let mut padded = vec![0; 128];
    padded.extend([0xff; 128]);
    check_ignored("1024 bits behind zeros", with(jwk(), "n", base64url(padded).into()), reason);
    for exponent in [&[][..], &[0], &[1], &[0, 1], &[2], &[1, 0], &[0xff; 5]] {
        let jwk = with(jwk(), "e", base64url(exponent).into());
        check_ignored(&format!("exponent {exponent:?}"), jwk, reason);
    }
    assert!(parse(&[with(jwk(), "n", modulus(2_048))]).is_ok());
}

#[test]
fn an_id_of_two_keys_is_the_id_of_none() {
    let twins = [TestKey::es256().jwk("twin"), TestKey::es256().jwk("twin")];
    let set = parse(&[&twins[..], &[TestKey::ed25519().jwk("good")]].concat()).expect("usable");
    assert!(matches!(set.choose(Some("twin"), Algorithm::Es256), KeyChoice::Unclear));
    assert!(matches!(set.choose(Some("good"), Algorithm::EdDsa), KeyChoice::Found(_)));
    let triplets = [&twins[..], &[TestKey::es256().jwk("twin")]].concat();
    let set = parse(&triplets).expect("usable");
    assert!(matches!(set.choose(Some("twin"), Algorithm::Es256), KeyChoice::Unclear));
}

#[test]
fn without_an_id_the_only_key_of_the_algorithm_is_meant() {
    let nameless = without(TestKey::es256().jwk("-"), "kid");
    let set = parse(&[nameless.clone(), TestKey::ed25519().jwk("b")]).expect("usable");
    assert!(matches!(set.choose(None, Algorithm::Es256), KeyChoice::Found(_)));
    assert!(matches!(set.choose(None, Algorithm::EdDsa), KeyChoice::Found(_)));
    assert!(matches!(set.choose(None, Algorithm::Rs256), KeyChoice::Unclear));
    let set = parse(&[nameless, TestKey::es256().jwk("b")]).expect("usable");
    assert!(matches!(set.choose(None, Algorithm::Es256), KeyChoice::Unclear));
}

#[test]
fn what_holds_no_usable_key_is_no_key_set() {
    let only_symmetric = key_set(&[json!({"kty": "oct", "k": "AAAA"})]);
    for bytes in [
        &b""[..],
        b"<html><body>Sign in</body></html>",
        b"{}",
        b"[]",
        b"{\"keys\":{}}",
        b"{\"keys\":[]}",
        b"{\"keys\":[],\"keys\":[]}",
        &only_symmetric,
    ] {
        assert!(KeySet::parse(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_generation_changes_with_the_document_and_never_comes_back() {
    let cell = KeyCell::new();
    assert_eq!((cell.is_loaded(), cell.generation()), (false, None));
    let (old, new) = ([TestKey::es256().jwk("a")], [TestKey::es256().jwk("b")]);
    assert!(cell.publish(parse(&old).expect("usable")));
    let first = cell.generation();
    assert!(first.is_some() && cell.is_loaded());
    assert!(!cell.publish(parse(&old).expect("usable")), "the same document");
    assert_eq!(cell.generation(), first);
    assert!(cell.publish(parse(&new).expect("usable")));
    let second = cell.generation();
    assert_ne!(second, first);
    cell.clear();
    assert_eq!((cell.is_loaded(), cell.generation()), (false, None));
    assert!(cell.publish(parse(&old).expect("usable")));
    assert!(cell.generation() != first && cell.generation() != second);
}
