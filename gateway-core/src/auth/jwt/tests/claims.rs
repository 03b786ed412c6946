//! What an issuer may say in a token.

use super::*;

#[test]
fn the_issuer_is_a_text_compared_byte_for_byte() {
    for value in [
        json!(7),
        json!(["https://users.example.com"]),
        json!(null),
        json!("https://users.example.com/"),
        json!("HTTPS://users.example.com"),
        json!("https://other.example.com"),
        json!(""),
    ] {
        let token = FIXTURE.token_with_claim("iss", &value);
        FIXTURE.check_invalid(&value.to_string(), &token, "issuer is not known");
    }
    FIXTURE.check_invalid("none", &FIXTURE.token_without_claim("iss"), "issuer is not known");
}

#[test]
fn a_token_for_another_audience_is_not_for_us() {
    for value in [
        json!(null),
        json!(7),
        json!({"aud": "mobile"}),
        json!("https://other.example.com"),
        json!("https://api.example.com/"),
        json!("mobile web"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!(["mobile", 7]),
        json!([["mobile"]]),
    ] {
        let token = FIXTURE.token_with_claim("aud", &value);
        FIXTURE.check_invalid(&value.to_string(), &token, "another audience");
    }
    FIXTURE.check_invalid("none", &FIXTURE.token_without_claim("aud"), "another audience");
}

#[test]
fn a_token_ends_at_a_point_in_time_that_is_written_as_one() {
    for (value, reason) in [
        (json!("1800000840"), "exp is no point in time"),
        (json!(null), "exp is no point in time"),
        (json!(true), "exp is no point in time"),
        (json!(-1), "exp is no point in time"),
        (json!(1e300), "exp is no point in time"),
        (json!(u64::MAX), "exp is no point in time"),
        (json!(253_402_300_800_u64), "exp is no point in time"),
        (json!(253_402_300_799_u64), "lives longer than allowed"),
        (json!(NOW - 60 + 3_601), "lives longer than allowed"),
    ] {
        let token = FIXTURE.token_with_claim("exp", &value);
        FIXTURE.check_invalid(&value.to_string(), &token, reason);
    }
    FIXTURE.check_invalid("none", &FIXTURE.token_without_claim("exp"), "exp is no point in time");
    FIXTURE.check_invalid("no iat", &FIXTURE.token_without_claim("iat"), "iat is no point in time");
    let longest = FIXTURE.token_with_claim("exp", &json!(NOW - 60 + 3_600));
    assert!(FIXTURE.verify(&longest).is_ok());
}

#[test]
fn an_expired_token_says_that_it_has_expired() {
    for (what, expires) in [("long ago", 0), ("a second ago", NOW - 1), ("now", NOW)] {
        let mut claims = good_claims();
        claims["exp"] = expires.into();
        let refusal = FIXTURE.verify(&FIXTURE.token_of(&claims)).expect_err(what);
        assert_eq!(answer(&refusal), "401 token_expired", "{what}");
        assert_eq!(challenge(&refusal), r#"Bearer realm="mobile", error="invalid_token""#);
    }
    let last_second = FIXTURE.token_with_claim("exp", &json!(NOW + 1));
    assert!(FIXTURE.verify(&last_second).is_ok());
}

#[test]
fn a_token_of_the_future_is_not_valid_yet() {
    for (claim, value, reason) in [
        ("iat", json!(NOW + 31), "iat lies in the future"),
        ("nbf", json!(NOW + 31), "nbf lies in the future"),
        ("nbf", json!(NOW + 600), "nbf lies in the future"),
        ("nbf", json!("now"), "nbf is no point in time"),
        ("nbf", json!(null), "nbf is no point in time"),
        ("iat", json!("now"), "iat is no point in time"),
    ] {
        FIXTURE.check_invalid(claim, &FIXTURE.token_with_claim(claim, &value), reason);
    }
    let begun = FIXTURE.token_with_claim("nbf", &json!(NOW + 30));
    assert!(FIXTURE.verify(&begun).is_ok(), "within the skew");
}

#[test]
fn a_token_that_names_nobody_or_could_forge_a_header_field_is_refused() {
    for user_id in [
        json!(""),
        json!("x".repeat(256)),
        json!("4821\r\nX-User-Role: admin"),
        json!("zo\u{eb}"),
        json!("4 821"),
        json!(48.5),
        json!(null),
        json!({"id": 4821}),
    ] {
        let token = FIXTURE.token_with_claim("user_id", &user_id);
        FIXTURE.check_invalid(&user_id.to_string(), &token, "mapped to identity.user_id");
    }
    let nobody = FIXTURE.token_without_claim("user_id");
    FIXTURE.check_invalid("none", &nobody, "identity.user_id, is missing");
    let forging = FIXTURE.token_with_claim("role", &"editor\r\nX-User-ID: 1".into());
    FIXTURE.check_invalid("a role", &forging, "mapped to identity.role");
}

#[test]
fn a_subject_that_is_a_number_is_a_user_only_by_mapping() {
    let mut by_subject = issuer("users", &FIXTURE.keys);
    by_subject.claims.user_id = pointer("/sub");
    let scheme = JwtScheme::new(realm(), vec![by_subject], 100);
    let verify = |token: &str| scheme.verify(token, at(NOW)).map(|who| who.user_id.to_string());
    assert_eq!(verify(&FIXTURE.token()).expect("text"), "4821");
    for subject in [json!(4821), json!(""), json!("x".repeat(256)), json!("a\nb")] {
        let token = FIXTURE.token_with_claim("sub", &subject);
        assert_eq!(answer(&verify(&token).expect_err("refused")), "401 token_invalid", "{subject}");
    }
    assert!(verify(&FIXTURE.token_without_claim("sub")).is_err());
}

#[test]
fn a_genuine_token_with_a_claim_of_the_wrong_type_is_forbidden_and_never_stringified() {
    for (claim, value) in [
        ("role", json!({"name": "admin"})),
        ("role", json!(7)),
        ("roles", json!("admin")),
        ("tenant_id", json!(["t"])),
        ("tier", json!(1.5)),
        ("scope", json!(["links:write"])),
    ] {
        let refusal = FIXTURE.verify(&FIXTURE.token_with_claim(claim, &value)).expect_err(claim);
        assert_eq!(answer(&refusal), "403 claim_unusable", "{claim} {value}");
        assert_eq!(challenge(&refusal), "", "{claim}: another token would not help");
    }
    let several = FIXTURE.verify(&FIXTURE.token_with_claim("role", &json!(["a", "b"])));
    let several = several.expect("roles");
    assert_eq!((several.role.as_ref(), several.roles.len()), (None, 2));
}

#[test]
fn a_token_bound_to_a_key_is_no_bearer_token() {
    let bound = FIXTURE.token_with_claim("cnf", &json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2H"}));
    let refusal = FIXTURE.verify(&bound).expect_err("bound");
    assert_eq!(answer(&refusal), "401 token_invalid");
    assert_eq!(challenge(&refusal), r#"DPoP realm="mobile", error="invalid_token""#);
}

#[test]
fn a_missing_scope_is_named_in_the_challenge() {
    let scopes = |names: &[&str]| -> Vec<IdentityText> {
        names.iter().map(|name| IdentityText::parse(name).expect(name)).collect()
    };
    let who = FIXTURE.verify(&FIXTURE.token()).expect("good");
    let require = |names: &[&str]| FIXTURE.scheme.require_scopes(&who, &scopes(names));
    assert!(require(&[]).is_ok());
    assert!(require(&["links:read"]).is_ok());
    let refusal = require(&["links:write"]).expect_err("missing");
    assert_eq!(answer(&refusal), "403 insufficient_scope");
    assert_eq!(
        challenge(&refusal),
        r#"Bearer realm="mobile", error="insufficient_scope", scope="links:write""#
    );
    let refusal = require(&["links:read", "a\"b"]).expect_err("missing");
    assert!(challenge(&refusal).ends_with(r#", scope="links:read a\"b""#));
}
