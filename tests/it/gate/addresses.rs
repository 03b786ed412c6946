//! Who may not come at all: lists of addresses.

use tests::harness::{Harness, json_of};

#[tokio::test]
async fn denied_addresses_end_at_the_guard_wherever_a_listed_proxy_says_they_come_from() {
    let layer = "[server]\ntrusted_proxies = [\"127.0.0.1\"]\nallow = [\"127.0.0.0/8\", \"203.0.113.0/24\"]\n\
                 deny = [\"203.0.113.64/26\"]\n";
    let harness = Harness::builder().layer("mobile-bff", layer).start().await;
    for (client, status) in [
        ("203.0.113.7", 200),
        ("203.0.113.65", 403),
        ("198.51.100.1", 403),
        ("198.51.100.1, 203.0.113.7", 200),
    ] {
        let request = harness.mobile.get("/links/x7Kp2").bearer_auth(&harness.token);
        let answer = request.header("X-Forwarded-For", client).send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{client}");
        if status == 403 {
            assert_eq!(json_of(answer).await["code"], "address_refused");
            assert_eq!(harness.mobile.last_steps(), Some(vec![2, 3, 13]));
        }
    }
    let metrics = harness.mobile.metrics().await;
    assert!(metrics.contains("gateway_refusals_total{code=\"address_refused\"} 2"), "{metrics}");
}
