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

/// A client without cookies, proxies or redirects.
#[must_use]
pub fn client() -> reqwest::Client {
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

/// A header field of an answer; empty where there is none.
#[must_use]
pub fn field(answer: &reqwest::Response, name: &str) -> String {
    let value = answer.headers().get(name).map(|value| value.to_str().expect("ASCII"));
    value.unwrap_or_default().to_owned()
}

/// What `Aggregate-Status` says of a part, but for the time: `o=failed;r=timeout`.
#[must_use]
pub fn part_status(answer: &reqwest::Response, part: &str) -> String {
    let status = field(answer, "aggregate-status");
    let mut items = status.split(", ").filter_map(|item| item.split_once(';'));
    let (_, said) = items.find(|(name, _)| *name == part).unwrap_or_else(|| panic!("{status}"));
    said.split(";ms=").next().unwrap_or_default().to_owned()
}
