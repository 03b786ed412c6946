//! Where secrets come from, and where they never appear.

use super::*;

/// `admin.token` written like this, and what is wrong with it.
#[track_caller]
fn check(token: &str, expected: &str) {
    let gateway = format!("{GATEWAY}[admin]\ntoken = {token}\n");
    let files = files()
        .file("gw.toml", gateway)
        .file("empty", "\n")
        .file("binary", b"\xff")
        .file("huge", "x".repeat(64 * 1024 + 1))
        .variable("EMPTY", "");
    let found = files.mistakes(&[]);
    let expected = format!("gw.toml:9: admin.token{expected}\n\n1 error");
    assert_eq!(found, expected, "{token}");
}

#[test]
fn a_secret_that_cannot_be_read_names_its_key_and_its_place() {
    for (token, why) in [
        ("{ env = \"UNSET\" }", "environment variable UNSET, which is not set"),
        ("{ env = \"EMPTY\" }", "environment variable EMPTY, which is empty"),
        ("{ file = \"none\" }", "file none, which does not exist"),
        ("{ file = \"empty\" }", "file empty, which is empty"),
        ("{ file = \"binary\" }", "file binary, which is not UTF-8"),
        ("{ file = \"huge\" }", "file huge, which is longer than 65536 bytes"),
    ] {
        check(token, &format!("\n    is due in {why}"));
    }
}

#[test]
fn a_secret_in_a_file_is_refused_with_how_to_write_it() {
    let reason = "\n    must say where the secret is, { env = \"NAME\" } or { file = \"PATH\" }; \
                  no secret stands in a configuration file";
    for token in ["\"hunter2\"", "5", "[\"hunter2\"]"] {
        check(token, &format!(" = ***{reason}"));
    }
    for token in ["{}", "{ env = 5 }", "{ vault = \"x\" }", "{ env = \"A\", file = \"b\" }"] {
        check(token, reason);
    }
}

#[test]
fn secrets_reach_the_types_and_nothing_that_is_printed() {
    let gateway = format!(
        "{GATEWAY}[admin]\ntoken = {{ env = \"TOKEN\" }}\n\
         [login]\nservice = \"links\"\npassword = {{ file = \"password\" }}\n\
         [[keys]]\nid = \"a\"\n[[keys]]\nid = \"b\"\ndigest = {{ env = \"DIGEST\" }}\n"
    );
    let loaded = files()
        .file("gw.toml", gateway)
        .file("password", "hunter2-file\n")
        .variable("TOKEN", "hunter2-token")
        .variable("DIGEST", "hunter2-digest")
        .load(&own_sections())
        .unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let login: Login = loaded.section("login").expect("a login");
    let keys: Vec<Key> = loaded.section("keys").expect("keys");
    assert_eq!(keys[0].id, "a");
    assert_eq!(login.password.as_ref().expect("set").expose(), "hunter2-file");
    assert_eq!(keys[1].digest.as_ref().expect("set").expose(), "hunter2-digest");
    assert_eq!(loaded.platform.admin.token.as_ref().expect("set").expose(), "hunter2-token");
    let at = Diagnostic::at(&loaded, &["keys", "1", "digest"], "hunter2", "is wrong");
    let printed = format!("{loaded:?} {login:?} {keys:?} {} {at}", loaded.render());
    assert!(!printed.contains("hunter2"), "{printed}");
    assert!(printed.contains("token = \"***\""), "{printed}");
}

/// A listener with TLS whose certificate stands in this file.
fn with_certificate(name: &str) -> Files {
    let gateway = format!(
        "{GATEWAY}[[server.tls.certificates]]\ncertificate = {name}\nkey = {{ file = \"key\" }}\n"
    );
    files().file("gw.toml", gateway).file("key", "hunter2").file("pem", "CHAIN\n")
}

#[test]
fn a_certificate_is_named_by_its_file_and_its_text_found_by_who_needs_it() {
    let loaded = with_certificate("\"pem\"").loaded();
    let tls = loaded.platform.server.tls.as_ref().expect("TLS");
    let pair = tls.certificates.first().expect("one");
    assert_eq!((pair.certificate.name(), pair.certificate.text()), ("pem", "CHAIN"));
    assert_eq!(pair.key.expose(), "hunter2");
    let printed = format!("{loaded:?} {}", loaded.render());
    assert!(!printed.contains("hunter2") && !printed.contains("CHAIN"), "{printed}");
    assert!(loaded.render().contains("certificate = \"pem\""), "{}", loaded.render());
}

#[test]
fn a_certificate_that_cannot_be_read_names_its_key_and_its_file() {
    let huge = "x".repeat(1024 * 1024 + 1);
    for (name, why) in [
        ("none", "does not exist"),
        ("binary", "is not UTF-8"),
        ("huge", "is longer than 1048576 bytes"),
    ] {
        let files = with_certificate(&format!("\"{name}\""));
        let found = files.file("binary", b"\xff").file("huge", &huge).mistakes(&[]);
        let key = "gw.toml:9: server.tls.certificates[0].certificate";
        let expected = format!("{key} = \"{name}\"\n    names a file that {why}\n\n1 error");
        assert_eq!(found, expected);
    }
    let found = with_certificate("5").mistakes(&[]);
    assert!(found.contains("certificate = 5\n    must be text"), "{found}");
}
