//! What a team writes about an aggregate, and what is wrong with it.

use std::time::Duration;

use serde_json::Value;

use crate::aggregation::merge::Policy;
use crate::aggregation::part_cache::CacheRule;

/// Turns an XML document into JSON; `None` when it is none, or one that is not read.
pub type XmlToJson = fn(&[u8]) -> Option<Vec<u8>>;

/// Knows the services by name.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Option<usize>;

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
    /// Items of one `for_each`.
    pub items_max: usize,
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

/// How header fields of several answers become one answer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderRule {
    /// The first part's that has it.
    First,
    /// A field for each.
    All,
    /// One field, comma-separated.
    Join,
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
    /// Header fields that clients see, and how several become one.
    pub response_headers: Vec<(String, HeaderRule)>,
    /// Cookies that clients get.
    pub set_cookies: Vec<String>,
    /// Parts of at most this weight are left out under overload, as far as the answer can do
    /// without them.
    pub brownout_weight_max: u32,
    /// Names of header fields that are the gateway's own to send.
    pub reserved_headers: Vec<String>,
}

/// A part as it is declared.
#[derive(Debug, Clone, Default)]
pub struct PartSource {
    /// `[aggregates.….parts.<name>]`
    pub name: String,
    /// `GET service:/path/{identity.user_id}?limit={query.limit|20}`
    pub call: String,
    /// Header fields that are sent.
    pub headers: Vec<(String, String)>,
    /// The JSON body that is sent.
    pub body: Option<Value>,
    /// When it is called.
    pub when: Option<String>,
    /// The items it is called for.
    pub for_each: Option<String>,
    /// One call for many items.
    pub batch: Option<BatchSource>,
    /// Where its value stands.
    pub into: Option<String>,
    /// The members of its value stand in the answer itself.
    pub is_merged_into_root: bool,
    /// What happens where another value stands already.
    pub on_conflict: Option<Policy>,
    /// Not said: fallback where there is one, else optional.
    pub need: Option<Need>,
    /// The declared value, as JSON text.
    pub fallback: Option<String>,
    /// How the service's XML becomes JSON, where it answers XML.
    pub xml_to_json: Option<XmlToJson>,
    /// Members that nobody sees.
    pub drop: Option<String>,
    /// New names of members.
    pub rename: Vec<(String, String)>,
    /// Objects whose members move up.
    pub flatten: Vec<String>,
    /// Longest arrays.
    pub limits: Vec<(String, usize)>,
    /// Members that must be there.
    pub required_fields: Option<String>,
    /// A JSON Schema.
    pub schema: Option<Value>,
    /// The member that names the user whose data it is.
    pub owner: Option<String>,
    /// How long its answer may be used again.
    pub cache: Option<CacheSource>,
    /// The part's own time; without it, what is left of the answer's.
    pub deadline: Option<Duration>,
    /// Its share in the completeness, next to the other parts' weights; 1 where nothing is said.
    pub weight: u32,
}

/// `batch` as it is declared.
#[derive(Debug, Clone)]
pub struct BatchSource {
    /// Most items of one call.
    pub size: usize,
    /// The member of each result that says whose it is.
    pub key: String,
    /// Where the results are in the answer.
    pub from: Option<String>,
}

/// `cache` as it is declared.
pub type CacheSource = CacheRule;

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
    pub(in crate::aggregation) fn at(
        path: &[&str],
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        let path = path.iter().map(|&key| key.to_owned()).collect();
        Self { path, value: value.into(), reason: reason.into() }
    }
}
