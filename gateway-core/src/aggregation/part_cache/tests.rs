//! What may be kept, and whose it is; what a request is given is tested with whole answers.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::aggregation::call::Call;
use crate::aggregation::testing::principal;
use crate::principal::{IdentityText, Principal};

#[test]
fn what_a_service_says_is_personal_is_never_kept_for_everybody() {
    for (fields, for_one, for_all) in [
        (&[][..], true, true),
        (&[("cache-control", "max-age=60, public")][..], true, true),
        (&[("cache-control", "private")], true, false),
        (&[("cache-control", "max-age=5, Private=\"x\"")], true, false),
        (&[("set-cookie", "a=b")], true, false),
        (&[("vary", "Accept, Cookie")], true, false),
        (&[("vary", "authorization")], true, false),
        (&[("vary", "*")], false, false),
        (&[("cache-control", "no-store")], false, false),
        (&[("cache-control", "public"), ("cache-control", "no-store")], false, false),
        (&[("vary", "Accept-Language")], true, true),
    ] {
        let headers: HeaderMap = fields
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        assert_eq!(may_be_kept(&headers, false), for_one, "{fields:?}");
        assert_eq!(may_be_kept(&headers, true), for_all, "{fields:?}");
    }
}

fn call(target: &str, headers: &[(&'static str, &str)]) -> Call {
    let headers = headers.iter().map(|&(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
    });
    Call {
        method: Method::GET,
        target: target.parse().expect("a target"),
        headers: headers.collect(),
        body: None,
    }
}

fn key(whose: Whose, target: &str, headers: &[(&'static str, &str)]) -> PartKey {
    PartKey::new(whose, &"s".into(), &call(target, headers), &"".into())
}

#[test]
fn every_difference_that_a_service_may_see_is_another_key() {
    let text = |text| Some(IdentityText::parse(text).expect("visible"));
    let with = |change: fn(&mut Principal, Option<IdentityText>), value| {
        let mut principal = principal("a");
        change(&mut principal, text(value));
        Whose::of(Some(&principal))
    };
    let whose = [
        Whose::Everybodys,
        Whose::of(None),
        Whose::of(Some(&principal("a"))),
        Whose::of(Some(&principal("a:b"))),
        with(|principal, value| principal.role = value, "b"),
        with(|principal, value| principal.tenant = value, "b"),
        with(|principal, value| principal.tier = value.expect("given"), "b"),
        with(|principal, value| principal.roles.extend(value), "b"),
        with(|principal, value| principal.scopes.extend(value), "b"),
        with(|principal, value| principal.credential_id = value, "b"),
    ];
    let calls = [
        ("/x", &[][..]),
        ("/x?a=1&a=2", &[]),
        ("/x?%61=1&a=2", &[]),
        ("/x", &[("accept-language", "de")]),
        ("/x", &[("accept-language", "d"), ("x", "e")]),
    ];
    let mut keys = Vec::new();
    for whose in whose {
        for (target, headers) in calls {
            let key = key(whose.clone(), target, headers);
            assert!(!keys.contains(&key), "{key:?}");
            keys.push(key);
        }
    }
    let other = PartKey::new(Whose::Everybodys, &"s".into(), &call("/x", &[]), &"shape".into());
    assert!(!keys.contains(&other));
}

#[test]
fn a_key_knows_its_user_and_its_call_and_tells_no_more() {
    let key = key(Whose::of(Some(&principal("4821"))), "/usage?a=1", &[]);
    assert!(key.is_of_user("4821") && !key.is_of_user("482"));
    assert!(key.is_of_call("GET s:/usage?a=1"));
    for other in ["GET s:/usage", "GET t:/usage?a=1", "POST s:/usage?a=1", "usage", ""] {
        assert!(!key.is_of_call(other), "{other}");
    }
    assert!(format!("{:?}", Whose::of(Some(&principal("4821")))).contains("4821's"));
}

proptest! {
    /// Lengths stand before fields: no two identities have one key.
    #[test]
    fn two_identities_never_share_a_key(
        one in ("[ab:]{1,4}", proptest::option::of("[ab:]{1,3}"), proptest::option::of("[ab:]{1,3}")),
        other in ("[ab:]{1,4}", proptest::option::of("[ab:]{1,3}"), proptest::option::of("[ab:]{1,3}")),
    ) {
        let whose = |(user, role, tenant): &(String, Option<String>, Option<String>)| {
            let text = |text: &Option<String>| {
                text.as_ref().map(|text| IdentityText::parse(text).expect("visible"))
            };
            let mut principal = principal(user);
            principal.role = text(role);
            principal.tenant = text(tenant);
            Whose::of(Some(&principal))
        };
        prop_assert_eq!(key(whose(&one), "/", &[]) == key(whose(&other), "/", &[]), one == other);
    }
}
