//! Gateways as processes: signals, drains, restarts, alone and behind a balancer.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::harness::{Harness, Load, json_of, program};
use tests::platform::Service;
use tests::verify::packages;
use tokio::task::JoinHandle;

use crate::split::WIDE;

/// How long a test waits for a process.
const PATIENCE: Duration = Duration::from_secs(10);

async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("{what}"))
}

/// One gateway's process. It is killed when it is dropped.
struct Instance {
    child: Child,
    log: PathBuf,
    address: String,
    admin: String,
}

impl Instance {
    /// Starts `mobile-bff` over the harness's platform. `name` names its files, `more` are further
    /// variables.
    async fn start(harness: &Harness, name: &str, more: &[(&str, &str)]) -> Self {
        let file = |ending: &str| harness.configuration().join(format!("{name}.{ending}"));
        let log = file("log");
        let mut command = Command::new(program("mobile-bff"));
        command.args(["serve", "--stop-with-parent", "--environment", "test", "--config"]);
        command.arg(harness.configuration()).env_clear().env("NO_COLOR", "1");
        command.envs(harness.variables()).envs(more.iter().copied());
        let lines = File::options().append(true).create(true).open(file("lines")).expect("a file");
        command.stdin(Stdio::null()).stdout(lines).stderr(File::create(&log).expect("a file"));
        let child = command.spawn().expect("started");
        let mut instance = Self { child, log, address: String::new(), admin: String::new() };
        instance.address = instance.said("address=").await;
        instance.admin = format!("http://{}", instance.said("admin=").await);
        until("it is ready", async || (instance.readyz(harness).await?.0 == 200).then_some(()))
            .await;
        instance
    }

    /// Starts it again, at the addresses it had.
    async fn start_again(&self, harness: &Harness, name: &str) -> Self {
        let admin = self.admin.trim_start_matches("http://");
        let addresses =
            [("GATEWAY__SERVER__LISTEN", &*self.address), ("GATEWAY__ADMIN__LISTEN", admin)];
        Self::start(harness, name, &addresses).await
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What stands in its log behind these words.
    async fn said(&self, words: &str) -> String {
        let found = async || {
            let log = self.log();
            let rest = log.split_once(words)?.1;
            rest.split_once(char::is_whitespace).map(|(value, _)| value.to_owned())
        };
        until(&format!("{words} in {}", self.log()), found).await
    }

    async fn readyz(&self, harness: &Harness) -> Option<(u16, Value)> {
        let answer = harness.client.get(format!("{}/readyz", self.admin)).send().await.ok()?;
        Some((answer.status().as_u16(), json_of(answer).await))
    }

    fn url(&self) -> String {
        format!("http://{}/links/x7Kp2", self.address)
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()));
    }

    async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        until("the process ends", async || child.try_wait().expect("a child")).await
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn sighup_reloads() {
    let harness = Harness::start().await;
    let instance = Instance::start(&harness, "one", &[]).await;
    harness
        .edit("platform.toml", |text| text.replace("API-Version = \"2\"", "API-Version = \"3\""));
    instance.signal("HUP");
    let reloaded = async || {
        let (status, ready) = instance.readyz(&harness).await?;
        assert_eq!(status, 200);
        (ready["configuration"]["last_reload"]["result"] == "success").then_some(())
    };
    until("the reload", reloaded).await;
    let url = format!("http://{}/v2/links", instance.address);
    let answer = harness.client.get(url).bearer_auth(&harness.token).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    assert_eq!(harness.last_request(Service::Link).header("x-api-version"), Some("3"));
}

#[tokio::test]
async fn sighup_opens_the_access_log_that_was_moved_away() {
    let harness = Harness::start().await;
    let [path, moved] =
        ["access.log", "access.log.1"].map(|name| harness.configuration().join(name));
    let log = [("GATEWAY__LOG__ACCESS", path.to_str().expect("UTF-8"))];
    let instance = Instance::start(&harness, "one", &log).await;
    let written = async |path: &Path| {
        let answer = harness.client.get(instance.url()).bearer_auth(&harness.token).send().await;
        assert_eq!(answer.expect("an answer").status(), 200);
        let line = async || std::fs::read_to_string(path).ok()?.contains("x7Kp2").then_some(());
        until(&format!("a line in {}", path.display()), line).await;
    };
    written(&path).await;
    std::fs::rename(&path, &moved).expect("moved");
    instance.signal("HUP");
    until("it is there again", async || path.exists().then_some(())).await;
    written(&path).await;
    assert_eq!(std::fs::read_to_string(&moved).expect("a file").lines().count(), 1);
}

