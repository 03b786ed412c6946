//! One fetch of a key set, from a URL or a file, bounded in time and size.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{StatusCode, header};
use reqwest::{Client, Response, Url, redirect};

use super::schedule::freshness;
use crate::auth::jwks::{KeySet, KeySetFault};

/// Where a key set is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLocation {
    /// An `http` or `https` URL.
    Url(Url),
    /// A file, read again with every poll.
    File(PathBuf),
}

/// A text that is no URL of a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an http or https URL without a user name or password")]
pub struct InvalidKeyUrl;

impl KeyLocation {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`InvalidKeyUrl`] when it is none, has another scheme, or holds a credential.
    pub fn parse_url(text: &str) -> Result<Self, InvalidKeyUrl> {
        let url = Url::parse(text).map_err(|_| InvalidKeyUrl)?;
        let has_credential = !url.username().is_empty() || url.password().is_some();
        if !matches!(url.scheme(), "http" | "https") || has_credential {
            return Err(InvalidKeyUrl);
        }
        Ok(Self::Url(url))
    }
}

/// Keys, and how long their issuer says they are fresh.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    pub(super) freshness: Option<Duration>,
}

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchFailed {
    #[error("the issuer does not answer")]
    NoAnswer(#[source] reqwest::Error),
    #[error("the issuer answers {0}")]
    Status(StatusCode),
    #[error("the key set is larger than {size_max} bytes")]
    TooLarge { size_max: usize },
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
    #[error("what is published is of no use")]
    Useless(#[from] KeySetFault),
}

/// Fetches one key set.
#[derive(Debug)]
pub(super) struct Fetcher {
    place: Place,
    size_max: usize,
}

#[derive(Debug)]
enum Place {
    Url(Client, Url),
    File(PathBuf),
}

impl Fetcher {
    pub(super) fn try_new(
        location: KeyLocation,
        timeout: Duration,
        size_max: usize,
    ) -> Result<Self, reqwest::Error> {
        let place = match location {
            KeyLocation::File(path) => Place::File(path),
            KeyLocation::Url(url) => Place::Url(client(&url, timeout)?, url),
        };
        Ok(Self { place, size_max })
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, FetchFailed> {
        match &self.place {
            Place::Url(client, url) => self.fetch_url(client, url).await,
            Place::File(path) => self.read_file(path).await,
        }
    }

    async fn fetch_url(&self, client: &Client, url: &Url) -> Result<Fetched, FetchFailed> {
        let request = client
            .get(url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json");
        let mut response = request.send().await.map_err(no_answer)?;
        if response.status() != StatusCode::OK {
            return Err(FetchFailed::Status(response.status()));
        }
        let freshness = cache_control(&response);
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if bytes.len() + chunk.len() > self.size_max {
                return Err(FetchFailed::TooLarge { size_max: self.size_max });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Fetched { keys: KeySet::parse(&bytes)?, freshness })
    }

    async fn read_file(&self, path: &Path) -> Result<Fetched, FetchFailed> {
        let (path, size_max) = (path.to_owned(), self.size_max);
        let read = tokio::task::spawn_blocking(move || read_at_most(&path, size_max)).await;
        let bytes = read.map_err(|stopped| FetchFailed::File(std::io::Error::other(stopped)))??;
        Ok(Fetched { keys: KeySet::parse(&bytes)?, freshness: None })
    }
}

fn client(url: &Url, timeout: Duration) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        // The environment of a process must not decide where keys come from.
        .no_proxy()
        // A redirect could lead to keys of somebody else.
        .redirect(redirect::Policy::none())
        // From the connection to the last byte, so that no slow drip holds up the poll.
        .timeout(timeout);
    if url.scheme() == "http" {
        // Without TLS there is nothing to trust, and a machine may have no root certificates.
        return builder.tls_certs_only([]).build();
    }
    builder.https_only(true).build()
}

fn cache_control(response: &Response) -> Option<Duration> {
    response.headers().get(header::CACHE_CONTROL)?.to_str().ok().and_then(freshness)
}

fn no_answer(error: reqwest::Error) -> FetchFailed {
    FetchFailed::NoAnswer(error.without_url())
}

fn read_at_most(path: &Path, size_max: usize) -> Result<Vec<u8>, FetchFailed> {
    let file = std::fs::File::open(path).map_err(FetchFailed::File)?;
    let one_more = u64::try_from(size_max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(one_more).read_to_end(&mut bytes).map_err(FetchFailed::File)?;
    if bytes.len() > size_max {
        return Err(FetchFailed::TooLarge { size_max });
    }
    Ok(bytes)
}
