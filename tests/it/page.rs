//! The browser's page: served to anybody, under a policy that lets it load nothing foreign; and the
//! tests of its own scripts.

use std::process::Command;

use tests::harness::Harness;
use tests::platform::Service;
use tests::verify::repository;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Whatever follows `/` in the page's own references.
const FILES: [(&str, &str); 5] = [
    ("/", HTML),
    ("/app/dashboard.js", SCRIPT),
    ("/app/frames.js", SCRIPT),
    ("/app/parts.js", SCRIPT),
    ("/app/dashboard.css", STYLE),
];

#[tokio::test]
async fn the_page_and_its_files_are_served_to_anybody_with_their_types() {
    let harness = Harness::start().await;
    for (path, content_type) in FILES {
        // As a link on a foreign page leads here.
        let request = harness.web.get(path).header("Sec-Fetch-Site", "cross-site");
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        let headers = answer.headers();
        assert_eq!(headers["content-type"], content_type, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-cache", "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
        assert!(!headers.contains_key("set-cookie"), "{path}");
        assert!(!answer.text().await.expect("a body").is_empty(), "{path}");
    }
    for service in Service::ALL {
        let expected = usize::from(service == Service::User) * 2;
        assert_eq!(harness.calls(service), expected, "the harness logs in twice; the page never");
    }
}

#[tokio::test]
async fn the_page_may_load_and_call_its_own_origin_alone() {
    let harness = Harness::start().await;
    let answer = harness.web.get("/").send().await.expect("an answer");
    assert_eq!(
        answer.headers()["content-security-policy"],
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    let page = answer.text().await.expect("a body");
    let sources = page.split('"').filter(|text| text.starts_with('/'));
    let loaded: Vec<&str> = sources.filter(|path| *path != "/auth/login").collect();
    assert!(!loaded.is_empty());
    for path in loaded {
        assert!(FILES.iter().any(|(known, _)| *known == path), "{path} is not served");
    }
}

#[tokio::test]
async fn the_page_is_at_the_root_alone_and_is_only_read() {
    let harness = Harness::start().await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = harness.web.request(method, "/").send().await.expect("an answer");
        assert_eq!(answer.status(), 405, "{method}");
        assert!(answer.headers()["allow"].to_str().expect("ASCII").contains("GET"), "{method}");
    }
    let head = harness.web.request("HEAD", "/").send().await.expect("an answer");
    assert_eq!(head.status(), 200);
    assert_eq!(head.headers()["content-type"], HTML);
    for path in [
        "/app",
        "/app/",
        "/app/index.html",
        "/app/frames.test.mjs",
        "/app/package.json",
        "/app/dashboard.js/",
        "/index.html",
        "/api",
        "/api/",
        "/api/app/dashboard.js",
    ] {
        assert_eq!(harness.web_get(path).await.status(), 404, "{path}");
    }
    for gateway in [&harness.mobile, &harness.partner] {
        let answer = gateway.get("/").send().await.expect("an answer");
        assert_eq!(answer.status(), 404, "{}", gateway.name);
    }
}

#[tokio::test]
async fn who_opens_the_page_again_and_again_can_still_log_in() {
    let harness = Harness::builder().manual_clock().start().await;
    for _ in 0..10 {
        for (path, _) in FILES {
            let answer = harness.web.get(path).send().await.expect("an answer");
            assert_eq!(answer.status(), 200, "{path}");
        }
    }
    assert_eq!(harness.web_log_in().await.status(), 200);
}

/// Runs node in the page's folder, or says what is missing.
#[track_caller]
fn node(arguments: &[&str]) {
    let folder = repository().join("web-bff/page");
    let output = Command::new("node").args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| {
        panic!("node cannot be run ({error}); the page's scripts are tested by Node.js 20 or later")
    });
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "node {}:\n{said}\n{complained}", arguments.join(" "));
}

#[test]
fn the_scripts_pass_their_own_tests() {
    node(&["--test", "frames.test.mjs"]);
}

#[test]
fn every_script_can_be_read() {
    for (path, _) in FILES.iter().filter(|(_, content_type)| *content_type == SCRIPT) {
        node(&["--check", path.strip_prefix("/app/").expect("under /app")]);
    }
}
