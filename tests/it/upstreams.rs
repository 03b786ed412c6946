//! A service with several targets, over real sockets: who is called, who is passed over, who is
//! refused, and that clients see no failure beyond those that the documents name.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gateway_core::command::Gateway;
use serde_json::{Value, json};
use tests::harness::{GatewayUnderTest, Harness, JsonBody as _, field, json_of, part_status};
use tests::platform::{SeenRequest, Service};
use tests::verify::repository;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::command::{VARIABLES, run, text};

const PATIENCE: Duration = Duration::from_secs(20);

/// A target: it answers what it is told to, counts, dies and comes back.
struct Backend {
    port: u16,
    told: Arc<Told>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Told {
    status: AtomicU16,
    /// The status of checks.
    health: AtomicU16,
    hits: AtomicUsize,
    checks: AtomicUsize,
}

impl Backend {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let told = Arc::new(Told { status: 200.into(), health: 200.into(), ..Told::default() });
        let serving = tokio::spawn(serve(listener, Arc::clone(&told)));
        Self { port, told, serving }
    }

    /// Hangs up on everybody, and listens no longer.
    async fn die(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }

    async fn come_back(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.expect("its port");
        self.serving = tokio::spawn(serve(listener, Arc::clone(&self.told)));
    }

    fn answers(&self, status: u16) {
        self.told.status.store(status, Ordering::SeqCst);
    }

    fn hits(&self) -> usize {
        self.told.hits.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, told: Arc<Told>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, Arc::clone(&told)));
    }
}

async fn answer(mut stream: TcpStream, told: Arc<Told>) {
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let (count, status) = if head.starts_with(b"GET /healthz ") {
            (&told.checks, &told.health)
        } else {
            (&told.hits, &told.status)
        };
        count.fetch_add(1, Ordering::SeqCst);
        let status = status.load(Ordering::SeqCst);
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        head.clear();
    }
}

struct Plain;

impl Gateway for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }
}

/// A gateway in front of these targets; `more` are further keys of the service.
fn in_front_of(backends: &[Backend], more: &str) -> GatewayUnderTest {
    let targets: Vec<String> = backends
        .iter()
        .map(|backend| format!("{{ url = \"http://127.0.0.1:{}\" }}", backend.port))
        .collect();
    let toml = format!(
        "[gateway]\nname = \"plain\"\nexpose = [\"*\"]\n\
         [limits.all]\nkey = \"address\"\nrate = \"100000/s\"\n\
         [policy]\nlimits = [\"all\"]\n\
         [routes.all]\nmatch = \"GET /{{*rest}}\"\nservice = \"links\"\npublic = \"a test\"\n\
         [services.links]\ntargets = [{}]\n{more}",
        targets.join(", ")
    );
    GatewayUnderTest::of_text(&Plain, &toml)
}

async fn backends<const N: usize>() -> [Backend; N] {
    let all = futures::future::join_all((0..N).map(|_| Backend::start())).await;
    all.try_into().unwrap_or_else(|_| panic!("as many as asked for"))
}

/// The statuses of so many requests, one after the other, that are not 200.
async fn failures(gateway: &GatewayUnderTest, count: usize) -> Vec<u16> {
    let mut failures = Vec::new();
    for _ in 0..count {
        let answer = gateway.get("/links").send().await.expect("an answer");
        failures.extend(Some(answer.status().as_u16()).filter(|&status| status != 200));
    }
    failures
}

async fn states(gateway: &GatewayUnderTest) -> Vec<Value> {
    let answer = reqwest::get(format!("{}/targets", gateway.admin)).await.expect("an answer");
    let page = json_of(answer).await;
    page["services"][0]["targets"].as_array().expect("targets").clone()
}

/// Makes requests until `is_so` holds.
async fn until(gateway: &GatewayUnderTest, is_so: impl Fn(&[Value]) -> bool) {
    let so = async {
        while !is_so(&states(gateway).await) {
            let _ = gateway.get("/links").send().await;
        }
    };
    timeout(PATIENCE, so).await.expect("in time");
}

