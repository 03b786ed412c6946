//! A service becomes two, under load, and no consumer notices.

use gateway_core::assertion::AssertionKey;
use gateway_core::clock::Clock;
use tests::harness::{Harness, Load};
use tests::platform::{self, Running, Service, Settings};

/// Limits that no load reaches.
pub(crate) const WIDE: &str = "[limits.consumer]\nrate = \"10000000/min\"\n\
                               [limits.address]\nrate = \"10000000/min\"\n\
                               [limits.links-read]\nrate = \"10000000/min\"\n";

const KEY: &str = "a-key-of-the-two-new-services-0123456789";

/// A service that does the analytics service's work under a name of its own.
async fn new_service(name: &str) -> Running {
    let settings = Settings {
        keys: vec![AssertionKey::build(KEY.as_bytes()).expect("long enough")],
        clock: Clock::system(),
        logs_to_stdout: false,
        takes_faults: false,
    };
    platform::start_as(name, Service::Analytics, 0, settings).await.expect("a free port")
}

/// A consumer of everything that the service answered, and of something else.
fn load(harness: &Harness) -> Load {
    let (url, token) = (harness.mobile.url.clone(), harness.token.clone());
    Load::start(4, move |client, number| {
        let paths = ["/analytics/links/x7Kp2", "/analytics/summary", "/dashboard", "/links/x7Kp2"];
        let path = paths[number % paths.len()];
        client.get(format!("{url}{path}")).bearer_auth(&token)
    })
}

#[tokio::test]
async fn a_service_is_split_in_two_by_two_edits_under_load_and_no_request_fails() {
    let harness = Harness::builder().layer("mobile-bff", WIDE).start().await;
    let (clicks, summary) =
        (new_service("clicks-service").await, new_service("summary-service").await);
    let load = load(&harness);
    load.rounds(12).await;
    assert!(harness.calls(Service::Analytics) > 0);

    // The first edit: the two services are there, and take over.
    std::fs::write(harness.configuration().join("split-key"), KEY).expect("written");
    harness.edit("platform.d/60-split.toml", |_| {
        [("clicks-service", clicks.url()), ("summary-service", summary.url())]
            .map(|(name, url)| {
                format!("[services.{name}]\nurl = \"{url}\"\nassertion_key = {{ file = \"split-key\" }}\n")
            })
            .concat()
    });
    harness.edit("platform.toml", |text| {
        let clicks = "service = \"clicks-service\"\nrewrite = \"/links/{id}\"";
        let summary = "service = \"summary-service\"\nrewrite = \"/summary\"";
        text.replace("service = \"analytics-service\"\nrewrite = \"/links/{id}\"", clicks)
            .replace("service = \"analytics-service\"\nrewrite = \"/summary\"", summary)
            .replace("GET analytics-service:/links", "GET clicks-service:/links")
            .replace("GET analytics-service:/summary", "GET summary-service:/summary")
    });
    let (status, answer) = harness.mobile.reload().await;
    assert_eq!(status, 200, "{answer}");
    // Whatever was under way ends where it began.
    load.rounds(2).await;
    let old = harness.calls(Service::Analytics);
    let before = (clicks.calls(), summary.calls());
    load.rounds(12).await;
    assert_eq!(harness.calls(Service::Analytics), old, "the old service is called no more");
    assert!(clicks.calls() > before.0 && summary.calls() > before.1, "the new ones are");

    // The second edit: the old one goes.
    harness.edit("platform.toml", |text| without_service(&text, "analytics-service"));
    harness.edit("mobile-bff.test.toml", |text| without_service(&text, "analytics-service"));
    let (status, answer) = harness.mobile.reload().await;
    assert_eq!(
        (status, &answer["changed"]),
        (200, &serde_json::json!(["services.analytics-service"]))
    );
    load.rounds(12).await;
    assert_eq!(load.stop().await, Vec::<String>::new());
}

fn without_service(text: &str, name: &str) -> String {
    let mut document: toml_edit::DocumentMut = text.parse().expect("TOML");
    document["services"].as_table_mut().expect("a table").remove(name);
    document.to_string()
}
