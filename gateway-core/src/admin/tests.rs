//! Who may come in, case by case.

use http::{HeaderMap, HeaderName, HeaderValue};
use shared_config::Secret;

use super::gate::{NotAdmitted, judge};
use crate::clock::Timestamp;
use crate::reload::Shown;

#[track_caller]
fn check(token: Option<&str>, headers: &[(&str, &str)], expected: Result<(), NotAdmitted>) {
    let shown = Shown {
        text: String::new(),
        token: token.map(|token| Secret::from(token.to_owned())),
        since: Timestamp::from_unix_seconds(0),
    };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(*name).expect("a name");
        map.append(name, HeaderValue::try_from(*value).expect("a value"));
    }
    assert_eq!(judge(&shown, &map), expected, "{headers:?}");
}

#[test]
fn without_a_token_only_this_machine_s_programs_may_come_in() {
    for host in ["127.0.0.1:9000", "localhost:9000", "LOCALHOST", "[::1]:9000", "127.0.0.2"] {
        check(None, &[("host", host)], Ok(()));
    }
    let foreign = Err(NotAdmitted::ForeignHost);
    for host in ["evil.example:9000", "127.0.0.1.evil.example", "10.0.0.7:9000", "[::2]", "@", ""] {
        check(None, &[("host", host)], foreign);
    }
    check(None, &[], foreign);
}

#[test]
fn without_a_token_no_web_page_may_come_in_and_an_address_line_may() {
    let here = ("host", "127.0.0.1:9000");
    let page = Err(NotAdmitted::FromPage);
    check(None, &[here, ("origin", "https://evil.example")], page);
    check(None, &[here, ("origin", "null")], page);
    check(None, &[here, ("origin", "http://127.0.0.1:9000")], page);
    check(None, &[here, ("sec-fetch-site", "cross-site")], page);
    check(None, &[here, ("sec-fetch-site", "same-site")], page);
    check(None, &[here, ("sec-fetch-site", "none")], Ok(()));
}

#[test]
fn a_token_is_all_that_counts_where_there_is_one() {
    let missing = Err(NotAdmitted::Token);
    check(Some("secret"), &[("host", "127.0.0.1")], missing);
    check(Some("secret"), &[("authorization", "Bearer other")], missing);
    check(Some("secret"), &[("authorization", "Basic secret")], missing);
    check(Some("secret"), &[("authorization", "Bearer secretly")], missing);
    check(Some("secret"), &[("authorization", "Bearer secret"), ("host", "ops.internal")], Ok(()));
}