#[tokio::test]
async fn requests_go_to_all_targets_by_their_weights() {
    let all = backends::<3>().await;
    let targets = format!(
        "targets = [{{ url = \"http://127.0.0.1:{}\", weight = 3 }}, \
         {{ url = \"http://127.0.0.1:{}\" }}]\nbalance = \"round_robin\"\n",
        all[0].port, all[1].port
    );
    let toml = format!(
        "[gateway]\nname = \"plain\"\nexpose = [\"*\"]\n\
         [limits.all]\nkey = \"address\"\nrate = \"100000/s\"\n[policy]\nlimits = [\"all\"]\n\
         [routes.all]\nmatch = \"GET /{{*rest}}\"\nservice = \"links\"\npublic = \"a test\"\n\
         [services.links]\nurl = \"http://127.0.0.1:{}\"\n{targets}",
        all[2].port
    );
    let gateway = GatewayUnderTest::of_text(&Plain, &toml);
    assert!(failures(&gateway, 40).await.is_empty());
    let hits = all.each_ref().map(Backend::hits);
    assert_eq!(hits, [30, 10, 0], "`targets` stand in for `url`");
}

#[tokio::test]
async fn one_of_three_targets_dies_and_clients_see_as_many_failures_as_eject_it_and_no_more() {
    let mut all = backends::<3>().await;
    let gateway = in_front_of(&all, "[services.links.ejection]\nconsecutive_failures = 4\n");
    assert!(failures(&gateway, 60).await.is_empty());
    assert!(all.iter().all(|backend| backend.hits() > 0), "all three take part");
    all[1].die().await;
    let failed = failures(&gateway, 200).await;
    assert!(failed.len() <= 4 && failed.iter().all(|&status| status == 502), "{failed:?}");
    let states = states(&gateway).await;
    assert_eq!(states[1]["is_ejected"], true, "{states:?}");
    assert_eq!(states[1]["breaker"], "closed", "{states:?}");
    assert!(states[1]["ejected_for_ms"].as_u64().is_some_and(|left| left > 0), "{states:?}");
    let metrics = gateway.metrics().await;
    let port = all[1].port;
    for line in [
        format!(
            "gateway_target_events_total{{service=\"links\",target=\"127.0.0.1:{port}\",event=\"ejected\"}} 1\n"
        ),
        format!("gateway_target_takes_calls{{service=\"links\",target=\"127.0.0.1:{port}\"}} 0\n"),
        format!("gateway_target_breaker{{service=\"links\",target=\"127.0.0.1:{port}\"}} 0\n"),
    ] {
        assert!(metrics.contains(&line), "{line} is missing in\n{metrics}");
    }
}

#[tokio::test]
async fn a_target_that_comes_back_is_tried_and_then_takes_its_share_again() {
    let mut all = backends::<2>().await;
    let more = "[services.links.ejection]\nconsecutive_failures = 1\ntime = \"50ms\"\n\
                time_max = \"50ms\"\n[services.links.breaker]\nenabled = false\n";
    let gateway = in_front_of(&all, more);
    all[0].die().await;
    until(&gateway, |states| states[0]["is_ejected"] == true).await;
    all[0].come_back().await;
    until(&gateway, |states| states[0]["is_ejected"] == false).await;
    let before = all[0].hits();
    assert!(failures(&gateway, 100).await.is_empty());
    assert!(all[0].hits() > before + 10, "{} of 100", all[0].hits() - before);
}

