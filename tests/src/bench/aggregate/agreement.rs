//! Before anything is measured: every peer answers the same, and ours does all that it is charged
//! for.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::bench::gateway::{self, Gateway};
use crate::bench::{parts, upstream};

/// An answer of all parts is those parts and nothing else.
pub(super) fn is_whole(answer: &Value) -> Result<()> {
    ensure!(*answer == parts::whole()?, "its answer is not the five parts");
    Ok(())
}

/// The compact answer shows about a third of every part, unchanged.
pub(super) fn is_a_third(answer: &Value) -> Result<()> {
    let whole = parts::whole()?;
    ensure!(is_part_of(answer, &whole), "its answer holds what the parts do not");
    for part in parts::ALL {
        ensure!(!answer[part.name].is_null(), "its answer lacks {}", part.name);
    }
    let percent = 100 * answer.to_string().len() / whole.to_string().len();
    ensure!((25..=42).contains(&percent), "its answer is {percent} % of the whole, not a third");
    Ok(())
}

/// Whether a value is another with members left out.
fn is_part_of(value: &Value, whole: &Value) -> bool {
    match (value, whole) {
        (Value::Object(value), Value::Object(whole)) => value
            .iter()
            .all(|(name, value)| whole.get(name).is_some_and(|whole| is_part_of(value, whole))),
        (Value::Array(value), Value::Array(whole)) => {
            value.len() == whole.len()
                && value.iter().zip(whole).all(|(value, whole)| is_part_of(value, whole))
        }
        _ => value == whole,
    }
}

/// Sees every policy at work once on views, and on the calls of their parts: a gateway that left
/// one out would be flattered.
pub(super) async fn check_policies(gateway: &Gateway, token: &str) -> Result<()> {
    gateway.check_policies(token).await?;
    for path in ["/answer", "/answer/compact"] {
        let answer = gateway.admitted(path, token).await?;
        for (header, of_each_part) in [("aggregate-status", ";o=ok"), ("server-timing", ";dur=")] {
            let said = answer.headers().get(header).and_then(|said| said.to_str().ok());
            let parts = said.unwrap_or_default().matches(of_each_part).count();
            ensure!(parts == parts::ALL.len(), "{header} of {path} tells of {parts} parts");
        }
    }
    let seen = gateway.admitted("/answer/seen", token).await?.bytes().await?;
    let seen: Value = serde_json::from_slice(&seen)?;
    let seen = seen["seen"]["head"].as_str();
    gateway::check_seen(seen.with_context(|| format!("no head at {}", upstream::SEEN_AS_JSON))?)?;
    let metrics = gateway.metrics().await?;
    for part in parts::ALL {
        let label = format!("part=\"{}\"", part.name);
        ensure!(metrics.contains(&label), "not counted in the metrics: {label}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_with_anything_more_or_less_is_not_the_whole() {
        let mut answer = parts::whole().expect("JSON");
        assert!(is_whole(&answer).is_ok());
        answer["usage"]["plan"] = json!("free");
        assert!(is_whole(&answer).is_err());
    }

    #[test]
    fn a_part_of_a_value_leaves_members_out_and_changes_none() {
        let whole = json!({ "a": [{ "b": 1, "c": 2 }, { "b": 3 }], "d": null });
        for (value, expected) in [
            (json!({ "a": [{ "b": 1 }, { "b": 3 }] }), true),
            (json!({ "a": [{ "b": 1 }] }), false),
            (json!({ "a": [{ "b": 2 }, { "b": 3 }] }), false),
            (json!({ "e": 1 }), false),
        ] {
            assert_eq!(is_part_of(&value, &whole), expected, "{value}");
        }
    }
}
