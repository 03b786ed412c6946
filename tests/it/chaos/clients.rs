//! The clients: who calls what, and what came of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tests::harness::{COOKIE, Harness, Request, client, field, json_of};
use tokio::task::JoinSet;
use tokio::time::timeout;

const COUNT: usize = 12;

/// The deadline of every route, and what a machine that does much else may take on top.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2 + 28);

/// A client that is sent more than this has seen enough, and leaves.
const ENOUGH: usize = 256 * 1024;

const LINK: &str = r#"{"target_url":"https://www.example.com/chaos","title":"Chaos"}"#;

/// A request that somebody makes.
#[derive(Debug, Clone)]
pub(super) struct Call {
    gateway: &'static str,
    method: &'static str,
    url: String,
    accept: &'static str,
    credential: (&'static str, String),
    /// The status when all is well.
    success: u16,
    pub(super) is_aggregate: bool,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By its own end.
    Whole,
    /// Before it.
    BrokenOff,
    /// The client left.
    Left,
}

/// What came back.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) gateway: &'static str,
    pub(super) request: String,
    pub(super) request_id: String,
    pub(super) status: u16,
    pub(super) is_success: bool,
    pub(super) is_aggregate: bool,
    pub(super) end: End,
    /// What `Aggregate-Status` says.
    pub(super) parts: String,
    pub(super) body: String,
}

impl Answer {
    /// Whether nothing at all is missing.
    fn is_well(&self) -> bool {
        let is_complete =
            ["o=failed", "o=partial", "r=brownout"].iter().all(|what| !self.parts.contains(what));
        let is_reported =
            !self.request.ends_with("x-ndjson") || self.body.contains(r#""completeness":1"#);
        self.is_success && self.end == End::Whole && is_complete && is_reported
    }
}

/// Every request there is.
#[derive(Debug)]
pub(super) struct Requests(Vec<Call>);

impl Requests {
    /// Those of the browser, the app and three partners.
    pub(super) async fn of(harness: &Harness) -> Self {
        let mut calls = Vec::new();
        let mut add =
            |gateway: &'static str, (method, target): (_, String), accept, credential: &(_, _)| {
                calls.push(Call {
                    gateway,
                    method,
                    is_aggregate: target.ends_with("/dashboard"),
                    url: target,
                    accept,
                    credential: credential.clone(),
                    success: if method == "POST" { 201 } else { 200 },
                });
            };
        let web = ("cookie", format!("{COOKIE}={}", harness.session));
        let url = |path: &str| ("GET", format!("{}{path}", harness.web.url));
        for accept in ["application/json", "application/x-ndjson", "text/event-stream"] {
            add("web-bff", url("/api/dashboard"), accept, &web);
        }
        for path in ["/api/links/x7Kp2", "/api/billing/usage", "/api/analytics/summary"] {
            add("web-bff", url(path), "*/*", &web);
        }
        let mobile = ("authorization", format!("Bearer {}", harness.token));
        for path in ["/links/x7Kp2", "/links?limit=5", "/v2/links", "/dashboard", "/dashboard"] {
            add("mobile-bff", ("GET", format!("{}{path}", harness.mobile.url)), "*/*", &mobile);
        }
        for path in ["/analytics/links/x7Kp2", "/billing/usage", "/devices/push-tokens"] {
            add("mobile-bff", ("GET", format!("{}{path}", harness.mobile.url)), "*/*", &mobile);
        }
        for tier in ["free", "pro", "partner"] {
            let partner = ("authorization", format!("Bearer {}", harness.key(tier)));
            let links = json_of(harness.partner_get("/v1/links?limit=1", tier).await).await;
            let id = links["items"][0]["id"].as_str().expect("a link").to_owned();
            let own = [format!("/v1/links/{id}"), format!("/v1/analytics/links/{id}")];
            let common = ["/v1/links", "/v1/billing/usage", "/v1/webhooks/endpoints"];
            for path in own.into_iter().chain(common.map(str::to_owned)) {
                let url = format!("{}{path}", harness.partner.url);
                add("partner-gateway", ("GET", url), "*/*", &partner);
            }
            let url = format!("{}/v1/links", harness.partner.url);
            add("partner-gateway", ("POST", url), "*/*", &partner);
        }
        Self(calls)
    }

    pub(super) fn all(&self) -> Vec<&Call> {
        self.0.iter().collect()
    }

    /// Those that use up no limit.
    pub(super) fn reads(&self) -> Vec<&Call> {
        self.0.iter().filter(|call| call.method == "GET").collect()
    }
}

impl Call {
    fn request(&self, client: &reqwest::Client) -> Request {
        let method = self.method.parse().expect("a method");
        let request = client.request(method, &self.url).header("accept", self.accept);
        let request = request.header("x-csrf", "1").header(self.credential.0, &self.credential.1);
        match self.method {
            "POST" => request.header("content-type", "application/json").body(LINK),
            _ => request,
        }
    }

