//! What a body says: whose bucket it is that a request takes from, and whether it fits its schema.

use serde_json::{Value, json};
use tests::harness::{Harness, JsonBody as _, json_of};
use tests::platform::Service;

use super::Stub;

#[tokio::test]
async fn one_account_has_one_bucket_however_it_is_spelled_and_others_have_their_own() {
    let layer = "
        [limits.account]\nkey = [\"address\", \"body.email\"]\nrate = \"3/min\"
        [limits.login]\nkey = \"address\"\nrate = \"100/min\"
        [routes.auth-login]\nlimits = [\"login\", \"account\"]\n";
    let builder = Harness::builder().layer("mobile-bff", layer).manual_clock();
    let harness = builder.start().await;
    let log_in = async |body: &str| {
        let request = harness.mobile.post("/auth/login").header("Content-Type", "application/json");
        let answer = request.body(body.to_owned()).send().await.expect("an answer");
        let status = answer.status().as_u16();
        let body = answer.bytes().await.expect("a body");
        (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
    };
    let victim = |email: &str| format!("{{\"email\": \"{email}\", \"password\": \"wrong\"}}");
    for email in ["v@example.com", " V@Example.com", "\\u0076@example.com"] {
        assert_eq!(log_in(&victim(email)).await.0, 401, "{email}");
    }
    let before = harness.calls(Service::User);
    let (status, problem) = log_in(&victim("v@example.com")).await;
    assert_eq!((status, &problem["violated-policies"]), (429, &json!(["account"])));
    let (status, problem) = log_in(r#"{"email":"x","Email":"v@example.com"}"#).await;
    assert_eq!((status, &problem["code"]), (400, &json!("body_ambiguous")));
    assert_eq!(harness.calls(Service::User), before);
    assert_eq!(log_in(&victim("other@example.com")).await.0, 401);
    let good = log_in(&harness.login_body().to_string()).await;
    assert!(good.0 == 200 && good.1["access_token"].is_string(), "the body went on whole");
    // Whoever says nothing shares one bucket with all who do.
    let mut statuses = Vec::new();
    for body in ["{}", "[]", "no JSON", r#"{"email":null}"#] {
        statuses.push(log_in(body).await.0);
    }
    let (last, others) = statuses.split_last().expect("four");
    assert!(*last == 429 && !others.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_body_is_judged_by_type_size_syntax_and_schema_and_goes_on_as_it_came() {
    let stub = Stub::start("{}").await;
    let layer = "
        [routes.things]\nmatch = \"POST /things\"\nservice = \"things\"\nbody_size_max = \"200KiB\"
        [routes.things.body_schema.schema]
        type = \"object\"\nrequired = [\"name\"]\nadditionalProperties = false
        properties = { name = { type = \"string\" }, fill = { type = \"string\" } }\n";
    let builder = Harness::builder().platform_layer(&stub.section("things"));
    let harness = builder.layer("mobile-bff", layer).start().await;
    let send = async |content_type: &str, body: String| {
        let request = harness.mobile.post("/things").bearer_auth(&harness.token);
        let request = request.header("Content-Type", content_type).body(body);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), json_of(answer).await)
    };
    let json = "application/json";
    for (content_type, body, status, code) in [
        ("text/plain", "{\"name\":\"a\"}".to_owned(), 415, "media_type_unsupported"),
        ("text/plain", "x".repeat(300_000), 413, "body_too_large"),
        (json, String::new(), 400, "body_not_json"),
        (json, "{\"name\":".to_owned(), 400, "body_not_json"),
        (json, "{\"name\":\"a\",\"name\":7}".to_owned(), 400, "body_not_json"),
        (json, "{\"name\":7,\"owner\":\"x\"}".to_owned(), 422, "body_invalid"),
        (json, format!("{{\"name\":7,\"fill\":\"{}\"}}", "x".repeat(100_000)), 422, "body_invalid"),
    ] {
        let (found, problem) = send(content_type, body).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem}");
    }
    let (_, problem) = send(json, "{\"name\":7,\"owner\":\"x\"}".to_owned()).await;
    let pointers: Vec<&Value> =
        problem["errors"].as_array().expect("a list").iter().map(|one| &one["pointer"]).collect();
    assert!(pointers.contains(&&json!("/name")) && pointers.contains(&&json!("")), "{problem}");
    assert!(stub.asked().is_empty(), "nothing of these reached the service");
    let large = format!("{{\"name\":\"a\",\n \"fill\" : \"{}\"}}", "é".repeat(50_000));
    for body in ["{ \"name\" :\t\"\\u0061\" }\n".to_owned(), large] {
        assert_eq!(send(json, body.clone()).await.0, 200);
        assert_eq!(stub.asked().pop().expect("asked").1, body, "byte by byte");
    }
}

#[tokio::test]
async fn a_schema_may_come_from_a_file_or_from_an_operation_of_an_openapi_document() {
    let folder = tempfile::tempdir().expect("a folder");
    let schema = json!({ "type": "object", "required": ["slug"] });
    let document = json!({
        "openapi": "3.1.0",
        "paths": { "/links": { "post": {
            "operationId": "createLink",
            "requestBody": { "required": true, "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/NewLink" },
            } } },
        } } },
        "components": { "schemas": { "NewLink": {
            "type": "object", "properties": { "target_url": { "type": "string", "format": "uri" } },
        } } },
    });
    let written = [("slug.json", &schema), ("api.json", &document)];
    let [slug, api] = written.map(|(name, value)| {
        let path = folder.path().join(name);
        std::fs::write(&path, value.to_string()).expect("written");
        path.display().to_string()
    });
    let layer = format!(
        "[routes.links-create]\nbody_schema = {{ openapi = \"{api}\", operation = \"createLink\" }}\n\
         [routes.links-update]\nbody_schema = {{ file = \"{slug}\" }}\n"
    );
    let harness = Harness::builder().layer("mobile-bff", &layer).start().await;
    let send = async |method: &str, path: &str, body: Value| {
        let request = harness.mobile.request(method, path).bearer_auth(&harness.token);
        request.json_body(&body).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(send("POST", "/links", json!({ "target_url": "no uri" })).await, 422);
    assert_eq!(send("POST", "/links", json!({ "target_url": "https://example.com/" })).await, 201);
    assert_eq!(send("PATCH", "/links/x7Kp2", json!({ "title": "x" })).await, 422);
    assert_eq!(send("PATCH", "/links/x7Kp2", json!({ "slug": "x", "title": "y" })).await, 200);
}
