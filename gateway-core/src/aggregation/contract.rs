//! Contracts: what a service's answer must look like to be shown.
//!
//! A wrong shape is a failure of that part, named, instead of a wrong answer for users.
//! `required_fields` and `owner` look at the bytes; a JSON Schema needs a tree, and only of parts
//! that have one.
//!
//! Not here: what a failure does to the answer (`run`).

use std::fmt;

use serde_json::Value;

use super::fields::Fields;
use super::json_scan::{NotJson, Scanner};
use super::status::Reason;
use super::values::{Path, scalar, spells};

/// What must hold.
#[derive(Debug, Default)]
pub(super) struct Contract {
    required: Option<Fields>,
    schema: Option<Schema>,
    owner: Option<Path>,
}

struct Schema(jsonschema::Validator);

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

impl Contract {
    /// Members that must be there: `id,items(id)`. Arrays are crossed: each element must have them.
    pub(super) fn require(&mut self, text: &str) -> Result<(), String> {
        let fields = Fields::parse(text).map_err(|error| error.to_string())?;
        self.required = Some(fields);
        Ok(())
    }

    /// A JSON Schema. What it refers to must be within it.
    pub(super) fn schema(&mut self, schema: &Value) -> Result<(), String> {
        let validator = jsonschema::validator_for(schema)
            .map_err(|error| format!("is no JSON Schema: {error}"))?;
        self.schema = Some(Schema(validator));
        Ok(())
    }

    /// The member that names the user whose data it is.
    pub(super) fn owner(&mut self, text: &str) -> Result<(), String> {
        self.owner = Some(Path::parse(text, '/')?);
        Ok(())
    }

    pub(super) const fn is_none(&self) -> bool {
        self.required.is_none() && self.schema.is_none() && self.owner.is_none()
    }

    /// Whether a valid JSON value keeps it; `user_id` is who asks.
    pub(super) fn check(&self, json: &[u8], user_id: Option<&str>) -> Result<(), Reason> {
        if let Some(owner) = &self.owner {
            let mut scanner = Scanner::of_valid(json);
            let mut is_owned =
                |user_id| is_owned(&mut scanner, owner.names(), user_id).unwrap_or(false);
            if json != b"null" && !user_id.is_some_and(&mut is_owned) {
                return Err(Reason::ForeignData);
            }
        }
        let has_required = self
            .required
            .as_ref()
            .is_none_or(|fields| has_all(&mut Scanner::of_valid(json), fields).unwrap_or(false));
        let fits = |Schema(schema): &Schema| {
            serde_json::from_slice(json).is_ok_and(|value: Value| schema.is_valid(&value))
        };
        if !has_required || !self.schema.as_ref().is_none_or(fits) {
            return Err(Reason::Contract);
        }
        Ok(())
    }
}

/// Whether the member at the path is this user, in each element of each array. Data that does not
/// say whose it is, is nobody's.
fn is_owned(from: &mut Scanner<'_>, path: &[Box<str>], user_id: &str) -> Result<bool, NotJson> {
    match (from.peek()?, path) {
        (b'[', _) => {
            let mut holds = true;
            let mut has_more = from.enter(b']')?;
            while has_more {
                holds &= is_owned(from, path, user_id)?;
                has_more = from.more(b']')?;
            }
            Ok(holds)
        }
        (b'{', [name, rest @ ..]) => {
            let (mut is_there, mut holds) = (false, true);
            let mut has_more = from.enter(b'}')?;
            while has_more {
                if spells(&from.key()?, name) {
                    is_there = true;
                    holds &= is_owned(from, rest, user_id)?;
                } else {
                    from.value()?;
                }
                has_more = from.more(b'}')?;
            }
            Ok(is_there && holds)
        }
        (_, path) => {
            let value = from.value()?;
            Ok(path.is_empty() && scalar(value).is_some_and(|text| text == user_id))
        }
    }
}

