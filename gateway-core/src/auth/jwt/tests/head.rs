//! What a token may say about itself, and the signature that must bear it out.

use super::*;

#[test]
fn an_unsigned_token_is_refused_however_none_is_written() {
    for algorithm in [json!("none"), json!("None"), json!("nOnE"), json!(""), json!(null), json!(0)]
    {
        let header = json!({"typ": "at+jwt", "alg": algorithm, "kid": "k1"});
        let signed = FIXTURE.key.sign(&header, &good_claims());
        FIXTURE.check_invalid("signed", &signed, "algorithm is not accepted");
        let (unsigned, _) = signed.rsplit_once('.').expect("three parts");
        FIXTURE.check_invalid("unsigned", &format!("{unsigned}."), "algorithm is not accepted");
    }
    let header = json!({"typ": "at+jwt", "kid": "k1"});
    let token = FIXTURE.key.sign(&header, &good_claims());
    FIXTURE.check_invalid("no algorithm", &token, "algorithm is not accepted");
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret() {
    let rsa = TestKey::rsa("RS256");
    let keys = cell_of(&[rsa.jwk("k1")]);
    let scheme = JwtScheme::new(realm(), vec![issuer("users", &keys)], 100);
    let jwk = rsa.jwk("k1");
    let modulus = jwk["n"].as_str().expect("text").to_owned();
    let decoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&modulus);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{modulus}\n-----END PUBLIC KEY-----\n");
    for secret in
        [modulus.into_bytes(), decoded.expect("base64url"), pem.into_bytes(), b"k1".to_vec()]
    {
        let header = base64url(json!({"typ": "at+jwt", "alg": "HS256", "kid": "k1"}).to_string());
        let message = format!("{header}.{}", base64url(good_claims().to_string()));
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).expect("any length");
        mac.update(message.as_bytes());
        let token = format!("{message}.{}", base64url(mac.finalize().into_bytes()));
        let refusal = scheme.verify(&token, at(NOW)).expect_err("a forgery");
        assert_eq!(answer(&refusal), "401 token_invalid");
    }
}

#[test]
fn a_symmetric_algorithm_never_makes_anybody_fetch_keys() {
    let cold = Arc::new(KeyCell::new());
    let scheme = JwtScheme::new(realm(), vec![issuer("users", &cold)], 100);
    for algorithm in ["HS256", "HS384", "HS512"] {
        let header = json!({"typ": "at+jwt", "alg": algorithm, "kid": "unknown"});
        let refusal = scheme.verify(&FIXTURE.key.sign(&header, &good_claims()), at(NOW));
        let refusal = refusal.expect_err("symmetric");
        assert_eq!(answer(&refusal), "401 token_invalid");
        assert_eq!(refusal.wants_keys(), None);
    }
}

#[test]
fn a_key_serves_only_its_own_algorithm() {
    let rsa = TestKey::rsa("RS256");
    let keys = cell_of(&[rsa.jwk("rsa"), FIXTURE.key.jwk("p256")]);
    let scheme = JwtScheme::new(realm(), vec![issuer("users", &keys)], 100);
    let pss = TestKey::rsa("PS256");
    let es384 = TestKey::es384();
    for (what, token) in [
        ("PS256 under a key for RS256", pss.sign(&pss.header("rsa"), &good_claims())),
        ("ES384 under a key on P-256", es384.sign(&es384.header("p256"), &good_claims())),
        ("RS256 under an elliptic key", rsa.sign(&rsa.header("p256"), &good_claims())),
    ] {
        let refusal = scheme.verify(&token, at(NOW)).expect_err(what);
        assert_eq!(answer(&refusal), "401 token_invalid", "{what}");
        assert_eq!(refusal.wants_keys(), None, "{what}");
    }
    let narrow = Issuer { algorithms: vec![Algorithm::Rs256], ..issuer("users", &keys) };
    let scheme = JwtScheme::new(realm(), vec![narrow], 100);
    let token = FIXTURE.key.sign(&FIXTURE.key.header("p256"), &good_claims());
    assert!(scheme.verify(&token, at(NOW)).is_err(), "not an algorithm of this issuer");
}