#[tokio::test]
async fn where_all_targets_are_dead_requests_are_refused_at_once() {
    let mut all = backends::<2>().await;
    let more = "[services.links.breaker]\nconsecutive_failures = 2\nopen_time = \"1h\"\n\
                open_time_max = \"1h\"\n";
    let gateway = in_front_of(&all, more);
    for backend in &mut all {
        backend.die().await;
    }
    // Two for each; then nobody is called.
    assert_eq!(failures(&gateway, 6).await, [502, 502, 502, 502, 503, 503]);
    let answer = gateway.get("/links").send().await.expect("an answer");
    let wait: u64 = field(&answer, "retry-after").parse().expect("seconds");
    assert!((3_590..=4_500).contains(&wait), "{wait}");
    let problem = json_of(answer).await;
    assert_eq!(problem["code"], "upstream_unavailable");
    let line = gateway.line_with(problem["request_id"].as_str().expect("an id")).await;
    assert_eq!(line["code"], "upstream_unavailable");
    assert_eq!(line["attempts"], 0, "nobody was called");
    let ready = reqwest::get(format!("{}/readyz", gateway.admin)).await.expect("an answer");
    assert_eq!(ready.status(), 200, "the gateway is as ready as before");
    assert_eq!(json_of(ready).await["targets"], json!({ "links": "0 of 2" }));
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("gateway_refusals_total{code=\"upstream_unavailable\"} 3\n"),
        "{metrics}"
    );
    for backend in &all {
        let labels = format!("service=\"links\",target=\"127.0.0.1:{}\"", backend.port);
        let opened =
            format!("gateway_target_events_total{{{labels},event=\"breaker_opened\"}} 1\n");
        assert!(metrics.contains(&opened), "{opened} is missing in\n{metrics}");
        assert!(metrics.contains(&format!("gateway_target_breaker{{{labels}}} 2\n")), "{metrics}");
    }
}

