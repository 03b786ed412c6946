//! The body's schema of one operation of an OpenAPI document, 3.0 or 3.1, in JSON.
//!
//! The operation is found by its `operationId`. Its schema is taken together with the document's
//! `components`, so that references lead where they led. 3.0 is JSON Schema as of draft 4, and
//! `nullable` is read as what it means.
//!
//! Not here: parameters, answers, YAML, documents in several files; a reference to another file is
//! an error.

use jsonschema::Draft;
use serde_json::{Value, json};

use super::BodySchema;

/// The schema of an operation's body; the error is the end of a sentence that starts with the key.
///
/// # Errors
///
/// What the document lacks.
pub fn body_schema(document: &Value, operation: &str) -> Result<BodySchema, String> {
    let version = document.get("openapi").and_then(Value::as_str).unwrap_or_default();
    let draft = match version.split('.').take(2).collect::<Vec<_>>().as_slice() {
        ["3", "0"] => Draft::Draft4,
        ["3", _] => Draft::Draft202012,
        _ => return Err("is no OpenAPI document of version 3".to_owned()),
    };
    let body = find(document, operation)?
        .get("requestBody")
        .ok_or_else(|| format!("has the operation {operation}, which takes no body"))?;
    let body = resolve(document, body)?;
    let media_types = body.get("content").and_then(Value::as_object);
    let mut media_types = media_types.into_iter().flatten();
    let schema = media_types
        .find(|(name, _)| super::is_json(name.split(';').next().unwrap_or_default().trim()))
        .and_then(|(_, media_type)| media_type.get("schema"))
        .ok_or_else(|| format!("has the operation {operation}, whose body has no JSON schema"))?;
    let mut whole = json!({ "allOf": [schema] });
    if let (Some(members), Some(components)) = (whole.as_object_mut(), document.get("components")) {
        members.insert("components".to_owned(), components.clone());
    }
    if draft == Draft::Draft4 {
        read_nullable(&mut whole);
    }
    let is_required = body.get("required").and_then(Value::as_bool).unwrap_or(false);
    let compiled = BodySchema::compile(&whole, draft).map_err(|error| error.to_string())?;
    Ok(compiled.or_absent(!is_required))
}

fn find<'a>(document: &'a Value, operation: &str) -> Result<&'a Value, String> {
    let paths = document.get("paths").and_then(Value::as_object);
    let methods = paths.into_iter().flatten().filter_map(|(_, path)| path.as_object()).flatten();
    let operations = methods.map(|(_, written)| written);
    let is_wanted =
        |written: &&Value| written.get("operationId").and_then(Value::as_str) == Some(operation);
    let mut found = operations.filter(is_wanted);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(format!("has two operations named {operation}")),
        (None, _) => Err(format!("has no operation named {operation}")),
    }
}

/// A body may stand under `components`, and be referred to.
fn resolve<'a>(document: &'a Value, body: &'a Value) -> Result<&'a Value, String> {
    let Some(reference) = body.get("$ref").and_then(Value::as_str) else { return Ok(body) };
    let pointer = reference.strip_prefix('#');
    let found = pointer.and_then(|pointer| document.pointer(pointer));
    found.ok_or_else(|| format!("has the reference {reference}, which leads nowhere in it"))
}

/// 3.0's `nullable: true` becomes the type `null` beside the other.
fn read_nullable(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.get("nullable") == Some(&Value::Bool(true)) {
                if let Some(kind @ Value::String(_)) = members.get("type").cloned() {
                    members.insert("type".to_owned(), json!([kind, "null"]));
                }
                if let Some(Value::Array(options)) = members.get_mut("enum")
                    && !options.contains(&Value::Null)
                {
                    options.push(Value::Null);
                }
            }
            members.values_mut().for_each(read_nullable);
        }
        Value::Array(elements) => elements.iter_mut().for_each(read_nullable),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(version: &str) -> Value {
        json!({
            "openapi": version,
            "paths": {
                "/links": {
                    "summary": "links",
                    "get": { "operationId": "listLinks" },
                    "post": {
                        "operationId": "createLink",
                        "requestBody": { "$ref": "#/components/requestBodies/Link" },
                    },
                },
            },
            "components": {
                "requestBodies": {
                    "Link": {
                        "required": true,
                        "content": {
                            "application/json": { "schema": { "$ref": "#/components/schemas/Link" } },
                        },
                    },
                },
                "schemas": {
                    "Link": {
                        "type": "object",
                        "required": ["target_url"],
                        "properties": {
                            "target_url": { "type": "string" },
                            "title": { "type": "string", "nullable": true },
                        },
                    },
                },
            },
        })
    }

    #[test]
    fn an_operation_s_schema_is_found_through_its_references() {
        for version in ["3.0.3", "3.1.0"] {
            let schema = body_schema(&document(version), "createLink").expect(version);
            assert!(!schema.may_be_absent());
            schema.check(br#"{"target_url":"x"}"#).expect(version);
            schema.check(br#"{"target_url":7}"#).expect_err(version);
            schema.check(b"{}").expect_err(version);
            let null = schema.check(br#"{"target_url":"x","title":null}"#);
            assert_eq!(null.is_ok(), version == "3.0.3", "nullable is of 3.0");
        }
    }

    #[test]
    fn what_a_document_lacks_is_named() {
        let cases = [
            (document("2.0"), "createLink", "is no OpenAPI document of version 3"),
            (document("3.1.0"), "createLnk", "has no operation named createLnk"),
            (document("3.1.0"), "listLinks", "which takes no body"),
        ];
        for (document, operation, expected) in cases {
            let reason = body_schema(&document, operation).expect_err(expected);
            assert!(reason.ends_with(expected), "{reason}");
        }
    }
}