    /// Makes it, and reads the answer to its end; an error says how there was none.
    async fn make(&self, client: &reqwest::Client) -> Result<Answer, String> {
        let request = format!("{} {} {}", self.method, self.url, self.accept);
        let answered = timeout(ANSWER_TIMEOUT, async {
            let mut answer = self.request(client).send().await?;
            let (mut body, mut end) = (Vec::new(), End::Whole);
            loop {
                match answer.chunk().await {
                    Ok(Some(_)) if body.len() > ENOUGH => end = End::Left,
                    Ok(Some(piece)) => {
                        body.extend_from_slice(&piece);
                        continue;
                    }
                    Ok(None) => {}
                    Err(_) => end = End::BrokenOff,
                }
                break;
            }
            Ok::<_, reqwest::Error>((answer, body, end))
        });
        let (answer, body, end) = match answered.await {
            Ok(answered) => answered.map_err(|error| format!("no answer: {request}: {error:?}"))?,
            Err(_) => return Err(format!("no end: {request}")),
        };
        Ok(Answer {
            gateway: self.gateway,
            request,
            request_id: field(&answer, "x-request-id"),
            status: answer.status().as_u16(),
            is_success: answer.status().is_success(),
            is_aggregate: self.is_aggregate,
            end,
            parts: field(&answer, "aggregate-status"),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }
}

/// Makes each of these requests once, and leaves those that are not answered well; says how.
pub(super) async fn leave_ill(calls: &mut Vec<&Call>) -> Vec<String> {
    let client = client();
    let (mut ill, mut said) = (Vec::new(), Vec::new());
    for call in calls.drain(..) {
        let answer = call.make(&client).await;
        let is_well = |answer: &Answer| answer.status == call.success && answer.is_well();
        if !answer.as_ref().is_ok_and(is_well) {
            ill.push(call);
            said.push(format!("{answer:?}"));
        }
    }
    *calls = ill;
    said
}

/// The clients at work.
#[derive(Debug)]
pub(super) struct Clients {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    stops: AtomicBool,
    answers: Mutex<Vec<Answer>>,
    unanswered: Mutex<Vec<String>>,
}

impl Clients {
    /// Starts them: each with connections of its own, and one request at a time.
    pub(super) fn start(requests: &Requests, seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        for number in 0..COUNT {
            let gateways = ["web-bff", "mobile-bff", "partner-gateway"];
            let gateway = gateways[number % gateways.len()];
            let calls = requests.0.iter().filter(|call| call.gateway == gateway).cloned();
            let random = StdRng::seed_from_u64(seed.wrapping_add(1 + number as u64));
            tasks.spawn(Arc::clone(&shared).work(calls.collect(), random));
        }
        Self { shared, tasks }
    }

    /// How many answers there are so far.
    pub(super) fn answers(&self) -> usize {
        self.shared.answers.lock().expect("no panic").len()
    }

    /// Ends them in order; all answers. Each request must have had one.
    pub(super) async fn stop(mut self) -> Vec<Answer> {
        self.shared.stops.store(true, Ordering::SeqCst);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("no panic");
        }
        let unanswered = self.shared.unanswered.lock().expect("no panic").clone();
        assert!(unanswered.is_empty(), "{unanswered:#?}");
        std::mem::take(&mut *self.shared.answers.lock().expect("no panic"))
    }
}

impl Shared {
    async fn work(self: Arc<Self>, calls: Vec<Call>, mut random: StdRng) {
        let client = client();
        while !self.stops.load(Ordering::SeqCst) {
            let call = &calls[random.random_range(0..calls.len())];
            let pause = Duration::from_millis(random.random_range(0..10));
            if random.random_range(0..10) == 0 {
                // Some do not wait for their answer, or for its end.
                let patience = Duration::from_millis(random.random_range(1..200));
                let _ = timeout(patience, call.make(&client)).await;
            } else {
                match call.make(&client).await {
                    Ok(mut answer) => {
                        answer.forget_what_is_of_no_use();
                        self.answers.lock().expect("no panic").push(answer);
                    }
                    Err(error) => self.unanswered.lock().expect("no panic").push(error),
                }
            }
            // Not all of the machine is for refusals.
            tokio::time::sleep(pause).await;
        }
    }
}

impl Answer {
    /// Of a body, what explains a failure: a problem, and the last frame of an answer in parts.
    fn forget_what_is_of_no_use(&mut self) {
        if self.is_success {
            let is_in_parts = self.request.ends_with("x-ndjson") && self.end == End::Whole;
            let last = if is_in_parts { self.body.lines().next_back() } else { None };
            self.body = last.unwrap_or_default().to_owned();
        }
    }

    /// The body as JSON; null where it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// How many answers there were of each status.
pub(super) fn said(answers: &[Answer]) -> String {
    let mut counts = BTreeMap::<_, usize>::new();
    for answer in answers {
        *counts.entry((answer.gateway, answer.status)).or_default() += 1;
    }
    let ends = answers.iter().filter(|answer| answer.end != End::Whole).count();
    format!("{} answers, {ends} of them not to their end: {counts:?}", answers.len())
}