#[tokio::test]
async fn a_service_that_comes_back_is_probed_and_then_served_as_before() {
    let mut all = backends::<1>().await;
    let more = "[services.links.breaker]\nconsecutive_failures = 2\nopen_time = \"20ms\"\n\
                open_time_max = \"20ms\"\nprobes = 2\n";
    let gateway = in_front_of(&all, more);
    all[0].die().await;
    until(&gateway, |states| states[0]["breaker"] == "open").await;
    all[0].come_back().await;
    until(&gateway, |states| states[0]["breaker"] == "closed").await;
    assert!(failures(&gateway, 50).await.is_empty());
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("event=\"breaker_closed\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_target_that_fails_its_checks_takes_no_calls_until_it_passes_them() {
    let all = backends::<2>().await;
    let more = "[services.links.health]\npath = \"/healthz\"\ninterval = \"20ms\"\n\
                unhealthy_after = 2\nhealthy_after = 2\nstatus = 204\n";
    all.iter().for_each(|backend| backend.told.health.store(204, Ordering::SeqCst));
    let gateway = in_front_of(&all, more);
    // Any status but the one that is due.
    all[0].told.health.store(200, Ordering::SeqCst);
    until(&gateway, |states| states[0]["health"] == "unhealthy").await;
    let before = all[0].hits();
    assert!(failures(&gateway, 50).await.is_empty());
    assert_eq!(all[0].hits(), before);
    all[0].told.health.store(204, Ordering::SeqCst);
    until(&gateway, |states| states[0]["health"] == "healthy").await;
    assert!(failures(&gateway, 100).await.is_empty());
    assert!(all[0].hits() > before + 10);
    assert!(all.iter().all(|backend| backend.told.checks.load(Ordering::SeqCst) > 3));
}

#[tokio::test]
async fn a_target_that_answers_5xx_is_passed_over_and_its_answers_come_through_until_then() {
    let all = backends::<2>().await;
    let gateway = in_front_of(&all, "balance = \"round_robin\"\n");
    all[0].answers(500);
    assert_eq!(failures(&gateway, 100).await, [500; 5]);
    assert_eq!((all[0].hits(), all[1].hits()), (5, 95));
}

#[tokio::test]
async fn behind_a_mesh_every_request_is_sent_whatever_became_of_the_last_ones() {
    let mut all = backends::<1>().await;
    let gateway = in_front_of(&all, "mesh = true\n");
    all[0].die().await;
    assert_eq!(failures(&gateway, 50).await, [502; 50]);
    let states = states(&gateway).await;
    assert_eq!((&states[0]["breaker"], &states[0]["is_ejected"]), (&json!("off"), &json!(false)));
}

#[tokio::test]
async fn a_part_whose_service_is_refused_by_its_breaker_is_unavailable() {
    let layer = "[services.billing-service.breaker]\nconsecutive_failures = 2\nopen_time = \"1h\"\n\
                 open_time_max = \"1h\"\n";
    let harness =
        Harness::builder().without(Service::Billing).layer("web-bff", layer).start().await;
    let called = || {
        let others = Service::ALL.into_iter().filter(|service| *service != Service::Billing);
        others.map(|service| harness.calls(service)).sum::<usize>()
    };
    let mut calls = called();
    for expected in ["o=fallback;r=refused", "o=fallback;r=refused", "o=fallback;r=unavailable"] {
        let answer = harness.web_get("/api/dashboard").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(part_status(&answer, "usage"), expected);
        // A part that its breaker refuses calls nobody.
        let line = harness.web.line_with(&field(&answer, "x-request-id")).await;
        let services = line["upstream_service"].as_str().expect("services");
        let is_refused = expected.ends_with("unavailable");
        assert_eq!(services.contains("billing-service"), !is_refused, "{line}");
        let (before, refused) = (calls, usize::from(is_refused));
        calls = called();
        assert_eq!(line["attempts"], json!(calls - before + 1 - refused), "{line}");
    }
}

#[tokio::test]
async fn who_waits_for_a_connection_in_the_gateway_s_own_line_speaks_against_no_target() {
    let layer = "[services.link-service]\nconnections_max = 1\n\
                 [services.link-service.breaker]\nconsecutive_failures = 1\nopen_time = \"1h\"\n\
                 open_time_max = \"1h\"\n\
                 [routes.links-get]\ndeadline = \"200ms\"\n\
                 [routes.links-create]\ndeadline = \"200ms\"\n\
                 [routes.links-get.retry]\nattempts_max = 3\nper_try_timeout = \"120ms\"\n\
                 [aggregates.dashboard.parts.links]\ndeadline = \"120ms\"\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    harness.fault(Service::Link, r#"{"next":1,"path":"/links","hold":true}"#);
    let meanwhile = async {
        harness.until_called(Service::Link, 0).await;
        for _ in 0..3 {
            let busy = harness.mobile_get("/links/x7Kp2").await;
            assert_eq!(json_of(busy).await["code"], "upstream_busy");
            let answer = harness.mobile_get("/dashboard").await;
            assert!(part_status(&answer, "links").contains("r=busy"));
        }
        let upload = harness.mobile.post("/links").bearer_auth(&harness.token);
        let busy = upload.json_body(&json!({})).send().await.expect("an answer");
        let line = harness.mobile.line_with(&field(&busy, "x-request-id")).await;
        assert_eq!((&line["code"], &line["attempts"]), (&json!("upstream_busy"), &json!(0)));
        assert_eq!(harness.calls(Service::Link), 1, "nothing of them has reached it");
        harness.release(Service::Link);
    };
    let (held, ()) = tokio::join!(harness.mobile_get("/links"), meanwhile);
    assert_eq!(held.status(), 200);
    assert_eq!(harness.mobile_get("/links/x7Kp2").await.status(), 200, "its breaker is closed");
    let metrics = harness.mobile.metrics().await;
    assert!(!metrics.contains("gateway_retries_total{"), "{metrics}");
}

/// One connection to the link service, for which calls may wait as long as they like.
const NARROW: &str = "[upstream]\ntime_left_header = \"X-Time-Left-Ms\"\npending_timeout = \"20s\"\n\
                      [services.link-service]\nconnections_max = 1\n\
                      [routes.links-get]\ndeadline = \"20s\"\n\
                      [routes.links-create]\ndeadline = \"20s\"\n";

/// A request that waits in the gateway's own line, of 20 seconds, until 3 of them have passed.
async fn after_a_wait(method: &str, path: &str, body: Option<Value>) -> SeenRequest {
    let builder = Harness::builder().layer("mobile-bff", NARROW);
    let harness = builder.manual_clock().start().await;
    harness.fault(Service::Link, r#"{"next":1,"path":"/links","hold":true}"#);
    let waiting = async {
        harness.until_called(Service::Link, 0).await;
        let request = harness.mobile.request(method, path).bearer_auth(&harness.token);
        match &body {
            Some(body) => request.json_body(body).send().await,
            None => request.send().await,
        }
    };
    let meanwhile = async {
        until_in_line(&harness.mobile, 1).await;
        harness.advance(Duration::from_secs(3));
        harness.release(Service::Link);
    };
    let (_, answer, ()) = tokio::join!(harness.mobile_get("/links"), waiting, meanwhile);
    assert!(answer.expect("an answer").status().is_success(), "{method}");
    harness.last_request(Service::Link)
}

#[tokio::test]
async fn what_has_waited_in_the_gateway_s_own_line_says_what_is_so_when_it_is_sent() {
    let link = json!({ "target_url": "https://example.com/" });
    for (method, path, body) in [("GET", "/links/x7Kp2", None), ("POST", "/links", Some(link))] {
        let seen = after_a_wait(method, path, body).await;
        assert_eq!(seen.header("x-time-left-ms"), Some("17000"), "{method}");
        let assertion = seen.header("x-gateway-assertion").expect("an assertion");
        let payload = assertion.split('.').nth(1).expect("a payload");
        let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64");
        let claims: Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(claims["iat"], 1_790_000_003, "{method}");
    }
}

/// Waits until so many calls are in a gateway's own line.
async fn until_in_line(gateway: &GatewayUnderTest, count: u64) {
    let so = async {
        loop {
            let answer = reqwest::get(format!("{}/targets", gateway.admin)).await;
            let page = json_of(answer.expect("an answer")).await;
            let services = page["services"].as_array().expect("services").iter();
            let targets = services.filter_map(|service| service["targets"].as_array()).flatten();
            if targets.filter_map(|target| target["pending"].as_u64()).sum::<u64>() == count {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, so).await.expect("in line");
}

#[tokio::test]
async fn a_retry_goes_to_another_target() {
    let all = backends::<2>().await;
    all[0].answers(503);
    let more = "balance = \"round_robin\"\n\
                [upstream.breaker]\nenabled = false\n[upstream.ejection]\nenabled = false\n\
                [policy.retry]\nattempts_max = 2\nbackoff_base = \"0ms\"\n\
                [policy.retry_budget]\npercent = 100\nfloor = \"10/s\"\n";
    let gateway = in_front_of(&all, more);
    assert_eq!(failures(&gateway, 10).await, Vec::<u16>::new());
    assert!(all[0].hits() > 0, "it has its turns");
    assert_eq!(all[1].hits(), 10, "whoever met the other one came here next");
}

#[test]
fn check_says_how_often_a_call_may_be_attempted_and_explain_how_it_is_balanced() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["platform.toml", "mobile-bff.toml"] {
        let from = repository().join("config").join(name);
        std::fs::copy(from, folder.path().join(name)).expect("copied");
    }
    let more = "[services.link-service]\ntargets = [{ url = \"http://a\" }, { url = \"http://b\" }]\n\
                [services.user-service]\nmesh = true\n";
    std::fs::create_dir(folder.path().join("platform.d")).expect("made");
    std::fs::write(folder.path().join("platform.d/50.toml"), more).expect("written");
    let said = |arguments: &[&str]| {
        let config = ["--config", folder.path().to_str().expect("UTF-8")];
        let output = run("mobile-bff", &[&config, arguments].concat(), &VARIABLES);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let checked = said(&["check"]);
    let lines: Vec<&str> = checked.lines().filter(|line| line.starts_with("# ")).collect();
    for service in ["# link-service: ", "# user-service: "] {
        assert!(lines.iter().any(|line| line.starts_with(service)), "{lines:?}");
    }
    let user = lines.iter().find(|line| line.starts_with("# user-service: ")).expect("a line");
    assert_eq!(**user, *"# user-service: 1, and what the mesh's sidecar makes of each");
    let explained = said(&["explain", "GET", "/links/x7Kp2"]);
    assert!(explained.contains("to link-service, 2 targets, least_request\n"), "{explained}");
}
