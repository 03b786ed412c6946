//! Claims in, parts of an identity or a fault out.

use serde_json::json;

use super::*;

fn pointer(text: &str) -> ClaimPointer {
    ClaimPointer::parse(text).expect(text)
}

fn mapping() -> ClaimMapping {
    ClaimMapping {
        user_id: pointer("/user_id"),
        role: pointer("/role"),
        roles: pointer("/realm_access/roles"),
        tenant: pointer("/tenant_id"),
        tier: pointer("/tier"),
        default_tier: IdentityText::parse("free").expect("visible"),
    }
}

/// `user_id|role|roles|tenant|tier|scopes`, or the fault.
fn read(mapping: &ClaimMapping, claims: &Value) -> String {
    let all = |texts: &[IdentityText]| {
        texts.iter().map(IdentityText::as_str).collect::<Vec<_>>().join(",")
    };
    let one =
        |text: &Option<IdentityText>| text.as_ref().map_or_else(String::new, ToString::to_string);
    match mapping.principal(claims, Scheme::Jwt) {
        Ok(who) => format!(
            "{}|{}|{}|{}|{}|{}",
            who.user_id,
            one(&who.role),
            all(&who.roles),
            one(&who.tenant),
            who.tier,
            all(&who.scopes)
        ),
        Err(fault) => fault.to_string(),
    }
}

#[track_caller]
fn check(claims: &Value, expected: &str) {
    assert_eq!(read(&mapping(), claims), expected, "{claims}");
}

#[test]
fn the_short_claims_of_a_login_service_are_enough() {
    check(&json!({"user_id": 4821, "role": "editor"}), "4821|editor|||free|");
}

#[test]
fn every_part_of_an_identity_is_found_where_its_pointer_points() {
    check(
        &json!({
            "user_id": "u-1", "role": "editor", "realm_access": {"roles": ["a", "b"]},
            "tenant_id": 12, "tier": "pro", "scope": "links:read links:write",
        }),
        "u-1|editor|a,b|12|pro|links:read,links:write",
    );
}

#[test]
fn integers_become_the_same_decimal_text_however_large() {
    check(&json!({"user_id": 9_007_199_254_740_993_u64}), "9007199254740993||||free|");
    check(&json!({"user_id": u64::MAX}), "18446744073709551615||||free|");
    check(&json!({"user_id": -7}), "-7||||free|");
}

#[test]
fn numbers_that_json_readers_round_are_no_identity() {
    for number in ["4821.0", "4821.5", "48e2", "18446744073709551616", "-0"] {
        let claims = serde_json::from_str(&format!(r#"{{"user_id": {number}}}"#));
        check(
            &claims.expect(number),
            "the claim /user_id, mapped to identity.user_id, is a number, \
             which is not taken there",
        );
    }
}

#[test]
fn an_array_becomes_roles_and_never_a_role() {
    check(&json!({"user_id": 1, "role": ["a", "b"]}), "1||a,b||free|");
    let one_claim = ClaimMapping { roles: pointer("/role"), ..mapping() };
    assert_eq!(read(&one_claim, &json!({"user_id": 1, "role": ["a"]})), "1||a||free|");
    assert_eq!(read(&one_claim, &json!({"user_id": 1, "role": "a"})), "1|a|||free|");
}

#[test]
fn what_is_neither_text_nor_integer_nor_a_list_of_roles_is_refused() {
    for (claims, field) in [
        (json!({"role": {"name": "admin"}}), "role"),
        (json!({"role": 7}), "role"),
        (json!({"role": true}), "role"),
        (json!({"role": null}), "role"),
        (json!({"role": ["a", 7]}), "role"),
        (json!({"realm_access": {"roles": "admin"}}), "roles"),
        (json!({"realm_access": {"roles": ["a", ["b"]]}}), "roles"),
        (json!({"tenant_id": [12]}), "tenant"),
        (json!({"tier": {}}), "tier"),
        (json!({"scope": ["links:write"]}), "scopes"),
    ] {
        let mut with_user = claims.clone();
        with_user["user_id"] = 1.into();
        let fault = mapping().principal(&with_user, Scheme::Jwt).expect_err(field);
        assert_eq!(fault.field, field, "{claims}");
        assert!(matches!(fault.problem, ClaimProblem::WrongType(_)), "{fault}");
        assert!(!fault.spoils_credential(), "{fault}");
    }
}

#[test]
fn a_text_that_could_forge_a_header_field_spoils_the_credential() {
    for text in ["a\r\nX-User-Role: admin", "", "zo\u{eb}", "a b", "\0", &"x".repeat(256)] {
        for field in ["user_id", "role", "tenant_id", "tier"] {
            let mut claims = json!({"user_id": 1});
            claims[field] = text.into();
            let fault = mapping().principal(&claims, Scheme::Jwt).expect_err(field);
            assert_eq!(fault.problem, ClaimProblem::NotVisible, "{fault}");
            assert!(fault.spoils_credential(), "{fault}");
            assert!(text.len() < 3 || !fault.to_string().contains(text), "{fault}");
        }
    }
    let scopes = json!({"user_id": 1, "scope": "a\tb"});
    assert!(mapping().principal(&scopes, Scheme::Jwt).is_err());
}

#[test]
fn claims_without_a_user_name_nobody() {
    check(&json!({}), "the claim /user_id, mapped to identity.user_id, is missing");
    for user_id in [json!(null), json!({}), json!([1]), json!(true)] {
        let claims = json!({"user_id": user_id});
        let fault = mapping().principal(&claims, Scheme::Jwt).expect_err("nobody");
        assert!(fault.spoils_credential(), "{claims}");
    }
}

#[test]
fn a_subject_is_text_and_a_number_only_where_a_mapping_says_so() {
    let by_subject = ClaimMapping { user_id: pointer("/sub"), ..mapping() };
    assert_eq!(read(&by_subject, &json!({"sub": "4821"})), "4821||||free|");
    assert!(by_subject.principal(&json!({"sub": 4821}), Scheme::Jwt).is_err());
}

#[test]
fn a_pointer_begins_with_a_slash_and_escapes_as_rfc_6901_says() {
    for good in ["/sub", "/realm_access/roles", "/https:~1~1example.com~1roles", "/a~0b"] {
        assert_eq!(pointer(good).to_string(), good);
    }
    for bad in ["", "sub", "/a~", "/a~2b", "$.sub"] {
        assert_eq!(ClaimPointer::parse(bad), Err(InvalidClaimPointer), "{bad}");
    }
    let namespaced = ClaimMapping { role: pointer("/https:~1~1example.com~1role"), ..mapping() };
    let claims = json!({"user_id": 1, "https://example.com/role": "editor"});
    assert_eq!(read(&namespaced, &claims), "1|editor|||free|");
}
