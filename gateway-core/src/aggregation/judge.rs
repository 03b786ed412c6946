//! Judging: whether a service's answer is a part's value, and what of it is kept.
//!
//! In one pass over the bytes where nothing looks into the part: validated and projected at once,
//! or validated and spliced as it is.
//!
//! Not here: what a failure does to the answer (`run`).

use bytes::Bytes;

use super::caller::{PartAnswer, PartFailure};
use super::fields::Fields;
use super::json_scan::one_value;
use super::part_cache::{Value, may_be_kept};
use super::plan::{Part, Plan, Recipe};
use super::projection::project;
use super::status::Reason;

pub(super) const NULL: Bytes = Bytes::from_static(b"null");

/// The part's value: valid JSON, converted, kept to its contract and shaped; projected at once
/// where `shown` says to.
pub(super) fn judge(
    plan: &Plan,
    part: &Part,
    answer: PartAnswer,
    user_id: Option<&str>,
    shown: Option<&Fields>,
) -> Result<Value, PartFailure> {
    let PartAnswer { status, headers, retry_after, body, .. } = answer;
    if status.is_redirection() {
        return Err(Reason::Redirect.into());
    }
    if !status.is_success() {
        return Err(PartFailure { retry_after, ..Reason::Status(status).into() });
    }
    let json = if body.is_empty() {
        part.recipe.contract.check(&NULL, user_id)?;
        NULL
    } else {
        part.recipe.value(body, plan.caps.part_size_max, user_id, shown)?
    };
    let kept = if plan.keeps_headers() { plan.kept_headers(&headers) } else { Vec::new() };
    let may_be_kept = part.cache.is_some_and(|rule| may_be_kept(&headers, rule.is_shared));
    Ok(Value { json, headers: kept, may_be_kept })
}

impl Recipe {
    fn value(
        &self,
        body: Bytes,
        size_max: usize,
        user_id: Option<&str>,
        shown: Option<&Fields>,
    ) -> Result<Bytes, Reason> {
        if body.len() > size_max {
            return Err(Reason::TooLarge);
        }
        let json = match self.xml_to_json {
            Some(to_json) => Bytes::from(to_json(&body).ok_or(Reason::Unparsable)?),
            None => body,
        };
        if json.len() > size_max {
            return Err(Reason::TooLarge);
        }
        if let (Some(fields), true) = (shown, self.contract.is_none() && self.shape.is_none()) {
            return project(&json, fields).map_err(|_| Reason::Unparsable);
        }
        let valid = json.slice_ref(one_value(&json).map_err(|_| Reason::Unparsable)?);
        self.contract.check(&valid, user_id)?;
        match &self.shape {
            Some(shape) => shape.apply(&valid).map(Bytes::from).map_err(|_| Reason::Unparsable),
            None => Ok(valid),
        }
    }
}
