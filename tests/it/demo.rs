//! `cargo demo`, as a newcomer and a script meet it: real processes on ports of its own, all below
//! 32768, where the kernel begins to hand ports out.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::verify::repository;

/// A demo that is ended when the test is over.
struct Demo(Child);

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(tests::harness::program("demo"));
        command.args(arguments).current_dir(repository()).stdin(Stdio::null());
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started"))
    }

    fn first_line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.0.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        if line.is_empty() {
            let mut said = String::new();
            let _ = self.0.stderr.as_mut().expect("piped").read_to_string(&mut said);
            panic!("the demo ended: {said}");
        }
        line
    }

    fn terminate(&self) {
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.terminate();
        let _ = self.0.wait();
    }
}

async fn is_up(url: &str) -> bool {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    client.get(url).timeout(Duration::from_secs(2)).send().await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_brings_up_everything_and_takes_it_down_again() {
    let mut demo = Demo::start(&["--json", "--port-offset", "21000"]);
    let line = tokio::task::block_in_place(|| demo.first_line());
    let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
    for (section, members) in [
        ("web", &["url", "admin", "email", "password"][..]),
        ("mobile", &["url", "admin", "access_token", "refresh_token"]),
        ("partner", &["url", "admin", "keys"]),
        ("services", &["link-service", "user-service", "webhook-service"]),
    ] {
        for member in members {
            assert!(!ready[section][member].is_null(), "{section}.{member}");
        }
    }
    let (url, token) = (text(&ready["mobile"]["url"]), text(&ready["mobile"]["access_token"]));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("{url}/links/x7Kp2")).bearer_auth(token).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let (url, key) = (text(&ready["partner"]["url"]), text(&ready["partner"]["keys"]["pro"]));
    let answer = client.get(format!("{url}/v1/links")).bearer_auth(key).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);

    demo.terminate();
    let status = tokio::task::block_in_place(|| demo.0.wait()).expect("ended");
    assert!(status.success(), "{status}");
    for url in [&ready["web"]["admin"], &ready["services"]["link-service"]] {
        assert!(!is_up(text(url)).await, "{url} still answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_pattern_serves_the_articles_four_routes_from_one_gateway() {
    let program = include_str!("../examples/edge.rs");
    assert!(program.lines().count() < 100);
    let mut demo = Demo::start(&["--json", "--edge", "--port-offset", "23300"]);
    let line = tokio::task::block_in_place(|| demo.first_line());
    let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
    let (url, token) = (text(&ready["edge"]["url"]), text(&ready["mobile"]["access_token"]));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let get = async |path: &str, token: Option<&str>| {
        let request = client.get(format!("{url}{path}"));
        let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.bytes().await.expect("a body");
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    for (path, member) in [
        ("/links/x7Kp2", "target_url"),
        ("/analytics/links/x7Kp2", "total"),
        ("/billing/usage", "plan"),
    ] {
        let (status, body) = get(path, Some(token)).await;
        assert!(status == 200 && !body[member].is_null(), "{path}: {status} {body}");
        let (status, problem) = get(path, None).await;
        assert_eq!((status, text(&problem["code"])), (401, "credential_missing"), "{path}");
    }
    let login = format!(
        r#"{{"email":"{}","password":"{}"}}"#,
        text(&ready["web"]["email"]),
        text(&ready["web"]["password"])
    );
    let request = client.post(format!("{url}/auth/login")).body(login);
    let answer = request.header("Content-Type", "application/json").send().await;
    let answer = answer.expect("an answer").bytes().await.expect("a body");
    let tokens: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(get("/links/x7Kp2", Some(text(&tokens["access_token"]))).await.0, 200);
    // A key of a partner is no token, and what is not exposed is not there.
    let key = text(&ready["partner"]["keys"]["pro"]);
    assert_eq!(get("/links/x7Kp2", Some(key)).await.0, 401);
    for path in ["/links", "/dashboard", "/bff/user", "/api/links/x7Kp2"] {
        assert_eq!(get(path, Some(token)).await.0, 404, "{path}");
    }
    assert_eq!(get("/robots.txt", None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_demo_started_ends_when_the_demo_is_killed() {
    let mut demo = Demo::start(&["--json", "--port-offset", "22000"]);
    let line = tokio::task::block_in_place(|| demo.first_line());
    let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
    demo.0.kill().expect("killed");
    let gone = async {
        for url in [&ready["web"]["url"], &ready["services"]["billing-service"]] {
            while is_up(text(url)).await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("everything ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_gateways_are_of_an_authority_that_is_made_for_the_run() {
    let mut demo = Demo::start(&["--json", "--tls", "--port-offset", "20000"]);
    let line = tokio::task::block_in_place(|| demo.first_line());
    let ready: Value = serde_json::from_str(&line).expect("one line of JSON");
    let authority = std::fs::read(text(&ready["authority"])).expect("written");
    let authority = reqwest::Certificate::from_pem(&authority).expect("a certificate");
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
    let client = client.build().expect("a client");
    let (url, token) = (text(&ready["mobile"]["url"]), text(&ready["mobile"]["access_token"]));
    assert!(url.starts_with("https://localhost:"), "{url}");
    let answer = client.get(format!("{url}/links/x7Kp2")).bearer_auth(token).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    assert!(!is_up(url).await, "who does not know the authority does not believe it");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:31081").expect("free in this test");
    let demo = Command::new(tests::harness::program("demo"))
        .args(["--json", "--port-offset", "23000"])
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    drop(taken);
    assert!(!demo.status.success());
    let said = String::from_utf8_lossy(&demo.stderr).into_owned();
    assert!(said.contains("31081") && said.contains("analytics-service"), "{said}");
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