/// Whether a value, and each element of an array, has all the members. A scalar has none.
fn has_all(from: &mut Scanner<'_>, fields: &Fields) -> Result<bool, NotJson> {
    if fields.shows_everything() {
        return from.value().map(|_| true);
    }
    match from.peek()? {
        b'{' => {
            let (mut found, mut holds) = (Vec::new(), true);
            let mut has_more = from.enter(b'}')?;
            while has_more {
                let key = from.key()?;
                match fields.names().find(|known| spells(&key, known)) {
                    Some(known) => {
                        found.push(known);
                        let below = fields.child(known);
                        holds &= below.map_or(Ok(true), |below| has_all(from, below))?;
                    }
                    None => drop(from.value()?),
                }
                has_more = from.more(b'}')?;
            }
            Ok(holds && fields.names().all(|name| found.contains(&name)))
        }
        b'[' => {
            let mut holds = true;
            let mut has_more = from.enter(b']')?;
            while has_more {
                holds &= has_all(from, fields)?;
                has_more = from.more(b']')?;
            }
            Ok(holds)
        }
        _ => from.value().map(|_| false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(contract: &Contract, json: &str, expected: Result<(), Reason>) {
        assert_eq!(contract.check(json.as_bytes(), Some("4821")), expected, "{json}");
    }

    #[test]
    fn required_fields_are_there_in_each_element_of_an_array() {
        let mut contract = Contract::default();
        contract.require("total,items(id,utm/source)").expect("fields");
        check(&contract, r#"{"total":null,"items":[]}"#, Ok(()));
        check(&contract, r#"{"total":1,"items":[{"id":1,"utm":{"source":1}}]}"#, Ok(()));
        for wrong in [
            r#"{"items":[]}"#,
            r#"{"total":1}"#,
            r#"{"total":1,"items":[{"id":1}]}"#,
            r#"{"total":1,"items":[{"id":1,"utm":"text"}]}"#,
            r#"{"total":1,"items":null}"#,
            "[1]",
            "null",
        ] {
            check(&contract, wrong, Err(Reason::Contract));
        }
    }

    #[test]
    fn a_json_schema_is_kept_or_the_part_fails() {
        let mut contract = Contract::default();
        let schema = json!({ "type": "object", "required": ["plan"],
                             "properties": { "plan": { "enum": ["free", "pro"] } } });
        contract.schema(&schema).expect("a schema");
        check(&contract, r#"{"plan":"pro","more":1}"#, Ok(()));
        check(&contract, r#"{"plan":"gold"}"#, Err(Reason::Contract));
        check(&contract, "[]", Err(Reason::Contract));
        let error = Contract::default().schema(&json!({ "type": "objekt" })).expect_err("none");
        assert!(error.contains("is no JSON Schema"), "{error}");
        let outside = json!({ "$ref": "https://schemas.example/plan.json" });
        assert!(Contract::default().schema(&outside).is_err(), "nothing is fetched");
    }

    #[test]
    fn anothers_data_is_never_shown() {
        let mut contract = Contract::default();
        contract.owner("items/owner_id").expect("a path");
        check(&contract, r#"{"items":[{"owner_id":"4821"},{"owner_id":4821}]}"#, Ok(()));
        check(&contract, r#"{"items":[]}"#, Ok(()));
        let foreign = r#"{"items":[{"owner_id":"4821"},{"owner_id":"4822"}]}"#;
        check(&contract, foreign, Err(Reason::ForeignData));
        for unsaid in [
            r#"{"items":[{"owner_id":{}}]}"#,
            r#"{"items":[{"owner_id":null}]}"#,
            r#"{"items":[{"owner_id":"4821"},{}]}"#,
            r#"{"items":["4821"]}"#,
            "{}",
            r#""4821""#,
        ] {
            check(&contract, unsaid, Err(Reason::ForeignData));
        }
        check(&contract, "null", Ok(()));
        assert_eq!(
            contract.check(br#"{"items":[{"owner_id":"1"}]}"#, None),
            Err(Reason::ForeignData)
        );
    }
}
