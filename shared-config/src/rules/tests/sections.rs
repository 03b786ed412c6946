//! Rules of single sections: the listeners, the assertion, CORS.

use super::check;
use crate::testing::{Files, GATEWAY, PLATFORM};

#[test]
fn any_origin_and_credentials_are_never_combined() {
    let reason = "cors.origins[1]: cannot be combined with `credentials = true`; list the origins";
    check("", "[cors]\norigins = [\"https://a.example\", \"*\"]\ncredentials = true", &[reason]);
    check("", "[cors]\norigins = [\"*\"]", &[]);
    check("", "[cors]\norigins = [\"https://a.example\"]\ncredentials = true", &[]);
}

#[test]
fn an_assertion_is_short_lived() {
    let reason = "assertion.lifetime: must be at most \"30s\": services refuse longer ones";
    check("", "[assertion]\nlifetime = \"31s\"", &[reason]);
    check("", "[assertion]\nlifetime = \"30s\"", &[]);
    let reason = "assertion.lifetime: must be longer than nothing";
    check("", "[assertion]\nlifetime = \"0s\"", &[reason]);
}

#[test]
fn the_admin_listener_is_on_loopback_or_needs_a_token() {
    let reason = "admin.listen: is not loopback, so `admin.token` must be set";
    check("", "[admin]\nlisten = \"0.0.0.0:9000\"", &[reason]);
    check("", "[admin]\nlisten = \"[::1]:9000\"", &[]);
    let with_token = format!("{GATEWAY}[admin]\nlisten = \"0.0.0.0:9000\"\ntoken.env = \"T\"\n");
    assert_eq!(Files::new(PLATFORM, &with_token).variable("T", "t").mistakes(&[]), "none");
}

#[test]
fn the_two_listeners_have_one_address_each() {
    let reason = "admin.listen: is `server.listen` too; operators and clients need one each";
    let both = |port| {
        format!("[server]\nlisten = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:{port}\"")
    };
    check("", &both(3000), &[reason]);
    check("", &both(0), &[]);
}