#[test]
fn keys_and_addresses_of_keys_in_a_header_are_never_looked_at() {
    let attacker = TestKey::es256();
    for (name, value) in [
        ("jwk", attacker.jwk("k1")),
        ("jku", json!("http://127.0.0.1:9/keys")),
        ("x5u", json!("http://127.0.0.1:9/cert")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = attacker.header("k1");
        header[name] = value.clone();
        let forged = attacker.sign(&header, &good_claims());
        FIXTURE.check_invalid(name, &forged, "signature is wrong");
        header["kid"] = "unknown".into();
        let forged = attacker.sign(&header, &good_claims());
        FIXTURE.check_invalid(name, &forged, "have no \"unknown\"");
    }
}

#[test]
fn a_key_id_is_a_short_text_that_is_looked_up_and_nothing_else() {
    for (what, key_id, reason) in [
        ("a path", json!("../../dev/null"), "have no \"../../dev/null\""),
        ("a query", json!("' OR 1=1--"), "have no \"' OR 1=1--\""),
        ("a null byte", json!("k1\0"), "have no \"k1\\0\""),
        ("a line break", json!("k1\r\nforged"), "have no \"k1\\r\\nforged\""),
        ("the longest", json!("k".repeat(256)), "have no \"kkk"),
        ("one byte more", json!("k".repeat(257)), "key id is malformed"),
        ("no end of bytes", json!("k".repeat(5_000)), "key id is malformed"),
        ("a number", json!(1), "key id is malformed"),
        ("an array", json!(["k1"]), "key id is malformed"),
        ("null", json!(null), "key id is malformed"),
    ] {
        FIXTURE.check_invalid(what, &FIXTURE.token_with_header("kid", &key_id), reason);
    }
}

#[test]
fn a_token_without_a_key_id_needs_a_set_with_one_key_of_its_algorithm() {
    let other = TestKey::es256();
    let keys = cell_of(&[FIXTURE.key.jwk("a"), other.jwk("b"), TestKey::ed25519().jwk("c")]);
    let scheme = JwtScheme::new(realm(), vec![issuer("users", &keys)], 100);
    let token = FIXTURE.key.sign(&json!({"typ": "at+jwt", "alg": "ES256"}), &good_claims());
    assert_eq!(answer(&scheme.verify(&token, at(NOW)).expect_err("two")), "401 token_invalid");
    keys.publish(KeySet::parse(&key_set(&[FIXTURE.key.jwk("a")])).expect("usable"));
    assert!(scheme.verify(&token, at(NOW)).is_ok());
}

#[test]
fn a_key_id_of_two_keys_verifies_nothing() {
    let keys = cell_of(&[FIXTURE.key.jwk("k1"), TestKey::es256().jwk("k1")]);
    let scheme = JwtScheme::new(realm(), vec![issuer("users", &keys)], 100);
    let refusal = scheme.verify(&FIXTURE.token(), at(NOW)).expect_err("two keys");
    assert_eq!(answer(&refusal), "401 token_invalid");
    assert_eq!(refusal.wants_keys(), None, "fetching again would not help");
}

#[test]
fn a_header_parameter_that_changes_the_meaning_of_a_token_is_refused() {
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("cty", json!("JWT")),
        ("enc", json!("A256GCM")),
    ] {
        let token = FIXTURE.token_with_header(name, &value);
        FIXTURE.check_invalid(name, &token, &format!("header has \"{name}\""));
    }
}

#[test]
fn only_an_access_token_gives_access() {
    for shown in ["JWT", "id_token", "logout+jwt", "dpop+jwt", "at+jwt+x", "text/at+jwt", ""] {
        let token = FIXTURE.token_with_header("typ", &shown.into());
        FIXTURE.check_invalid(shown, &token, "type is not accepted");
    }
    let token = FIXTURE.token_with_header("typ", &json!(["at+jwt"]));
    FIXTURE.check_invalid("an array", &token, "type is not accepted");
    let token = FIXTURE.key.sign(&json!({"alg": "ES256", "kid": "k1"}), &good_claims());
    FIXTURE.check_invalid("no type", &token, "type is not accepted");
}

#[test]
fn an_issuer_older_than_access_token_types_is_let_in_by_configuration() {
    let older =
        Issuer { token_types: vec!["JWT".into(), "".into()], ..issuer("users", &FIXTURE.keys) };
    let scheme = JwtScheme::new(realm(), vec![older], 100);
    for (shown, is_good) in [("JWT", true), ("jwt", true), ("at+jwt", true), ("logout+jwt", false)]
    {
        let token = FIXTURE.token_with_header("typ", &shown.into());
        assert_eq!(scheme.verify(&token, at(NOW)).is_ok(), is_good, "{shown}");
    }
    let token = FIXTURE.key.sign(&json!({"alg": "ES256", "kid": "k1"}), &good_claims());
    assert!(scheme.verify(&token, at(NOW)).is_err(), "no type at all");
}

#[test]
fn a_signature_is_the_fixed_form_over_exactly_this_token() {
    let token = FIXTURE.token();
    let (signed, _) = token.rsplit_once('.').expect("three parts");
    let good = FIXTURE.key.signature(signed);
    let der = [&[0x30, 0x44, 0x02, 0x20], &good[..32], &[0x02, 0x20], &good[32..]].concat();
    let (header, _) = signed.split_once('.').expect("two parts");
    let other_claims = base64url(json!({"user_id": 1}).to_string());
    for (what, signature) in [
        ("r = s = 0", vec![0; 64]),
        ("DER", der),
        ("cut", good[..63].to_vec()),
        ("half", good[..32].to_vec()),
        ("longer", [&good[..], &[0]].concat()),
        ("empty", Vec::new()),
        ("of other claims", FIXTURE.key.signature(&format!("{header}.{other_claims}"))),
        ("of another key", TestKey::es256().signature(signed)),
    ] {
        let token = format!("{signed}.{}", base64url(signature));
        FIXTURE.check_invalid(what, &token, "signature is wrong");
    }
}

#[test]
fn a_token_is_verified_with_the_keys_of_the_issuer_it_names() {
    let (key_a, key_b) = (TestKey::es256(), TestKey::es256());
    let (cell_a, cell_b) = (cell_of(&[key_a.jwk("shared")]), cell_of(&[key_b.jwk("shared")]));
    let issuers = vec![issuer("users", &cell_a), issuer("partners", &cell_b)];
    let scheme = JwtScheme::new(realm(), issuers, 100);
    let mut claims = good_claims();
    for (what, name, key, is_good) in [
        ("A's own", "users", &key_a, true),
        ("B's own", "partners", &key_b, true),
        ("B's words with A's key", "partners", &key_a, false),
        ("A's words with B's key", "users", &key_b, false),
    ] {
        claims["iss"] = format!("https://{name}.example.com").into();
        let token = key.sign(&key.header("shared"), &claims);
        assert_eq!(scheme.verify(&token, at(NOW)).is_ok(), is_good, "{what}");
    }
}
