//! Values that stay in their place.

use proptest::prelude::*;

use super::*;
use crate::error::Refusal as _;
use crate::principal::{IdentityText, Scheme};

fn principal() -> Principal {
    let text = |text| IdentityText::parse(text).expect("visible ASCII");
    Principal {
        scheme: Scheme::Jwt,
        user_id: text("48/21"),
        role: Some(text("editor")),
        roles: Vec::new(),
        tenant: None,
        tier: text("pro"),
        scopes: Vec::new(),
        credential_id: None,
        expires_at: None,
    }
}

fn names() -> [Box<str>; 2] {
    ["id".into(), "rest".into()]
}

/// Renders for a request of `GET /x/{id}/{*rest}` by user `48/21` with `?page=2&q=a+b%26`.
fn render(text: &str, place: Place, id: &str) -> Result<String, String> {
    let template = Template::parse(text, place, &names()).expect(text);
    let params = [id.into(), "a b/c".into()];
    let principal = principal();
    let query = Some("page=2&q=a+b%26&page=3&empty=");
    let values = Values { params: &params, principal: Some(&principal), query };
    template.render(&values).map_err(|error| format!("{} {error}", error.code()))
}

#[track_caller]
fn check(text: &str, place: Place, id: &str, expected: &str) {
    assert_eq!(render(text, place, id).as_deref(), Ok(expected), "{text} {id}");
}

#[test]
fn values_come_from_path_identity_and_query() {
    check("/links/{id}", Place::Path, "x7Kp2", "/links/x7Kp2");
    check("/users/{identity.user_id}/x", Place::Path, "", "/users/48%2F21/x");
    check("{identity.role}.{identity.tier}", Place::Query, "", "editor.pro");
    check("{query.page}-{query.limit|20}", Place::Query, "", "2-20");
    check("{query.empty|x}", Place::Query, "", "");
    check("{query.q}", Place::Query, "", "a%20b%26");
    check("/{{{id}}}", Place::Path, "7", "/%7B7%7D");
    check("{{\"id\": {id}}}", Place::Header, "7", "{\"id\": 7}");
    check("/static/café/a%20b", Place::Path, "", "/static/caf%C3%A9/a%20b");
}

#[test]
fn a_path_parameter_stays_one_segment() {
    for (id, expected) in [
        ("../users/1", "/links/..%2Fusers%2F1"),
        ("1?x=", "/links/1%3Fx%3D"),
        ("1%23", "/links/1%2523"),
        ("1#", "/links/1%23"),
        ("//evil.example", "/links/%2F%2Fevil.example"),
        ("@evil.example:80", "/links/%40evil.example%3A80"),
        ("a;b\\c\r\nd", "/links/a%3Bb%5Cc%0D%0Ad"),
        ("...", "/links/..."),
    ] {
        check("/links/{id}", Place::Path, id, expected);
    }
}

#[test]
fn a_value_that_is_a_dot_segment_is_refused() {
    let refused = "value_not_a_segment a value would change where the rewritten path leads";
    for (text, id) in [
        ("/links/{id}", "."),
        ("/links/{id}", ".."),
        ("/links/{id}/x", ".."),
        ("/links/.{id}", "."),
        ("/links/{id}{id}", "."),
        ("/links/%2E{id}", "."),
        ("/links/{*id}", "a/../b"),
        ("/links/{*id}", "a//b"),
        ("/links/{*id}", "/a"),
    ] {
        assert_eq!(render(text, Place::Path, id), Err(refused.into()), "{text} {id}");
    }
    check("/links/{id}", Place::Query, "..", "%2Flinks%2F..");
}

#[test]
fn the_rest_keeps_its_slashes_and_nothing_else() {
    check("/files/{*rest}", Place::Path, "", "/files/a%20b/c");
    check("/files/{rest}", Place::Path, "", "/files/a%20b%2Fc");
    check("{*rest}", Place::Query, "", "a%20b%2Fc");
}

#[test]
fn a_header_value_is_one_line_of_ascii() {
    check("id={id}", Place::Header, "a\r\nX-Role: admin", "id=a%0D%0AX-Role: admin");
    check("{id}", Place::Header, "é 100%\0", "%C3%A9 100%25%00");
}

#[test]
fn a_missing_value_is_an_error_that_names_it() {
    for (text, place, expected) in [
        (
            "{identity.tenant}",
            Place::Query,
            "identity_incomplete the identity has no value for identity.tenant",
        ),
        ("{query.x}", Place::Query, "value_missing the request has no value for query.x"),
        ("/{query.empty}", Place::Path, "value_missing the request has no value for query.empty"),
    ] {
        assert_eq!(render(text, place, ""), Err(expected.into()), "{text}");
    }
    check("{identity.tenant|none}", Place::Query, "", "none");
    check("/{query.empty|a/b}", Place::Path, "", "/a%2Fb");
}

#[test]
fn an_anonymous_caller_has_no_identity() {
    let template = Template::parse("{identity.tier}", Place::Query, &[]).expect("valid");
    let error = template.render(&Values::default()).expect_err("nobody is identified");
    assert_eq!(error.status(), 403);
}

#[test]
fn a_text_that_cannot_stand_in_its_place_is_no_template() {
    for (text, place, expected) in [
        ("/links/{id", Place::Path, "has a brace without its other half"),
        ("/links/id}", Place::Path, "has a brace without its other half"),
        ("/{key}", Place::Path, "`{key}` is unknown; there is {id}, {rest}, {identity.…}"),
        ("/{identity.email}", Place::Path, "is not one of user_id, role, tenant, tier"),
        ("{query.}", Place::Query, "`{query.}` is unknown"),
        ("{header.cookie}", Place::Header, "`{header.cookie}` is unknown"),
        ("links", Place::Path, "a path starts with a slash"),
        ("{id}", Place::Path, "a path starts with a slash"),
        ("/a/../b", Place::Path, "no segment `.` or `..`"),
        ("/a/%2e%2E/b", Place::Path, "no segment `.` or `..`"),
        ("//evil.example", Place::Path, "no `//`"),
        ("/a?x=1", Place::Path, "query parameters are set under `query`"),
        ("/100%", Place::Path, "no stray `%`"),
        ("a\r\nb", Place::Header, "one line of ASCII"),
        ("é", Place::Header, "one line of ASCII"),
    ] {
        let error = Template::parse(text, place, &names()).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn no_value_leaves_its_segment(id in any::<String>()) {
        let template = Template::parse("/a/{id}/b", Place::Path, &names()).expect("valid");
        let values = Values { params: &[id.as_str().into()], ..Values::default() };
        if let Ok(path) = template.render(&values) {
            let segments: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(segments.len(), 4, "{}", path);
            prop_assert!(!path.contains(['?', '#', ';', '\\']), "{}", path);
            let decoded = percent_encoding::percent_decode_str(segments[2]).decode_utf8();
            prop_assert_eq!(decoded.expect("UTF-8"), id);
        }
    }

    #[test]
    fn a_rendered_header_is_always_a_header_value(id in any::<String>()) {
        let template = Template::parse("x {id}", Place::Header, &names()).expect("valid");
        let values = Values { params: &[id.into()], ..Values::default() };
        let text = template.render(&values).expect("there is a value");
        prop_assert!(HeaderValue::from_str(&text).is_ok() && text.is_ascii());
    }

    #[test]
    fn no_text_breaks_the_parser(text in "[/{}a.|*?%i]{0,12}") {
        let _ = Template::parse(&text, Place::Path, &names());
    }
}
