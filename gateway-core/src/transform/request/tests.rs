//! Requests as services want them.

use http::HeaderValue;

use super::*;
use crate::error::Refusal as _;
use crate::principal::{IdentityText, Principal, Scheme};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn compile(rules: &RequestRules) -> RequestTransform {
    let reserved = ["X-User-ID", "X-Gateway-Assertion"];
    RequestTransform::compile(rules, &["id".into()], &reserved).expect("valid rules")
}

fn principal(tenant: &str) -> Principal {
    let text = |text| IdentityText::parse(text).expect("visible ASCII");
    Principal {
        scheme: Scheme::Jwt,
        user_id: text("4821"),
        role: None,
        roles: Vec::new(),
        tenant: Some(text(tenant)),
        tier: text("pro"),
        scopes: Vec::new(),
        credential_id: None,
        expires_at: None,
    }
}

/// The target of `GET /v2/links/{id}?<query>` by a caller of the tenant `a&b=c`.
#[track_caller]
fn check_target(rules: &RequestRules, id: &str, query: Option<&str>, expected: &str) {
    let principal = principal("a&b=c");
    let values = Values { params: &[id.into()], principal: Some(&principal), query };
    let target = compile(rules).apply_head("/v2/links/7", &mut HeaderMap::new(), &values);
    assert_eq!(target.expect("a target").as_str(), expected, "{id} {query:?}");
}

#[test]
fn without_rules_the_target_keeps_its_bytes() {
    let rules = RequestRules::default();
    check_target(&rules, "7", Some("b=%7e&a=+&&"), "/v2/links/7?b=%7e&a=+&&");
    check_target(&rules, "7", None, "/v2/links/7");
}

#[test]
fn a_rewrite_replaces_the_path_and_keeps_the_query() {
    let rules = RequestRules { rewrite: Some("/links/{id}".into()), ..RequestRules::default() };
    check_target(&rules, "7", Some("a=1"), "/links/7?a=1");
    check_target(&rules, "../users/1", None, "/links/..%2Fusers%2F1");
    check_target(&rules, "1?x=", Some("a=1"), "/links/1%3Fx%3D?a=1");
}

#[test]
fn a_set_query_parameter_replaces_whatever_the_client_sent_under_its_name() {
    let query = pairs(&[("tenant_id", "{identity.tenant}"), ("v ", "2&3")]);
    let rules = RequestRules { query, ..RequestRules::default() };
    let set = "tenant_id=a%26b%3Dc&v%20=2%263";
    check_target(&rules, "7", None, &format!("/v2/links/7?{set}"));
    check_target(&rules, "7", Some(""), &format!("/v2/links/7?{set}"));
    let spoofed = "tenant_id=1&x=1&tenant%5Fid=2&tenant_id&y=;tenant_id=3";
    check_target(&rules, "7", Some(spoofed), &format!("/v2/links/7?x=1&{set}"));
}

#[test]
fn headers_are_removed_set_and_appended_in_this_order() {
    let headers = HeaderRules {
        set: pairs(&[("X-API-Version", "2"), ("X-Link", "id {id}")]),
        append: pairs(&[("Via", "1.1 gateway"), ("X-Gone", "new")]),
        remove: vec!["x-gone".into()],
    };
    let transform = compile(&RequestRules { headers, ..RequestRules::default() });
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("x-api-version", "1"), ("x-api-version", "0"), ("via", "1.1 a"), ("x-gone", "old")]
    {
        headers.append(name, HeaderValue::from_static(value));
    }
    let values = Values { params: &["a\r\nb".into()], ..Values::default() };
    transform.apply_head("/", &mut headers, &values).expect("a target");
    let all = |name: &str| -> Vec<_> {
        headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect()
    };
    assert_eq!(all("x-api-version"), ["2"]);
    assert_eq!(all("x-link"), ["id a%0D%0Ab"]);
    assert_eq!(all("via"), ["1.1 a", "1.1 gateway"]);
    assert_eq!(all("x-gone"), ["new"]);
}

#[test]
fn a_missing_identity_refuses_the_request() {
    let query = pairs(&[("tenant_id", "{identity.tenant}")]);
    let transform = compile(&RequestRules { query, ..RequestRules::default() });
    let error = transform
        .apply_head("/", &mut HeaderMap::new(), &Values::default())
        .expect_err("nobody is identified");
    assert_eq!((error.status().as_u16(), error.code()), (403, "identity_incomplete"));
}

