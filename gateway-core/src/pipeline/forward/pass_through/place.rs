//! Places that an answer names: a service speaks of its own paths, a consumer needs the gateway's.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::site::Proxy;
use crate::upstream::Targets;

const PLACES: [HeaderName; 2] = [header::LOCATION, header::CONTENT_LOCATION];

/// Translates `Location` and `Content-Location`: the service's own address goes, and the gateway's
/// prefix comes, where the rest of the path is the consumer's. Another host's stay as they are.
pub(super) fn translate(headers: &mut HeaderMap, proxy: &Proxy, targets: &Targets) {
    // Another way to reach the service is none for its consumers.
    headers.remove(header::ALT_SVC);
    for name in PLACES {
        if let Some(value) = headers.get(&name)
            && let Some(translated) =
                targets.authorities().find_map(|authority| translated(value, proxy, authority))
        {
            headers.insert(name, translated);
        }
    }
}

/// The place as consumers reach it; `None` when it is that already.
fn translated(value: &HeaderValue, proxy: &Proxy, authority: &str) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    let after_scheme =
        ["http://", "https://", "//"].iter().find_map(|start| text.strip_prefix(start));
    let path = match after_scheme {
        Some(rest) => {
            let path = rest.strip_prefix(authority)?;
            if !path.is_empty() && !path.starts_with(['/', '?', '#']) {
                // Another host whose name only begins like ours.
                return None;
            }
            if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
        }
        None if text.starts_with('/') => text.to_owned(),
        None => return None,
    };
    let prefix = if proxy.keeps_paths { &*proxy.prefix } else { "" };
    HeaderValue::from_maybe_shared(Bytes::from(format!("{prefix}{path}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::{RequestTransform, ResponseTransform};

    #[track_caller]
    fn check(text: &str, keeps_paths: bool, expected: Option<&str>) {
        let proxy = Proxy {
            service: 0,
            canary: None,
            prefix: "/api".into(),
            keeps_paths,
            stream_idle_timeout: std::time::Duration::ZERO,
            takes_websockets: false,
            request: RequestTransform::default(),
            response: ResponseTransform::default(),
            body_size_max: 0,
        };
        let value = HeaderValue::from_str(text).expect("a value");
        let translated = translated(&value, &proxy, "127.0.0.1:8080");
        let translated = translated.as_ref().map(|value| value.to_str().expect("ASCII"));
        assert_eq!(translated, expected, "{text}");
    }

    #[test]
    fn a_service_s_places_become_the_gateway_s() {
        check("/links/1", true, Some("/api/links/1"));
        check("http://127.0.0.1:8080/links/1?a=b#c", true, Some("/api/links/1?a=b#c"));
        check("http://127.0.0.1:8080", true, Some("/api/"));
        check("https://127.0.0.1:8080/links", true, Some("/api/links"));
        check("//127.0.0.1:8080/links", true, Some("/api/links"));
        // A route that rewrites paths has no way back; the address goes all the same.
        check("http://127.0.0.1:8080/usage", false, Some("/usage"));
    }

    #[test]
    fn places_elsewhere_and_beside_stay_as_they_are() {
        for text in [
            "https://example.com/links",
            "http://127.0.0.1:8080.example.com/",
            "http://127.0.0.1:80801/",
            "//example.com/links",
            "../links/1",
            "?page=2",
        ] {
            check(text, true, None);
        }
    }
}
