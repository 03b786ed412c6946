//! Rules of `[server.tls]` and `[server.redirect]`.

use super::check;

/// A listener with TLS; `more` stands in its section. The certificate's file is this test's own
/// configuration: what it says does not matter here.
fn tls(more: &str) -> String {
    format!(
        "[server.tls]\n{more}\n[[server.tls.certificates]]\ncertificate = \"gw.toml\"\n\
         key = {{ file = \"gw.toml\" }}\n"
    )
}

#[test]
fn certificates_of_clients_need_authorities_and_authorities_need_clients() {
    let asked = "client_certificates = \"optional\"\n";
    let authorities = "client_ca = \"gw.toml\"\n";
    let scheme = "[auth.client_certificate]\n";
    check("", &tls(&format!("{asked}{authorities}")), &[]);
    let reason = "server.tls.client_certificates: needs `client_ca`: who issues the certificates of \
                  clients";
    check("", &tls(asked), &[reason]);
    let reason = "server.tls.client_ca: is of no use while `client_certificates` is \"off\"; say \
                  \"optional\" or \"required\"";
    check("", &tls(authorities), &[reason]);
    let reason = "auth.client_certificate: needs `server.tls.client_certificates`, \"optional\" or \
                  \"required\"";
    check("", &format!("{}{scheme}", tls("")), &[reason]);
    check("", scheme, &[reason]);
    check("", &format!("{}{scheme}", tls(&format!("{asked}{authorities}"))), &[]);
}

#[test]
fn the_plain_listener_has_its_own_address_and_one_way_to_answer_challenges() {
    let redirect = |more: &str| format!("[server.redirect]\nlisten = \"127.0.0.1:80\"\n{more}");
    check("", &redirect("acme_directory = \"/var/lib/acme\""), &[]);
    check("", &redirect("acme_url = \"http://127.0.0.1:8402\""), &[]);
    let both = "acme_directory = \"/a\"\nacme_url = \"http://127.0.0.1:8402\"";
    let reason = "server.redirect.acme_url: stands beside `acme_directory`; one of the two answers \
                  challenges";
    check("", &redirect(both), &[reason]);
    let reason = "server.redirect.acme_url: must be a http:// or https:// URL";
    check("", &redirect("acme_url = \"127.0.0.1:8402\""), &[reason]);
    for other in ["server", "admin"] {
        let listens = format!("[{other}]\nlisten = \"127.0.0.1:80\"\n{}", redirect(""));
        let reason =
            format!("server.redirect.listen: is `{other}.listen` too; each listener needs its own");
        check("", &listens, &[&reason]);
    }
}