#[tokio::test]
async fn a_reload_that_takes_its_time_keeps_no_signal_waiting() {
    let harness = Harness::start().await;
    let [path, platform, kept] = ["access.log", "platform.toml", "platform.kept"]
        .map(|name| harness.configuration().join(name));
    let log = [("GATEWAY__LOG__ACCESS", path.to_str().expect("UTF-8"))];
    let instance = Instance::start(&harness, "one", &log).await;
    // A pipe in place of the file: who reads it waits for whoever writes it.
    std::fs::rename(&platform, kept).expect("moved");
    assert!(Command::new("mkfifo").arg(&platform).status().is_ok_and(|status| status.success()));
    for number in 1..=2 {
        std::fs::rename(&path, path.with_extension(number.to_string())).expect("moved");
        instance.signal("HUP");
        until("it is there again", async || path.exists().then_some(())).await;
    }
}

#[tokio::test]
async fn sigterm_turns_readiness_off_before_the_door_closes_and_finishes_what_is_in_flight() {
    let harness = Harness::start().await;
    let delay = [("GATEWAY__SERVER__DRAIN_DELAY", "1s")];
    let mut instance = Instance::start(&harness, "one", &delay).await;
    harness.fault(Service::Link, r#"{"next":1,"hold":true}"#);
    let get = || harness.client.get(instance.url()).bearer_auth(&harness.token).send();
    let slow = tokio::spawn(get());
    harness.until_called(Service::Link, 0).await;
    instance.signal("TERM");
    until("it is not ready", async || (instance.readyz(&harness).await?.0 == 503).then_some(()))
        .await;
    // The balancer has not heard of it yet: the door is open, for new connections too.
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(instance.url()).bearer_auth(&harness.token).send().await;
    assert_eq!(answer.expect("the door is open").status(), 200);
    let refused = async || {
        let answer = reqwest::Client::builder().no_proxy().build().expect("a client");
        answer.get(instance.url()).send().await.is_err().then_some(())
    };
    until("the door closes", refused).await;
    assert_eq!(instance.readyz(&harness).await.map(|(status, _)| status), Some(503));
    harness.release(Service::Link);
    let answer = slow.await.expect("no panic").expect("what is in flight is answered");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["connection"], "close");
    assert_eq!(instance.ended().await.code(), Some(0), "{}", instance.log());
}

/// What a supervisor does whose hook has the process drain before it is sent its signal.
#[tokio::test]
async fn a_signal_after_post_drain_cuts_nothing() {
    let harness = Harness::start().await;
    let mut instance = Instance::start(&harness, "one", &[]).await;
    let slow = held(&harness, &instance).await;
    assert_eq!(drain(&harness, &instance).await, 202);
    instance.signal("TERM");
    instance.said("one more signal cuts").await;
    harness.release(Service::Link);
    assert_eq!(slow.await.expect("no panic").expect("an answer").status(), 200);
    assert_eq!(instance.ended().await.code(), Some(0), "{}", instance.log());
}

#[tokio::test]
async fn two_signals_hurry_whoever_began_the_drain() {
    let harness = Harness::start().await;
    let delay = [("GATEWAY__SERVER__DRAIN_DELAY", "1h")];
    for (name, is_drained) in [("drained", true), ("signalled", false)] {
        let mut instance = Instance::start(&harness, name, &delay).await;
        let slow = held(&harness, &instance).await;
        if is_drained {
            assert_eq!(drain(&harness, &instance).await, 202);
            let status = instance.readyz(&harness).await.map(|(status, _)| status);
            assert_eq!(status, Some(503));
            assert_eq!(drain(&harness, &instance).await, 202, "and once more changes nothing");
            instance.signal("TERM");
            instance.said("one more signal cuts").await;
        } else {
            instance.signal("TERM");
            let draining = async || (instance.readyz(&harness).await?.0 == 503).then_some(());
            until("it is not ready", draining).await;
        }
        assert!(instance.child.try_wait().expect("a child").is_none(), "it waits");
        instance.signal("INT");
        assert_eq!(instance.ended().await.code(), Some(0), "{}", instance.log());
        assert!(slow.await.expect("no panic").is_err(), "it was cut");
        let lines = harness.configuration().join(format!("{name}.lines"));
        let lines = std::fs::read_to_string(lines).expect("lines");
        assert!(lines.contains("client_disconnected"), "what was cut is written down: {lines}");
    }
}

