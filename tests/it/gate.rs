//! What is decided at the gate: who may pass, what is answered at once, where a request goes, what
//! its body must be.

mod addresses;
mod at_once;
mod body;
mod canary;
mod decide;
mod document;
mod require;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tests::harness::{Harness, json_of};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A service of a test's own: it answers what it is told to, and remembers what it was asked.
struct Stub {
    port: u16,
    state: Arc<Mutex<Told>>,
    _tasks: JoinSet<()>,
}

/// What a stub answers, and what it was asked.
struct Told {
    status: StatusCode,
    body: String,
    hangs: bool,
    asked: Vec<(HeaderMap, Bytes)>,
}

impl Stub {
    async fn start(body: &str) -> Self {
        let body = body.to_owned();
        let told = Told { status: StatusCode::OK, body, hangs: false, asked: Vec::new() };
        let state = Arc::new(Mutex::new(told));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self { port, state, _tasks: tasks }
    }

    fn section(&self, name: &str) -> String {
        format!("[services.{name}]\nurl = \"http://127.0.0.1:{}\"\n", self.port)
    }

    fn tell(&self, status: u16, body: &str) {
        let mut told = self.state.lock().expect("no panic");
        told.status = StatusCode::from_u16(status).expect("a status");
        told.body = body.to_owned();
    }

    fn hang(&self) {
        self.state.lock().expect("no panic").hangs = true;
    }

    fn asked(&self) -> Vec<(HeaderMap, Bytes)> {
        self.state.lock().expect("no panic").asked.clone()
    }
}

async fn answer(State(state): State<Arc<Mutex<Told>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    let (hangs, status, answer) = {
        let mut told = state.lock().expect("no panic");
        told.asked.push((head.headers, body));
        (told.hangs, told.status, told.body.clone())
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    (status, [("content-type", "application/json")], answer).into_response()
}

async fn get_as(harness: &Harness, path: &str, token: &str) -> (u16, Value) {
    let answer = harness.mobile.get(path).bearer_auth(token).send().await.expect("an answer");
    (answer.status().as_u16(), json_of(answer).await)
}
