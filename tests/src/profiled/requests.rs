//! What is asked of each gateway while it counts: what its consumers ask most, most often; now and
//! then what is refused.
//!
//! What nobody asks here is laid out as if nobody ever did. So it is the demo's platform with all
//! that it has, not what the benchmark measures.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Version};
use http_body_util::Full;
use serde_json::{Value, json};

use super::connection::{Connection, Protocol};
use crate::harness::unknown_key;

/// One request, and how it must be answered.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    method: Method,
    path: String,
    fields: Vec<(&'static str, String)>,
    body: Option<Value>,
    /// With this status, if not well.
    refused: Option<u16>,
    /// How often in each turn.
    pub(super) times: u32,
}

impl Asked {
    fn get(path: &str) -> Self {
        let (path, method) = (path.to_owned(), Method::GET);
        Self { method, path, fields: Vec::new(), body: None, refused: None, times: 1 }
    }

    fn post(path: &str, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    const fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    const fn refused(mut self, status: u16) -> Self {
        self.refused = Some(status);
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    fn shown_by(self, credential: &[(&'static str, String)]) -> Self {
        credential.iter().fold(self, |asked, (name, value)| asked.with(name, value))
    }

    /// The request as it is sent to `host:port`.
    fn request(&self, authority: &str, protocol: Protocol) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(self.method.clone());
        request = match protocol {
            Protocol::Http1 => request.uri(&self.path).header("Host", authority),
            Protocol::Http2 => {
                let uri = format!("http://{authority}{}", self.path);
                request.uri(uri).version(Version::HTTP_2)
            }
        };
        for (name, value) in &self.fields {
            request = request.header(*name, value);
        }
        let Some(body) = &self.body else { return Ok(request.body(Full::default())?) };
        let body = Full::from(body.to_string());
        Ok(request.header("Content-Type", "application/json").body(body)?)
    }

    /// Asks it, and sees that it is answered as it should be.
    pub(super) async fn ask(
        &self,
        connection: &mut Connection,
        authority: &str,
        protocol: Protocol,
    ) -> Result<(HeaderMap, Bytes)> {
        let request = self.request(authority, protocol)?;
        let (status, fields, body) = connection.ask(request).await?;
        if !self.refused.map_or(status.is_success(), |refused| status == refused) {
            let said = String::from_utf8_lossy(&body).into_owned();
            bail!("{} {} was answered {status}: {said}", self.method, self.path);
        }
        Ok((fields, body))
    }
}

/// What is asked of a gateway, by its section of what `cargo demo -- --json` says.
pub(super) fn of(section: &str, ready: &Value) -> Result<Vec<Asked>> {
    match section {
        "mobile" => Ok(mobile(text(&ready["mobile"]["access_token"])?)),
        "partner" => Ok(partner(text(&ready["partner"]["keys"]["pro"])?)),
        // Its credential is a session, which `logged_in` brings.
        "web" => Ok(web()),
        other => bail!("there is no gateway {other}"),
    }
}

/// The requests of a browser that has logged in on this connection; those of others as they are.
pub(super) async fn logged_in(
    section: &str,
    ready: &Value,
    asked: Vec<Asked>,
    connection: &mut Connection,
    (authority, protocol): (&str, Protocol),
) -> Result<Vec<Asked>> {
    if section != "web" {
        return Ok(asked);
    }
    let body = json!({ "email": ready["web"]["email"], "password": ready["web"]["password"] });
    let login = Asked::post("/auth/login", body).with("X-CSRF", "1");
    let (fields, _body) = login.ask(connection, authority, protocol).await?;
    let cookie = fields.get("set-cookie").context("a login without a cookie")?.to_str()?;
    let cookie = cookie.split(';').next().unwrap_or_default();
    let credential = [("Cookie", cookie.to_owned()), ("X-CSRF", "1".to_owned())];
    Ok(asked.into_iter().map(|asked| asked.shown_by(&credential)).collect())
}

fn mobile(token: &str) -> Vec<Asked> {
    let bearer = [("Authorization", format!("Bearer {token}"))];
    let link = json!({ "target_url": "https://example.com/" });
    let device = json!({
        "platform": "fcm", "installation_id": "my-phone", "token": "fcm-0123456789-ABCD",
    });
    let known = [
        Asked::get("/links/x7Kp2").times(12),
        Asked::get("/dashboard").times(6),
        Asked::get("/dashboard?fields=profile(name),usage"),
        Asked::get("/dashboard").with("Accept", "application/x-ndjson"),
        Asked::get("/analytics/links/x7Kp2").times(2),
        Asked::get("/billing/usage"),
        Asked::get("/v2/links?limit=2").times(2),
        Asked::post("/links", link),
        Asked::post("/devices/push-tokens", device),
        Asked::get("/devices/push-tokens"),
        Asked::get("/nothing").refused(404),
    ];
    let known = known.into_iter().map(|asked| asked.shown_by(&bearer));
    known.chain([Asked::get("/links/x7Kp2").refused(401)]).collect()
}

fn partner(key: &str) -> Vec<Asked> {
    let (bearer, own) = (format!("Bearer {key}"), "X-API-Key");
    vec![
        Asked::get("/v1/links?limit=2").with("Authorization", &bearer).times(8),
        Asked::get("/v1/links").with(own, key).times(4),
        Asked::get("/v1/billing/usage").with(own, key).times(2),
        Asked::get("/v1/webhooks/endpoints").with(own, key),
        Asked::get("/v1/links").with(own, &unknown_key()).refused(401),
    ]
}

fn web() -> Vec<Asked> {
    let dashboard = "/api/dashboard";
    vec![
        Asked::get("/api/links/x7Kp2").times(8),
        Asked::get(dashboard).times(6),
        Asked::get("/api/dashboard?limit=3&fields=links/items(title,clicks/total,owner/name)"),
        Asked::get(dashboard).with("Accept", "text/event-stream"),
        Asked::get("/api/links?limit=2").times(2),
        Asked::get("/bff/user").times(2),
        Asked::get("/"),
    ]
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("the demo says {value}, where a text should be"))
}