/// A request in flight, which the service holds.
async fn held(
    harness: &Harness,
    instance: &Instance,
) -> JoinHandle<reqwest::Result<reqwest::Response>> {
    harness.fault(Service::Link, r#"{"next":1,"hold":true}"#);
    let before = harness.calls(Service::Link);
    let slow = harness.client.get(instance.url()).bearer_auth(&harness.token).send();
    let slow = tokio::spawn(slow);
    harness.until_called(Service::Link, before).await;
    slow
}

/// `POST /drain`: its status.
async fn drain(harness: &Harness, instance: &Instance) -> u16 {
    let answer = harness.client.post(format!("{}/drain", instance.admin)).send().await;
    answer.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_closed_route_is_no_warning_each_time_it_is_asked_for_and_a_service_that_is_down_is() {
    let layer = "[routes.links-list]\nmaintenance = { retry_after = \"90s\" }\n";
    let builder = Harness::builder().without(Service::Billing).layer("mobile-bff", layer);
    let harness = builder.start().await;
    let instance = Instance::start(&harness, "one", &[]).await;
    for (path, status) in
        [("/links", 503), ("/links", 503), ("/links", 503), ("/billing/usage", 502)]
    {
        let url = format!("http://{}{path}", instance.address);
        let answer = harness.client.get(url).bearer_auth(&harness.token).send().await;
        assert_eq!(answer.expect("an answer").status(), status, "{path}");
    }
    let levels_of = |code: &str| -> Vec<String> {
        let log = instance.log();
        let lines = log.lines().filter(|line| line.contains(&format!("code=\"{code}\"")));
        lines.map(|line| line.split_whitespace().nth(1).unwrap_or_default().to_owned()).collect()
    };
    let warned = async || (!levels_of("upstream_unreachable").is_empty()).then_some(());
    until("it is told of", warned).await;
    assert_eq!(levels_of("upstream_unreachable"), ["WARN"]);
    assert_eq!(levels_of("maintenance"), ["DEBUG"; 3]);
}

/// HAProxy in front of gateways: it asks each every 500 ms whether it is ready, and tries another
/// where no connection can be made. Nothing else is tried again.
///
/// An answer may take as long as it likes, and the balancer may be late twice for a connection: on a
/// busy machine it would take all gateways for dead otherwise. Who says no is believed the second
/// time, soon after the first.
struct Balancer {
    child: Child,
    url: String,
}

impl Balancer {
    fn start(directory: &Path, instances: &[Instance]) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let servers = instances.iter().enumerate().map(|(number, instance)| {
            let (address, admin) = (&instance.address, instance.admin.rsplit(':').next());
            let admin = admin.expect("a port");
            format!(
                "  server gateway-{number} {address} check port {admin} inter 500ms fastinter 50ms fall 2 rise 1\n"
            )
        });
        let configuration = format!(
            "defaults\n  mode http\n  timeout connect 5s\n  timeout check 5s\n  timeout client 20s\n  timeout server 20s\n  \
             retries 3\n  option redispatch 1\n  retry-on conn-failure\n\
             listen gateways\n  bind 127.0.0.1:{port}\n  balance roundrobin\n  option httpchk\n  \
             http-check send meth GET uri /readyz hdr Host localhost\n{}",
            servers.collect::<String>()
        );
        let path = directory.join("haproxy.cfg");
        std::fs::write(&path, configuration).expect("written");
        let log = File::create(directory.join("haproxy.log")).expect("a file");
        let mut command = packages::haproxy().expect("haproxy").command();
        command.arg("-db").arg("-f").arg(&path).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        let url = format!("http://127.0.0.1:{port}/links/x7Kp2");
        Self { child: command.spawn().expect("started"), url }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Clients of the test below: each has one request in flight.
const CLIENTS: usize = 6;

#[tokio::test]
async fn behind_a_balancer_a_drain_and_a_restart_fail_nothing_and_a_kill_only_what_was_in_flight() {
    let harness = Harness::builder().layer("mobile-bff", WIDE).start().await;
    let delay = [("GATEWAY__SERVER__DRAIN_DELAY", "1500ms")];
    let mut instances = Vec::new();
    for name in ["drained", "killed", "restarted"] {
        instances.push(Instance::start(&harness, name, &delay).await);
    }
    let balancer = Balancer::start(harness.configuration(), &instances);
    let (url, token) = (balancer.url.clone(), harness.token.clone());
    let up = async || {
        let answer = harness.client.get(&url).bearer_auth(&token).send().await.ok()?;
        (answer.status() == 200).then_some(())
    };
    until("the balancer is up", up).await;
    let load = Load::start(CLIENTS, move |client, _| client.get(&url).bearer_auth(&token));
    load.rounds(8).await;

    let drain = harness.client.post(format!("{}/drain", instances[0].admin)).send().await;
    assert_eq!(drain.expect("an answer").status(), 202);
    assert_eq!(instances[0].ended().await.code(), Some(0));
    load.rounds(8).await;

    instances[2].signal("TERM");
    assert_eq!(instances[2].ended().await.code(), Some(0));
    load.rounds(5).await;
    let served = served(&harness, "restarted");
    instances[2] = instances[2].start_again(&harness, "restarted").await;
    let again = async || (self::served(&harness, "restarted") > served).then_some(());
    until("it is called again", again).await;
    load.rounds(8).await;
    assert_eq!(load.failed(), Vec::<String>::new(), "neither a drain nor a restart fails anything");

    assert!(self::served(&harness, "killed") > 0);
    instances[1].signal("KILL");
    instances[1].ended().await;
    load.rounds(8).await;
    let failed = load.stop().await;
    assert!(failed.len() <= CLIENTS, "only what was in flight fails: {failed:#?}");
}

/// Requests that an instance has written down.
fn served(harness: &Harness, name: &str) -> usize {
    let lines = std::fs::read_to_string(harness.configuration().join(format!("{name}.lines")));
    lines.unwrap_or_default().lines().count()
}
