//! The plain listener beside one with TLS: it sends clients to `https://`, and answers what an
//! ACME authority asks over plain HTTP (RFC 8555 §8.3).
//!
//! Nothing of the platform is reachable here. `GET` and `HEAD` get 301, everything else 308, with
//! which clients keep method and body (RFC 9110 §15.4.9); a body that was sent in the clear is not
//! read. The port is left out of the new place where it is 443.
//!
//! Challenges are answered from files that an ACME client writes into a folder, or by the ACME
//! client itself. Either way the path is the token, and a token has no character that could lead
//! anywhere else.
//!
//! Not here: getting certificates. Any ACME client does that; docs/tls.md says how.

#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hyper::body::Incoming;

use crate::body::Body;
use crate::error::Refusal as _;
use crate::guard::framing;
use crate::server::{RefusedHead, Serve, Transport};
use crate::upstream::{self, Client, Network, Target};

/// Where authorities look for the answer to a challenge.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// An answer to a challenge is a token and a hash.
const CHALLENGE_SIZE_MAX: u64 = 4 * 1024;

/// An ACME client is a neighbour; an authority waits for some ten seconds.
const CHALLENGE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the plain listener does.
#[derive(Debug, Clone)]
pub struct RedirectSettings {
    /// The port at which clients reach the gateway by HTTPS.
    pub https_port: u16,
    /// Who answers challenges.
    pub challenges: Challenges,
}

/// Who answers an ACME authority.
#[derive(Debug, Clone)]
pub enum Challenges {
    /// Nobody: they are sent to `https://` like everything else.
    Redirected,
    /// The files of a folder, named by their tokens.
    Directory(PathBuf),
    /// An ACME client.
    Forwarded(Arc<Target>),
}

/// Serves the plain listener's requests.
pub struct Redirect {
    settings: RedirectSettings,
    client: Client,
}

impl std::fmt::Debug for Redirect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redirect").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Serve for Redirect {
    type Body = Body;

    async fn serve(&self, request: Request<Incoming>, _: &Transport) -> Response<Body> {
        let (head, body) = request.into_parts();
        // Nobody reads the body: where one may follow, the connection cannot go on.
        let is_last = !http_body::Body::is_end_stream(&body);
        let mut response = match framing::check(&head) {
            Err(refused) => of_status(refused.status()),
            Ok(()) => self.answer(&head).await,
        };
        if is_last {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn refuse(&self, head: &RefusedHead, _: &Transport) -> Response<Body> {
        of_status(head.refused.status())
    }
}

impl Redirect {
    /// Serves by these settings. Made and used inside one core's runtime.
    #[must_use]
    pub fn new(settings: RedirectSettings) -> Self {
        Self { settings, client: Client::new(Network) }
    }

    async fn answer(&self, head: &Parts) -> Response<Body> {
        let challenge = match token(head.uri.path()) {
            Some(token) => self.challenge(&head.method, token).await,
            None => None,
        };
        challenge.unwrap_or_else(|| self.redirect(head))
    }

    /// The answer to a challenge; `None` where it is redirected.
    async fn challenge(&self, method: &Method, token: &str) -> Option<Response<Body>> {
        if matches!(self.settings.challenges, Challenges::Redirected) {
            return None;
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut answer = of_status(StatusCode::METHOD_NOT_ALLOWED);
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(answer);
        }
        let found = match &self.settings.challenges {
            Challenges::Redirected => return None,
            Challenges::Directory(folder) => read(folder.join(token)).await,
            Challenges::Forwarded(target) => self.ask(target, token).await,
        };
        Some(found.map_or_else(of_status, |text| {
            let mut answer = Response::new(Body::from(text));
            let kind = HeaderValue::from_static("application/octet-stream");
            answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            answer
        }))
    }

    /// Asks the ACME client; of its answer only the text counts.
    async fn ask(&self, target: &Arc<Target>, token: &str) -> Result<Bytes, StatusCode> {
        let mut request = Request::new(Body::empty());
        let path = format!("{CHALLENGES}{token}").parse::<PathAndQuery>();
        *request.uri_mut() = path.map_err(|_| StatusCode::NOT_FOUND)?.into();
        let answer = self.client.call(target, request, CHALLENGE_TIMEOUT).await;
        let answer = answer.map_err(|error| {
            tracing::warn!(%error, "the ACME client does not answer a challenge");
            StatusCode::BAD_GATEWAY
        })?;
        if answer.response.status() != StatusCode::OK {
            return Err(StatusCode::NOT_FOUND);
        }
        let size_max = usize::try_from(CHALLENGE_SIZE_MAX).unwrap_or(usize::MAX);
        let text = upstream::collect(answer.response.into_body(), size_max).await;
        text.map_err(|_| StatusCode::BAD_GATEWAY)
    }

    fn redirect(&self, head: &Parts) -> Response<Body> {
        let Some(location) = location(head, self.settings.https_port) else {
            return of_status(StatusCode::BAD_REQUEST);
        };
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let mut answer = of_status(if is_read {
            StatusCode::MOVED_PERMANENTLY
        } else {
            StatusCode::PERMANENT_REDIRECT
        });
        answer.headers_mut().insert(header::LOCATION, location);
        answer
    }
}

/// The same place by HTTPS. `None` without a host, which only HTTP/1.0 allows, and for `*`.
fn location(head: &Parts, https_port: u16) -> Option<HeaderValue> {
    let host = match head.uri.authority() {
        Some(authority) => authority.clone(),
        None => Authority::try_from(head.headers.get(header::HOST)?.as_bytes()).ok()?,
    };
    let authority = match https_port {
        443 => host.host().to_owned(),
        port => format!("{}:{port}", host.host()),
    };
    let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let place = Uri::builder().scheme("https").authority(authority).path_and_query(path).build();
    HeaderValue::try_from(place.ok().filter(|_| path.starts_with('/'))?.to_string()).ok()
}

/// The token of a challenge's path (RFC 8555 §8.3): letters, digits, `-` and `_`.
fn token(path: &str) -> Option<&str> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let token = path.strip_prefix(CHALLENGES)?;
    (!token.is_empty() && token.len() <= 128 && token.bytes().all(is_safe)).then_some(token)
}

/// Files may be on a disk that hangs, so none is read on the core's thread.
async fn read(path: PathBuf) -> Result<Bytes, StatusCode> {
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(CHALLENGE_SIZE_MAX).read_to_end(&mut text).map(|_| text)
    });
    match read.await {
        Ok(Ok(text)) => Ok(text.into()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(StatusCode::NOT_FOUND)
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the answer to an ACME challenge cannot be read");
            Err(StatusCode::NOT_FOUND)
        }
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn of_status(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}
