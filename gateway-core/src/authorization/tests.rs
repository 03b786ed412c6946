//! Rules: what they ask, what is unknown to them, how they are read and written.

use proptest::prelude::*;

use super::*;
use crate::principal::{IdentityText, Scheme};

fn text(text: &str) -> IdentityText {
    IdentityText::parse(text).expect("visible ASCII")
}

/// An editor of acme.
fn editor() -> Principal {
    Principal {
        scheme: Scheme::Jwt,
        user_id: text("4821"),
        role: Some(text("editor")),
        roles: vec![text("reviewer"), text("author")],
        tenant: Some(text("acme")),
        tier: text("pro"),
        scopes: Vec::new(),
        credential_id: None,
        expires_at: None,
    }
}

/// Somebody of whom as little is known as can be.
fn nobody_special() -> Principal {
    Principal { role: None, roles: Vec::new(), tenant: None, ..editor() }
}

#[track_caller]
fn check(principal: &Principal, rule: &str, expected: bool) {
    let parsed = Rule::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
    assert_eq!(parsed.allows(principal), expected, "{rule}");
}

#[test]
fn a_rule_asks_who_the_caller_is() {
    let cases = [
        ("role in ['editor', 'admin']", true),
        ("role in ['viewer', 'admin']", false),
        ("role == 'reviewer'", true),
        ("role != 'reviewer'", false),
        ("roles == 'editor'", false),
        ("'author' in roles", true),
        ("'author' not in roles", false),
        ("'editor' not in roles", true),
        ("role not in ['admin', 'viewer']", true),
        ("tenant == 'acme' and tier == 'pro'", true),
        ("tenant == 'acme' and tier == 'free'", false),
        ("tenant == 'other' or tier == 'pro'", true),
        ("user_id == '4821'", true),
        ("scheme == 'jwt'", true),
        ("scheme in ['session', 'api_key']", false),
        ("not role == 'editor'", false),
        ("not (role == 'viewer' or tenant == 'other')", true),
        // `and` binds closer than `or`.
        ("tier == 'pro' or role == 'x' and tenant == 'x'", true),
        ("(tier == 'pro' or role == 'x') and tenant == 'x'", false),
        ("user_id==\"4821\"and\n\ttier!='free'", true),
    ];
    for (rule, expected) in cases {
        check(&editor(), rule, expected);
    }
}

#[test]
fn what_is_not_known_opens_nothing_and_is_settled_only_by_what_is_known() {
    let cases = [
        ("tenant == 'acme'", false),
        ("tenant != 'acme'", false),
        ("not tenant == 'acme'", false),
        ("not tenant != 'acme'", false),
        ("not not tenant == 'acme'", false),
        ("tenant not in ['acme']", false),
        ("'author' not in roles", false),
        ("role != 'admin'", false),
        ("tenant != 'acme' and tier == 'pro'", false),
        ("not (tenant == 'acme' and tier == 'pro')", false),
        ("not (tenant == 'acme' or tier == 'free')", false),
        // Known whatever the tenant were.
        ("tenant != 'acme' or tier == 'pro'", true),
        ("not (tenant == 'acme' and tier == 'free')", true),
    ];
    for (rule, expected) in cases {
        check(&nobody_special(), rule, expected);
    }
}

#[track_caller]
fn refused(rule: &str, reason: &str, caret_before: &str) {
    let error = Rule::parse(rule).expect_err(rule).to_string();
    let mut lines = error.lines();
    let first = lines.next().expect("a reason");
    assert!(first.ends_with(reason), "{rule}: {first}");
    let (line, caret) = (lines.next().expect("the line"), lines.next().expect("the caret"));
    let place = caret.find('^').expect("a caret");
    let before: String = line.chars().take(place).collect();
    assert_eq!(before.trim_start(), caret_before, "{error}");
}

