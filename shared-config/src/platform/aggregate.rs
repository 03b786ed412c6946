//! `[aggregation]`, `[aggregates.*]` and `[views.*]`: answers composed of several services'.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{BodyRule, Scheme};
use crate::layers::places::Places;
use crate::units::{ByteSize, Duration};

/// `[aggregation]`: ceilings of every aggregate.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregation {
    /// Parts of one aggregate.
    #[schemars(range(min = 1))]
    pub parts_max: usize,
    /// Calls of one answer that run at the same time.
    #[schemars(range(min = 1))]
    pub concurrent_calls_max: usize,
    /// Longest body of one part.
    pub part_size_max: ByteSize,
    /// Longest answer.
    pub answer_size_max: ByteSize,
}

/// `[aggregates.*]`: the calls that make up an answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// Time for the whole answer.
    pub deadline: Duration,
    /// `required`: every part is, whatever it says itself.
    pub need: Option<Need>,
    /// The parts, by name.
    #[schemars(extend("minProperties" = 1))]
    parts: BTreeMap<String, Part>,
    /// Their names in the order in which they are declared; loading fills it in.
    #[serde(skip)]
    #[schemars(skip)]
    order: Vec<String>,
}

impl Aggregate {
    /// The parts in the order in which they are declared: files in the order of the layers, lines
    /// from top to bottom.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.order.iter().filter_map(|name| Some((name.as_str(), self.parts.get(name)?)))
    }

    pub(super) fn keep_order(&mut self, aggregate: &str, places: &Places) {
        self.order = self.parts.keys().cloned().collect();
        self.order.sort_by_cached_key(|part| {
            let path = ["aggregates", aggregate, "parts", part];
            places.order(&path.map(str::to_owned))
        });
    }
}

/// `[aggregates.*.parts.*]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Method, service and target: `GET link-service:/links?owner={identity.user_id}`.
    pub call: String,
    /// What its failure means.
    pub need: Option<Need>,
    /// What stands in its place when it fails.
    pub fallback: Option<Value>,
    /// How its body is converted.
    pub body: Option<BodyRule>,
    /// Time for it; absent: what is left of the answer's.
    pub deadline: Option<Duration>,
    /// Its share in the answer's completeness.
    #[serde(default = "weight")]
    #[schemars(range(min = 1, max = 1_000))]
    pub weight: u32,
}

/// What a part's failure means for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// The answer fails.
    Required,
    /// The part is null.
    Optional,
    /// The part is its fallback value.
    Fallback,
}

/// `[views.*]`: what a gateway shows of an aggregate, and where.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Method and path: `GET /dashboard`.
    pub route: String,
    /// The aggregate; absent: the one with the view's own name.
    pub aggregate: Option<String>,
    /// What is shown, in the partial-response syntax; `*` for everything.
    pub fields: String,
    /// Longest arrays, by path.
    #[serde(default)]
    pub limit: BTreeMap<String, usize>,
    /// Whether the report of the parts also stands in the body, as `_meta`.
    #[serde(default)]
    pub meta: bool,
    /// How callers prove who they are.
    pub scheme: Option<Scheme>,
    /// Why callers need not prove who they are.
    pub public: Option<String>,
    /// Why no limit applies, not even the inherited ones.
    pub unlimited: Option<String>,
    /// Limits, added to the inherited ones.
    #[serde(default)]
    pub limits: Vec<String>,
    /// The whole time for one request.
    pub deadline: Option<Duration>,
}

const fn weight() -> u32 {
    1
}
