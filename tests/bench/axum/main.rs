//! A peer of the benchmark: what a team writes by hand with axum, reqwest and `serde_json::Value`.
//!
//! `naive_bff 127.0.0.1:3000 profile=http://127.0.0.1:8080/profile …` calls every part at once and
//! answers one object. It checks no caller and writes no access line. One thread, for it has one
//! processor.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

struct Parts {
    client: reqwest::Client,
    /// Name and URL.
    named: Vec<(String, String)>,
}

impl Parts {
    async fn read(&self, url: &str) -> Result<Value> {
        let answer = self.client.get(url).send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}

async fn answer(State(parts): State<Arc<Parts>>) -> Result<Json<Value>, StatusCode> {
    let reads = parts.named.iter().map(|(_, url)| parts.read(url));
    let values = futures::future::try_join_all(reads).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let names = parts.named.iter().map(|(name, _)| name.clone());
    Ok(Json(Value::Object(names.zip(values).collect::<Map<_, _>>())))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().context("where does it listen?")?;
    let named = arguments.map(|part| {
        let (name, url) = part.split_once('=').context("a part is name=URL")?;
        Ok((name.to_owned(), url.to_owned()))
    });
    let parts = Parts {
        client: reqwest::Client::builder().no_proxy().build()?,
        named: named.collect::<Result<_>>()?,
    };
    let listener = TcpListener::bind(listen).await?.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    let router = Router::new().route("/answer", get(answer)).with_state(Arc::new(parts));
    Ok(axum::serve(listener, router).await?)
}
