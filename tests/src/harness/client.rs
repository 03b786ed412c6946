//! A client that sends what a test says, and nothing of its own.

use serde_json::Value;

/// A request that is being built; reqwest's own, with JSON bodies.
pub type Request = reqwest::RequestBuilder;

/// JSON bodies without reqwest's feature for them.
pub trait JsonBody {
    /// Sets a JSON body.
    #[must_use]
    fn json_body(self, body: &Value) -> Self;
}

impl JsonBody for Request {
    fn json_body(self, body: &Value) -> Self {
        self.header("Content-Type", "application/json").body(body.to_string())
    }
}

pub(super) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}

/// An answer's body as JSON.
pub async fn json_of(answer: reqwest::Response) -> Value {
    let status = answer.status();
    let body = answer.bytes().await.expect("a body");
    serde_json::from_slice(&body)
        .unwrap_or_else(|error| panic!("{status}: {error}: {}", String::from_utf8_lossy(&body)))
}
