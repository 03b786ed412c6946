//! What every request passes first: it is written down, may meet a fault, and must prove that it
//! came through a gateway.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use gateway_core::assertion::{AssertionRefused, Verified, Verifier};
use gateway_core::clock::Clock;
use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::unfinished::Tally;
use super::{Caller, Fault, Service, Settings};

/// The header in which gateways send the assertion.
const ASSERTION: &str = "x-gateway-assertion";

/// A request as it arrived, before anything was judged.
#[derive(Debug, Clone)]
pub struct SeenRequest {
    /// The method.
    pub method: String,
    /// The path, as received.
    pub path: String,
    /// The query, as received; empty without one.
    pub query: String,
    /// Path and query, as received.
    pub target: String,
    /// The header fields.
    pub headers: Vec<(String, String)>,
}

impl SeenRequest {
    /// The first field of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The front of one service.
#[derive(Debug)]
pub(super) struct Front {
    service: Service,
    verifier: Verifier,
    clock: Clock,
    logs_to_stdout: bool,
    takes_faults: bool,
    seen: Mutex<Vec<SeenRequest>>,
    lines: Mutex<Vec<Value>>,
    faults: Mutex<Vec<Fault>>,
    calls: watch::Sender<usize>,
    is_released: watch::Sender<bool>,
    is_paused: watch::Sender<bool>,
    connections: Arc<AtomicUsize>,
    tally: Arc<Tally>,
}

/// A connection that is counted.
pub(super) struct Connection(Arc<AtomicUsize>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A fault that breaks the connection.
#[derive(Debug, thiserror::Error)]
#[error("a fault breaks the connection")]
pub(super) struct Broken;

impl Front {
    pub(super) fn new(service: Service, verifier: Verifier, settings: &Settings) -> Self {
        Self {
            service,
            verifier,
            clock: settings.clock.clone(),
            logs_to_stdout: settings.logs_to_stdout,
            takes_faults: settings.takes_faults,
            seen: Mutex::default(),
            lines: Mutex::default(),
            faults: Mutex::default(),
            calls: watch::Sender::new(0),
            is_released: watch::Sender::new(false),
            is_paused: watch::Sender::new(false),
            connections: Arc::default(),
            tally: Tally::new(),
        }
    }

    pub(super) fn calls(&self) -> usize {
        *self.calls.borrow()
    }

    pub(super) fn calls_of(&self, path: &str) -> usize {
        lock(&self.seen).iter().filter(|request| request.path == path).count()
    }

    pub(super) fn last_request(&self) -> Option<SeenRequest> {
        lock(&self.seen).iter().rev().find(|request| is_call(&request.path)).cloned()
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        lock(&self.lines).clone()
    }

    pub(super) fn fault(&self, fault: Fault) {
        lock(&self.faults).push(fault);
    }

    /// Faults that nobody has met yet are forgotten.
    pub(super) fn heal(&self) {
        lock(&self.faults).clear();
    }

    pub(super) async fn called_since(&self, before: usize) {
        let _ = self.calls.subscribe().wait_for(|calls| *calls > before).await;
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Whoever a fault holds back is answered from now on.
    pub(super) fn release(&self) {
        self.is_released.send_replace(true);
    }

    /// Nobody is answered while it is paused.
    pub(super) fn pause(&self, is_paused: bool) {
        self.is_paused.send_replace(is_paused);
    }

    /// Connections there are now.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// One more connection, until it is dropped.
    pub(super) fn connect(&self) -> Connection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connection(Arc::clone(&self.connections))
    }

    pub(super) async fn serve(
        &self,
        router: Router,
        request: Request<Incoming>,
    ) -> Result<Response, Broken> {
        let seen = seen(&request);
        let has_body = request.method() != Method::HEAD;
        self.note(&seen);
        let call = self.tally.begin();
        let _ = self.is_paused.subscribe().wait_for(|is_paused| !is_paused).await;
        let answered = self.answer(router, request, &seen).await;
        let Ok((mut response, user_id)) = answered else {
            call.end();
            return Err(Broken);
        };
        self.write_line(&seen, response.status(), user_id.as_deref());
        leak(&mut response, seen.header("x-request-id"));
        if has_body {
            return Ok(call.send(response));
        }
        call.end();
        Ok(response)
    }

    async fn answer(
        &self,
        router: Router,
        request: Request<Incoming>,
        seen: &SeenRequest,
    ) -> Result<(Response, Option<String>), Broken> {
        if seen.path == "/health" {
            return Ok(("ok\n".into_response(), None));
        }
        if seen.path == "/faults" && self.takes_faults {
            return Ok((self.take_fault(request).await, None));
        }
        if let Some(fault) = self.due_fault(&seen.path) {
            if fault.hold {
                let _ = self.is_released.subscribe().wait_for(|is_released| *is_released).await;
            }
            if let Some(response) = misbehave(&fault).await? {
                return Ok((response, None));
            }
        }
        let mut request = request.map(Body::new);
        if needs_no_proof(self.service, &seen.path) {
            return Ok((run(router, request).await, None));
        }
        let caller = match self.caller(seen) {
            Ok(caller) => caller,
            Err(refused) => return Ok((refuse(refused), None)),
        };
        let user_id = caller.as_ref().map(|caller| caller.user_id.clone());
        request.extensions_mut().extend(extensions(caller));
        Ok((run(router, request).await, user_id))
    }

    /// Who asks, by the assertion; the headers must say the same.
    fn caller(&self, seen: &SeenRequest) -> Result<Option<Caller>, AssertionRefused> {
        let (assertion, now) = (seen.header(ASSERTION), self.clock.wall());
        let verified = self.verifier.verify(assertion, &seen.method, &seen.target, now)?;
        if verified.user_id.as_deref() != seen.header("x-user-id") {
            return Err(AssertionRefused::Request);
        }
        let Verified { user_id, role, tenant, tier, .. } = verified;
        Ok(user_id.map(|user_id| Caller { user_id, role, tenant, tier }))
    }

    fn note(&self, request: &SeenRequest) {
        lock(&self.seen).push(request.clone());
        if is_call(&request.path) {
            self.calls.send_modify(|calls| *calls += 1);
        }
    }

    fn due_fault(&self, path: &str) -> Option<Fault> {
        let mut faults = lock(&self.faults);
        let fault = faults.iter_mut().find(|fault| is_call(path) && fault.concerns(path))?;
        fault.next -= 1;
        let due = fault.clone();
        faults.retain(|fault| fault.next > 0);
        Some(due)
    }

    async fn take_fault(&self, request: Request<Incoming>) -> Response {
        let body = axum::body::to_bytes(Body::new(request.into_body()), 4_096).await;
        match body.ok().and_then(|body| serde_json::from_slice(&body).ok()) {
            Some(fault) => {
                self.fault(fault);
                StatusCode::NO_CONTENT.into_response()
            }
            None => StatusCode::BAD_REQUEST.into_response(),
        }
    }

    fn write_line(&self, seen: &SeenRequest, status: StatusCode, user_id: Option<&str>) {
        let line = json!({
            "service": self.service.name(),
            "request_id": seen.header("x-request-id"),
            "method": seen.method,
            "path": seen.path,
            "status": status.as_u16(),
            "user_id": user_id,
        });
        if self.logs_to_stdout {
            println!("{line}");
        } else {
            lock(&self.lines).push(line);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seen(request: &Request<Incoming>) -> SeenRequest {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = request.headers().iter();
    SeenRequest {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        target: request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers: fields.map(|(name, value)| (name.to_string(), text(value))).collect(),
    }
}

/// Probes, faults and keys are no calls of a client's.
fn is_call(path: &str) -> bool {
    !["/health", "/faults", "/.well-known/jwks.json"].contains(&path)
}

fn needs_no_proof(service: Service, path: &str) -> bool {
    service == Service::User && path == "/.well-known/jwks.json"
}

async fn run(router: Router, request: Request<Body>) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn extensions(caller: Option<Caller>) -> http::Extensions {
    let mut extensions = http::Extensions::new();
    if let Some(caller) = caller {
        extensions.insert(caller);
    }
    extensions
}

fn refuse(refused: AssertionRefused) -> Response {
    let code = match refused {
        AssertionRefused::Missing => "assertion_missing",
        _ => "assertion_invalid",
    };
    super::caller::problem(StatusCode::UNAUTHORIZED, code)
}

/// What a fault does instead of answering; `None` when it only takes its time.
async fn misbehave(fault: &Fault) -> Result<Option<Response>, Broken> {
    tokio::time::sleep(fault.delay()).await;
    if fault.reset {
        return Err(Broken);
    }
    if fault.hang {
        std::future::pending::<()>().await;
    }
    if fault.garbage {
        let json = [(header::CONTENT_TYPE, "application/json")];
        return Ok(Some((json, "<<<secret-upstream-detail").into_response()));
    }
    if fault.endless {
        let json = [(header::CONTENT_TYPE, "application/json")];
        let piece = Ok::<_, Infallible>(Bytes::from_static(&[b' '; 16 * 1024]));
        let body = Body::from_stream(futures::stream::repeat(piece).boxed());
        return Ok(Some((json, body).into_response()));
    }
    let Some(status) = fault.status.and_then(|status| StatusCode::from_u16(status).ok()) else {
        return Ok(None);
    };
    let mut response = (status, "secret-upstream-detail").into_response();
    if let Some(location) = fault.location.as_deref().and_then(|to| to.parse().ok()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(Some(response))
}

/// What services say of themselves when nobody stops them.
fn leak(response: &mut Response, request_id: Option<&str>) {
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("sample/1.0"));
    headers.insert(header::VIA, HeaderValue::from_static("1.1 internal"));
    headers.insert("x-powered-by", HeaderValue::from_static("axum"));
    headers.insert("x-internal-host", HeaderValue::from_static("10.0.0.7"));
    headers.insert("x-user-id", HeaderValue::from_static("leaked"));
    headers.insert(header::SET_COOKIE, HeaderValue::from_static("upstream=1; Path=/"));
    if let Some(request_id) = request_id.and_then(|id| id.parse().ok()) {
        headers.insert("x-request-id", request_id);
    }
}