#[test]
fn a_target_beyond_what_can_be_sent_is_refused() {
    let rules = RequestRules { rewrite: Some("/{id}".into()), ..RequestRules::default() };
    let values = Values { params: &["é".repeat(20_000).into()], ..Values::default() };
    let error =
        compile(&rules).apply_head("/", &mut HeaderMap::new(), &values).expect_err("120,000 bytes");
    assert_eq!(error.status(), 414);
}

/// What a body becomes when `role` and `/user/role` are taken out of it.
fn remove(headers: &[(&'static str, &'static str)], body: &'static str) -> Result<String, u16> {
    let remove_body_fields = vec!["role".into(), "/user/role".into()];
    let transform = compile(&RequestRules { remove_body_fields, ..RequestRules::default() });
    assert!(transform.needs_body());
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    let body = transform.apply_body(&mut map, Bytes::from(body));
    let body = body.map_err(|error| error.status().as_u16())?;
    let described: Vec<String> =
        map.iter().map(|(name, value)| format!("{name}: {}; ", value.to_str().unwrap())).collect();
    Ok(format!("{}{}", described.concat(), std::str::from_utf8(&body).expect("UTF-8")))
}

#[test]
fn body_fields_go_and_the_length_follows() {
    let body = r#"{"role":"admin","user":{"id":9007199254740993,"role":1}}"#;
    let left = r#"{"user":{"id":9007199254740993}}"#;
    assert_eq!(remove(&[], body), Ok(left.into()));
    let described = [("content-length", "55"), ("content-digest", "sha-256=:x:")];
    assert_eq!(remove(&described, body), Ok(format!("content-length: 32; {left}")));
    let untouched = "content-digest: sha-256=:x:; {}";
    assert_eq!(remove(&[("content-digest", "sha-256=:x:")], "{}"), Ok(untouched.into()));
    assert_eq!(remove(&[], ""), Ok(String::new()));
}

#[test]
fn a_body_that_cannot_be_looked_into_does_not_pass() {
    assert_eq!(remove(&[("content-type", "text/plain")], "role=admin"), Err(400));
    assert_eq!(remove(&[("content-encoding", "gzip")], "{\"role\":1}"), Err(415));
    let mislabelled = remove(&[("content-type", "text/plain")], "{\"role\":1}");
    assert_eq!(mislabelled, Ok("content-type: text/plain; {}".into()));
}

#[test]
fn every_rule_that_cannot_hold_is_reported() {
    let rules = RequestRules {
        rewrite: Some("/links/{key}".into()),
        query: pairs(&[("tenant", "{identity.email}")]),
        headers: HeaderRules {
            set: pairs(&[("Host", "x"), ("X_User_ID", "1"), ("a b", "1"), ("X-Ok", "{id")]),
            append: pairs(&[("Connection", "close"), ("X-Ok", "é")]),
            remove: vec!["content-length".into(), "X-Gateway-Assertion".into()],
        },
        remove_body_fields: vec!["/a~".into()],
    };
    let reserved = ["X_User-ID", "X-Gateway-Assertion"];
    let errors = RequestTransform::compile(&rules, &["id".into()], &reserved);
    let errors = errors.expect_err("all of them are wrong");
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        ("rewrite = `/links/{key}`", "`{key}` is unknown; there is {id}, "),
        ("request.query = `{identity.email}`", "is not one of user_id, role, tenant, tier"),
        ("request.remove_headers = `content-length`", "belongs to the connection"),
        ("request.remove_headers = `X-Gateway-Assertion`", "is written by the gateway alone"),
        ("request.set_headers = `Host`", "belongs to the connection"),
        ("request.set_headers = `X_User_ID`", "is written by the gateway alone"),
        ("request.set_headers = `a b`", "is not the name of a header field"),
        ("request.set_headers = `X-Ok`", "`{id`: has a brace without its other half"),
        ("request.append_headers = `Connection`", "belongs to the connection"),
        ("request.append_headers = `X-Ok`", "one line of ASCII"),
        ("request.remove_body_fields = `/a~`", "write `~` as `~0`"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, (start, reason)) in errors.iter().zip(expected) {
        assert!(error.starts_with(start) && error.contains(reason), "{error}");
    }
}
