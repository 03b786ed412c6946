//! The page: a shell of the sample's dashboard, which shows each part as it lands.
//!
//! Its files stand in `web-bff/page` and are compiled in as they are; configuration says at which
//! paths they are served, each under the name of its endpoint. `frames.js` is what arrives of an
//! answer, as state; `parts.js` what a part looks like; `dashboard.js` puts them together.
//!
//! Invariants
//! - The page is the same for everybody: it holds no session, and asks for everything it shows.
//! - It loads and calls nothing but this origin, and has no script or style within it: its policy
//!   would not let it.
//!
//! Not here: what the page asks for (`login`, and the view of the dashboard in configuration).

use axum::response::{IntoResponse as _, Response};
use gateway_core::endpoint::Endpoints;
use http::{HeaderValue, header};

/// One file, and the endpoint that answers with it.
#[derive(Debug, Clone, Copy)]
struct File {
    endpoint: &'static str,
    content_type: &'static str,
    /// What the file may load and call; `None` for what is no page, where the core's holds.
    policy: Option<&'static str>,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Stricter than the core's for pages: scripts, styles and calls, each of this origin, and no more.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

const FILES: [File; 5] = [
    File {
        endpoint: "page",
        content_type: HTML,
        policy: Some(POLICY),
        text: include_str!("../page/index.html"),
    },
    File::script("page-script", include_str!("../page/dashboard.js")),
    File::script("page-frames", include_str!("../page/frames.js")),
    File::script("page-parts", include_str!("../page/parts.js")),
    File {
        endpoint: "page-style",
        content_type: STYLE,
        policy: None,
        text: include_str!("../page/dashboard.css"),
    },
];

/// Adds an endpoint for each file of the page.
#[must_use]
pub fn add_to(endpoints: Endpoints) -> Endpoints {
    FILES.into_iter().fold(endpoints, |endpoints, file| {
        endpoints.handler(file.endpoint, move || async move { file.answer() })
    })
}

impl File {
    const fn script(endpoint: &'static str, text: &'static str) -> Self {
        Self { endpoint, content_type: SCRIPT, policy: None, text }
    }

    fn answer(self) -> Response {
        let mut response = self.text.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        // The files change together: one that a browser kept must not meet newer ones.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(policy) = self.policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                          connect-src 'self'; form-action 'self'; base-uri 'none'; \
                          frame-ancestors 'none'";

    #[test]
    fn each_file_has_its_type_and_the_page_its_policy() {
        for (endpoint, content_type, policy) in [
            ("page", "text/html; charset=utf-8", Some(STRICT)),
            ("page-script", "text/javascript; charset=utf-8", None),
            ("page-frames", "text/javascript; charset=utf-8", None),
            ("page-parts", "text/javascript; charset=utf-8", None),
            ("page-style", "text/css; charset=utf-8", None),
        ] {
            let file = FILES.iter().find(|file| file.endpoint == endpoint).expect(endpoint);
            let response = file.answer();
            let value = |name| response.headers().get(name).map(HeaderValue::as_bytes);
            assert_eq!(value(header::CONTENT_TYPE), Some(content_type.as_bytes()), "{endpoint}");
            assert_eq!(value(header::CACHE_CONTROL), Some(&b"no-cache"[..]), "{endpoint}");
            assert_eq!(
                value(header::CONTENT_SECURITY_POLICY),
                policy.map(str::as_bytes),
                "{endpoint}"
            );
        }
        assert_eq!(FILES.len(), 5, "each file stands in the table above");
    }

    #[test]
    fn what_arrives_is_text_and_the_page_holds_nothing_that_its_policy_forbids() {
        for file in FILES {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "style=",
                "<style",
                "onclick=",
                "onsubmit=",
                "https:",
                "@import",
                "url(",
            ] {
                assert!(!file.text.contains(forbidden), "{}: {forbidden}", file.endpoint);
            }
        }
        let page = FILES[0].text;
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script type=\"module\" src=\"/app/").count()
        );
    }
}