#[test]
fn a_rule_that_cannot_be_read_is_pointed_at_with_what_to_write() {
    refused("", "a field of the identity is due: user_id, role, roles, tenant, tier, scheme", "");
    refused("rol == 'a'", "user_id, role, roles, tenant, tier, scheme", "");
    refused("identity.role == 'a'", "write `role` alone: a rule is about the identity", "");
    refused("role = 'a'", "`==` compares; a single `=` means nothing", "role ");
    refused("role == editor", "a text stands in quotes: `'editor'`", "role == ");
    refused("role == 'editor", "the text that begins here does not end", "role == ");
    refused("role in 'a'", "a list of texts is due: `['a', 'b']`", "role in ");
    refused("role in []", "a text in quotes is due: `'admin'`", "role in [");
    refused("role in ['a' 'b']", "here `,` or `]` is due", "role in ['a' ");
    refused("role in ['a'", "here `,` or `]` is due", "role in ['a'");
    refused("role not 'a'", "here `in` is due", "role not ");
    refused("role", "here `==`, `!=`, `in [ … ]` or `not in [ … ]` is due", "role");
    refused("(role == 'a'", "here `)`, `and` or `or` is due", "(role == 'a'");
    refused("role == 'a' && tier == 'b'", "here `and`, `or` or the end is due", "role == 'a' ");
    refused("'a' in role", "here `roles` is due; only they are a list", "'a' in ");
    refused(
        "scheme == 'key'",
        "`'session'`, `'jwt'`, `'api_key'`, `'client_certificate'`",
        "scheme == ",
    );
    refused("tenant == 'a b'", "1 to 255 visible ASCII characters", "tenant == ");
    refused("tier == 'a'\nor é == 'b'", "user_id, role, roles, tenant, tier, scheme", "or ");
    let deep = format!("{}role == 'a'", "not ".repeat(17));
    refused(&deep, "deeper than 16 times", &"not ".repeat(16));
    let long = format!("role == '{}'", "a".repeat(5_000));
    assert!(Rule::parse(&long).expect_err("too long").to_string().contains("4096 bytes"));
}

#[test]
fn a_refusal_says_to_the_log_alone_which_rule_it_was() {
    let rule = Rule::parse("role == 'admin'").expect("a rule");
    let requirement = Requirement::new("routes.x.require", rule);
    let refused = requirement.check(&editor()).expect_err("an editor");
    assert_eq!(refused.to_string(), "`routes.x.require` does not hold of the caller");
    assert!(!refused.detail().contains("admin") && !refused.detail().contains("routes"));
    assert_eq!((refused.status().as_u16(), refused.code()), (403, "requirement_not_met"));
}

fn texts() -> impl Strategy<Value = Box<[Box<str>]>> {
    let text = "[!-&(-~]{1,6}|[!#-~]{1,6}".prop_map(String::into_boxed_str);
    prop::collection::vec(text, 1..4).prop_map(Vec::into_boxed_slice)
}

fn nodes() -> impl Strategy<Value = Node> {
    let fields = prop::sample::select(vec![Field::UserId, Field::Role, Field::Roles, Field::Tier]);
    let leaf = (fields, texts(), any::<bool>())
        .prop_map(|(field, texts, is_negated)| Node::Among { field, texts, is_negated });
    leaf.prop_recursive(4, 24, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..4).prop_map(Vec::into_boxed_slice);
        prop_oneof![
            inner.prop_map(|node| Node::Not(node.into())),
            several.clone().prop_map(Node::All),
            several.prop_map(Node::Any),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_is_a_rule_or_a_reason(text in r"([a-z=!'()\[\], é\n]|role|not|in|and|or|==){0,40}") {
        if let Err(error) = Rule::parse(&text) {
            prop_assert!(error.to_string().ends_with('^'));
        }
    }

    #[test]
    fn a_rule_that_is_written_reads_back_the_same(node in nodes()) {
        let rule = Rule(node);
        prop_assert_eq!(Rule::parse(&rule.to_string()), Ok(rule));
    }
}
