//! `[aggregation]`, `[aggregates.*]` and `[views.*]`: answers composed of several services'.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::gate::{Decide, Maintenance};
use super::{BodyRule, Priority, Scheme};
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
    /// Items that one `for_each` runs over.
    #[schemars(range(min = 1))]
    pub items_max: usize,
    /// Bytes of all answers that are kept for parts with a `cache`, on all cores together.
    pub cache_size_max: ByteSize,
    /// Parts of at most this weight are left out under overload, as far as answers can do without.
    #[schemars(range(max = 1_000))]
    pub brownout_weight_max: u32,
}

/// `[aggregates.*]`: the calls that make up an answer.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// Time for the whole answer.
    pub deadline: Duration,
    /// `required`: every part is, whatever it says itself.
    pub need: Option<Need>,
    /// Header fields of the services' answers that the client sees, and how several become one.
    #[serde(default)]
    pub response_headers: BTreeMap<String, HeaderRule>,
    /// Cookies of the services' answers that the client gets, by name.
    #[serde(default)]
    pub set_cookies: Vec<String>,
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
    /// How the answer's body becomes JSON.
    pub convert: Option<BodyRule>,
    /// Header fields that are sent, with bindings.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The JSON body that is sent, with bindings in its texts.
    pub body: Option<Value>,
    /// When it is called; else it is skipped.
    pub when: Option<String>,
    /// The items that it is called for: `links.items`.
    pub for_each: Option<String>,
    /// One call for many items.
    pub batch: Option<Batch>,
    /// Where its value stands, instead of under its own name: `links.items.clicks`.
    pub into: Option<String>,
    /// `root`: the members of its value stand in the answer itself.
    pub merge: Option<Merge>,
    /// What happens where another value stands already.
    pub on_conflict: Option<Conflict>,
    /// Members that nobody sees, in the language of fields.
    pub drop: Option<String>,
    /// New names of members, by path.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Objects whose members move up into the object around them, by path.
    #[serde(default)]
    pub flatten: Vec<String>,
    /// Longest arrays, by path.
    #[serde(default)]
    pub limit: BTreeMap<String, usize>,
    /// Members that must be there, in the language of fields.
    pub required_fields: Option<String>,
    /// What the value must look like: a JSON Schema.
    pub schema: Option<Value>,
    /// The member that names the user whose data it is; another user's data is never shown.
    pub owner: Option<String>,
    /// How long its answer may be used again.
    pub cache: Option<PartCache>,
    /// Time for it; absent: what is left of the answer's.
    pub deadline: Option<Duration>,
    /// Its share in the answer's completeness.
    #[serde(default = "weight")]
    #[schemars(range(min = 1, max = 1_000))]
    pub weight: u32,
}

/// `[aggregates.*.parts.*.batch]`: one call for many items.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Most items of one call.
    #[schemars(range(min = 1, max = 1_000))]
    pub size: usize,
    /// The member of each result that says whose it is.
    #[serde(rename = "match")]
    pub key: String,
    /// Where the results are in the answer; absent: the answer is the list.
    pub from: Option<String>,
}

/// `[aggregates.*.parts.*.cache]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartCache {
    /// How long an answer is as good as a new one.
    pub ttl: Duration,
    /// How long after that it is still shown, while a new one is fetched.
    pub stale_while_revalidate: Option<Duration>,
    /// How long after that it is shown where no new one can be had.
    pub stale_if_error: Option<Duration>,
    /// Who may be shown it.
    #[serde(default)]
    pub scope: CacheScope,
}

/// Who may be shown a kept answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheScope {
    /// Only whom it was fetched for.
    #[default]
    Identity,
    /// Everybody: the service is not told who asks.
    Shared,
}

/// Where a part's value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// Its members stand in the answer itself.
    Root,
}

/// What happens where two values claim one place; the later one is that of the part declared later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// The earlier one stays.
    First,
    /// The later one stays.
    Last,
    /// Objects are merged, member by member; of anything else the later one stays.
    Deep,
    /// Arrays are joined; of anything else the later one stays.
    Concat,
}

/// How header fields of several answers become one answer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeaderRule {
    /// The first part's that has it.
    First,
    /// A field for each.
    All,
    /// One field, comma-separated.
    Join,
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
    /// What of it is not shown all the same, in the same syntax.
    pub drop: Option<String>,
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
    /// What must hold of the caller, beside what the policy requires.
    pub require: Option<String>,
    /// The service that decides whether a request may go on.
    pub decide: Option<Decide>,
    /// Why no service decides, though one whose answers it shows has its own requests decided about.
    pub undecided: Option<String>,
    /// Whether the view is closed for now.
    pub maintenance: Option<Maintenance>,
    /// Why no limit applies, not even the inherited ones.
    pub unlimited: Option<String>,
    /// Limits, added to the inherited ones.
    #[serde(default)]
    pub limits: Vec<String>,
    /// The whole time for one request.
    pub deadline: Option<Duration>,
    /// Who goes first where there is not room for everybody.
    pub priority: Option<Priority>,
}

const fn weight() -> u32 {
    1
}
