//! One batch on its way: posted, and what came back sorted.
//!
//! Source: OTLP 1.x, "OTLP/HTTP Response". Redirects are not followed: they could lead a credential
//! to somebody else.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use reqwest::header::HeaderMap;
use reqwest::{Client, Response, Url, redirect};

use super::ExportSettings;
use super::encode::rejected_spans;

/// Longest answer that is read; a collector has little to say.
const ANSWER_SIZE_MAX: usize = 64 * 1024;

/// What came of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Posted {
    /// The collector has it.
    Taken {
        /// Spans that it does not want, and will not want a second time.
        rejected: u64,
    },
    /// It could not be delivered now.
    Unavailable {
        /// Why, for the log.
        reason: String,
        /// When to try again, where the collector says so.
        retry_after: Option<Duration>,
    },
    /// The collector does not take it, now or later.
    Refused(String),
}

/// Delivers batches.
pub(super) trait Post: Send + 'static {
    fn post(&self, request: Bytes) -> impl Future<Output = Posted> + Send;
}

/// Delivers them by HTTP.
#[derive(Debug)]
pub(super) struct HttpPost {
    client: Client,
    endpoint: Url,
    headers: HeaderMap,
}

impl HttpPost {
    pub(super) fn try_new(settings: &ExportSettings) -> Result<Self, reqwest::Error> {
        let builder = Client::builder()
            // The environment of a process must not decide where spans go.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(settings.timeout);
        let client = if settings.endpoint.scheme() == "http" {
            // Without TLS there is nothing to trust, and a machine may have no root certificates.
            builder.tls_certs_only([]).build()?
        } else {
            builder.https_only(true).build()?
        };
        let mut headers = settings.headers.clone();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/x-protobuf"),
        );
        Ok(Self { client, endpoint: settings.endpoint.clone(), headers })
    }
}

impl Post for HttpPost {
    async fn post(&self, request: Bytes) -> Posted {
        let request =
            self.client.post(self.endpoint.clone()).headers(self.headers.clone()).body(request);
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => return unreachable(error),
        };
        match answer.status() {
            StatusCode::OK => Posted::Taken { rejected: rejected_spans(&whole(answer).await) },
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Posted::Unavailable {
                reason: format!("the collector answers {}", answer.status()),
                retry_after: retry_after(&answer),
            },
            status => Posted::Refused(format!("the collector answers {status}")),
        }
    }
}

/// The URL is left out: its query may be a credential.
fn unreachable(error: reqwest::Error) -> Posted {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    let reason = format!("{error}{}", cause.unwrap_or_default());
    Posted::Unavailable { reason, retry_after: None }
}

/// `Retry-After` in seconds; a date counts as none, and the next try is soon enough.
fn retry_after(answer: &Response) -> Option<Duration> {
    let text = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// The answer's body; of one that is too long or breaks off, nothing: the spans were taken.
async fn whole(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        if body.len() + chunk.len() > ANSWER_SIZE_MAX {
            return Vec::new();
        }
        body.extend_from_slice(&chunk);
    }
    body
}
