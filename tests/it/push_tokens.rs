//! Push tokens over HTTP; the registry's own rules are tested beside it.

use serde_json::{Value, json};
use tests::harness::{Harness, JsonBody as _};

const PATH: &str = "/devices/push-tokens";

async fn send(harness: &Harness, method: &str, token: &str, body: Option<&Value>) -> (u16, Value) {
    let mut request = harness.mobile.request(method, PATH).bearer_auth(token);
    if let Some(body) = body {
        request = request.json_body(body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let body = answer.bytes().await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

fn registration(token: &str) -> Value {
    json!({ "platform": "fcm", "installation_id": "phone-1", "token": token })
}

#[tokio::test]
async fn a_token_is_registered_shown_masked_and_deleted_by_value() {
    let harness = Harness::start().await;
    let token = "fcm-0123456789abcdef-WXYZ";
    let (status, made) = send(&harness, "POST", &harness.token, Some(&registration(token))).await;
    assert_eq!((status, &made["token"]), (201, &json!("…WXYZ")));
    let (status, again) = send(&harness, "POST", &harness.token, Some(&registration(token))).await;
    assert_eq!((status, &again["registered_at"]), (200, &made["registered_at"]));
    let (status, list) = send(&harness, "GET", &harness.token, None).await;
    assert_eq!(status, 200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert!(!list.to_string().contains("0123456789"));
    for _ in 0..2 {
        let body = json!({ "token": token });
        assert_eq!(send(&harness, "DELETE", &harness.token, Some(&body)).await.0, 204);
    }
    assert_eq!(send(&harness, "GET", &harness.token, None).await.1, json!({ "items": [] }));
}

#[tokio::test]
async fn a_token_moves_with_the_device_to_another_user() {
    let harness = Harness::start().await;
    let other = harness.log_in("viewer@example.com").await;
    let body = registration("fcm-0123456789abcdef-WXYZ");
    assert_eq!(send(&harness, "POST", &harness.token, Some(&body)).await.0, 201);
    assert_eq!(send(&harness, "POST", &other, Some(&body)).await.0, 201);
    assert_eq!(send(&harness, "GET", &harness.token, None).await.1, json!({ "items": [] }));
}

#[tokio::test]
async fn what_cannot_be_a_push_token_is_refused_with_the_member_named() {
    let harness = Harness::start().await;
    for (body, status) in [
        (registration(&"x".repeat(4_097)), 422),
        (registration("two words"), 422),
        (registration(""), 422),
        (json!({ "platform": "pigeon", "installation_id": "a", "token": "b" }), 422),
        (json!({ "platform": "fcm", "token": "b" }), 422),
        (json!({ "platform": "fcm", "installation_id": "a", "token": "b", "extra": 1 }), 422),
        (json!([]), 422),
    ] {
        let (got, problem) = send(&harness, "POST", &harness.token, Some(&body)).await;
        assert_eq!(got, status, "{problem}");
        assert!(problem["code"].is_string(), "{problem}");
    }
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 70000\r\n",
        harness.token
    );
    let (status, answer) = harness.mobile.raw(&head).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer.contains("body_too_large"), "{answer}");
    let request = harness.mobile.post(PATH).bearer_auth(&harness.token).body("{");
    let answer = request.header("Content-Type", "application/json").send().await;
    assert_eq!(answer.expect("an answer").status(), 400);
    let request = harness.mobile.post(PATH).bearer_auth(&harness.token).body("{}");
    let answer = request.header("Content-Type", "text/plain").send().await;
    assert_eq!(answer.expect("an answer").status(), 415);
}
