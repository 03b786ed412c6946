//! The plan of an aggregate: its declaration, checked and compiled when configuration is loaded.
//!
//! [`PlanSource`] is what a team wrote, [`Plan`] what requests run; every mistake is reported at
//! once, each as a [`PlanError`] with the key it stands under.
//!
//! Not here: what a view shows of it (`View`), how it is run (`parts`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::bindings::CallTemplate;
use super::json_scan::one_value;

/// Turns an XML document into JSON; `None` when it is none, or one that is not read.
pub type XmlToJson = fn(&[u8]) -> Option<Vec<u8>>;

/// The ceilings of every aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Parts of one aggregate.
    pub parts_max: usize,
    /// Calls of one answer that are under way at a time; the others wait.
    pub concurrent_calls_max: usize,
    /// Bytes of one part's body, as it arrives and as JSON.
    pub part_size_max: usize,
    /// Bytes of all parts in one answer.
    pub answer_size_max: usize,
}

/// What a part's failure does to the answer, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The answer fails.
    Required,
    /// The part is null.
    Optional,
    /// The part is the declared value.
    Fallback,
}

/// An aggregate as it is declared.
#[derive(Debug, Clone)]
pub struct PlanSource {
    /// `[aggregates.<name>]`
    pub aggregate: String,
    /// The whole answer's time.
    pub deadline: Duration,
    /// `need = "required"` on the aggregate: every part is required, whatever it says itself.
    pub is_all_or_nothing: bool,
    /// In the order in which they are declared, which is the order of the answer.
    pub parts: Vec<PartSource>,
    /// The ceilings.
    pub caps: Caps,
}

/// A part as it is declared.
#[derive(Debug, Clone)]
pub struct PartSource {
    /// `[aggregates.….parts.<name>]`
    pub name: String,
    /// `GET service:/path/{identity.user_id}?limit={query.limit|20}`
    pub call: String,
    /// Not said: fallback where there is one, else optional.
    pub need: Option<Need>,
    /// The declared value, as JSON text.
    pub fallback: Option<String>,
    /// How the service's XML becomes JSON, where it answers XML.
    pub xml_to_json: Option<XmlToJson>,
    /// The part's own time; without it, what is left of the answer's.
    pub deadline: Option<Duration>,
    /// Its share in the completeness, next to the other parts' weights; 1 by default.
    pub weight: u32,
}

/// A mistake in a declaration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", path.join("."))]
pub struct PlanError {
    /// The key it stands under, from the root of the configuration.
    pub path: Vec<String>,
    /// What is written there.
    pub value: String,
    /// What is wrong with it: the end of a sentence that starts with the key.
    pub reason: String,
}

impl PlanError {
    pub(super) fn at(path: &[&str], value: impl Into<String>, reason: impl Into<String>) -> Self {
        let path = path.iter().map(|&key| key.to_owned()).collect();
        Self { path, value: value.into(), reason: reason.into() }
    }
}

/// An aggregate that can be run.
#[derive(Debug)]
pub struct Plan {
    pub(super) deadline: Duration,
    pub(super) parts: Vec<Part>,
    pub(super) caps: Caps,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: Arc<str>,
    pub(super) call: CallTemplate,
    /// The service, by the resolver's number.
    pub(super) service: usize,
    pub(super) on_failure: OnFailure,
    pub(super) xml_to_json: Option<XmlToJson>,
    pub(super) deadline: Option<Duration>,
    pub(super) weight: u32,
}

/// What a part's failure does to the answer.
#[derive(Debug)]
pub(super) enum OnFailure {
    FailAnswer,
    Null,
    Value(Bytes),
}

impl Plan {
    /// Checks and compiles a declaration. `resolve` knows the services by name.
    ///
    /// # Errors
    ///
    /// Every mistake of the declaration.
    pub fn compile(
        source: &PlanSource,
        resolve: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<Self, Vec<PlanError>> {
        let mut errors = Vec::new();
        let at = ["aggregates", &*source.aggregate, "parts"];
        if source.parts.is_empty() || source.parts.len() > source.caps.parts_max {
            let reason = format!("must be from 1 to {} parts", source.caps.parts_max);
            errors.push(PlanError::at(&at, source.parts.len().to_string(), reason));
        }
        if source.deadline.is_zero() {
            let at = ["aggregates", &*source.aggregate, "deadline"];
            errors.push(PlanError::at(&at, "0s", "must be longer than nothing"));
        }
        let mut names = HashSet::new();
        let mut parts = Vec::with_capacity(source.parts.len());
        for part in &source.parts {
            if !names.insert(&*part.name) {
                errors.push(PlanError::at(&at, &*part.name, "two parts have this name"));
            }
            let mut problems = Problems { aggregate: &source.aggregate, part, found: Vec::new() };
            parts.extend(Part::compile(source, resolve, &mut problems));
            errors.append(&mut problems.found);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { deadline: source.deadline, parts, caps: source.caps })
    }

    /// The parts' names, in declaration order.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|part| &*part.name)
    }
}

/// The mistakes of one part.
struct Problems<'a> {
    aggregate: &'a str,
    part: &'a PartSource,
    found: Vec<PlanError>,
}

impl Problems<'_> {
    fn add(&mut self, key: &str, value: impl Into<String>, reason: impl Into<String>) {
        let at = ["aggregates", self.aggregate, "parts", &*self.part.name, key];
        self.found.push(PlanError::at(&at, value, reason));
    }
}

impl Part {
    fn compile(
        source: &PlanSource,
        resolve: &dyn Fn(&str) -> Option<usize>,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let part = problems.part;
        if !is_name(&part.name) {
            let at = ["aggregates", &*source.aggregate, "parts", &*part.name];
            let reason = "must be 1 to 64 letters, digits, \"-\" and \"_\", a letter first";
            problems.found.push(PlanError::at(&at, &*part.name, reason));
        }
        if part.deadline.is_some_and(|deadline| deadline.is_zero()) {
            problems.add("deadline", "0s", "must be longer than nothing");
        }
        if !(1..=1_000).contains(&part.weight) {
            problems.add("weight", part.weight.to_string(), "must be from 1 to 1000");
        }
        let on_failure = OnFailure::compile(source, problems);
        let call = match CallTemplate::parse(&part.call) {
            Ok(call) => call,
            Err(reason) => {
                problems.add("call", &*part.call, reason);
                return None;
            }
        };
        let Some(service) = resolve(&call.service) else {
            let reason = format!("there is no service {:?}", call.service);
            problems.add("call", &*part.call, reason);
            return None;
        };
        Some(Self {
            name: (*part.name).into(),
            call,
            service,
            on_failure: on_failure?,
            xml_to_json: part.xml_to_json,
            deadline: part.deadline,
            weight: part.weight,
        })
    }
}

impl OnFailure {
    fn compile(source: &PlanSource, problems: &mut Problems<'_>) -> Option<Self> {
        let part = problems.part;
        let value = match part.fallback.as_deref() {
            Some(text) if one_value(text.as_bytes()).is_err() => {
                problems.add("fallback", text, "must be one JSON value");
                return None;
            }
            text => text.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        };
        match (part.need, value) {
            (None | Some(Need::Fallback), Some(_)) if source.is_all_or_nothing => {
                Some(Self::FailAnswer)
            }
            (None | Some(Need::Fallback), Some(value)) => Some(Self::Value(value)),
            (Some(Need::Fallback), None) => {
                problems.add("need", "fallback", "needs a \"fallback\" to fall back to");
                None
            }
            (Some(Need::Required | Need::Optional), Some(_)) => {
                problems.add("need", "", "must be \"fallback\" where there is a \"fallback\"");
                None
            }
            (Some(Need::Required), None) => Some(Self::FailAnswer),
            (None | Some(Need::Optional), None) => {
                Some(if source.is_all_or_nothing { Self::FailAnswer } else { Self::Null })
            }
        }
    }
}

/// A name that is a JSON key, a field, a token of RFC 9651 and a metric's name as it stands.
fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        && name.len() <= 64
}

#[cfg(test)]
mod tests {
    use super::super::testing::{aggregate, part};
    use super::*;

    fn mistakes(source: &PlanSource) -> Vec<String> {
        let resolve = |name: &str| (name == "s").then_some(0);
        Plan::compile(source, &resolve)
            .err()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn every_mistake_of_a_declaration_is_reported_at_once_under_its_key() {
        let fallback = |need, fallback: &str| PartSource {
            need: Some(need),
            fallback: (!fallback.is_empty()).then(|| fallback.to_owned()),
            ..part("f", "GET s:/f")
        };
        let source = PlanSource {
            deadline: Duration::ZERO,
            ..aggregate(vec![
                part("a", "GET other:/a"),
                part("a", "PUT s:/a"),
                part("_meta", "GET s:/b"),
                PartSource { weight: 0, deadline: Some(Duration::ZERO), ..part("c", "GET s:/c") },
                fallback(Need::Fallback, ""),
                PartSource { name: "g".into(), ..fallback(Need::Required, "1") },
                PartSource { name: "h".into(), ..fallback(Need::Fallback, "{plan}") },
            ])
        };
        assert_eq!(
            mistakes(&source),
            [
                "aggregates.dashboard.deadline: must be longer than nothing",
                "aggregates.dashboard.parts.a.call: there is no service \"other\"",
                "aggregates.dashboard.parts: two parts have this name",
                "aggregates.dashboard.parts.a.call: must be a GET: the parts of an aggregate read",
                "aggregates.dashboard.parts._meta: must be 1 to 64 letters, digits, \"-\" and \
                 \"_\", a letter first",
                "aggregates.dashboard.parts.c.deadline: must be longer than nothing",
                "aggregates.dashboard.parts.c.weight: must be from 1 to 1000",
                "aggregates.dashboard.parts.f.need: needs a \"fallback\" to fall back to",
                "aggregates.dashboard.parts.g.need: must be \"fallback\" where there is a \
                 \"fallback\"",
                "aggregates.dashboard.parts.h.fallback: must be one JSON value",
            ]
        );
    }

    #[test]
    fn an_aggregate_has_from_one_part_to_the_cap() {
        let many = |count: usize| {
            let parts = (0..count).map(|number| part(&format!("p{number}"), "GET s:/"));
            mistakes(&aggregate(parts.collect()))
        };
        let refused = ["aggregates.dashboard.parts: must be from 1 to 32 parts"];
        assert_eq!(many(0), refused);
        assert!(many(1).is_empty() && many(32).is_empty());
        assert_eq!(many(33), refused);
    }
}
