//! Places: where a part's value stands in the answer.
//!
//! Parts are namespaced by their names; `into` and `merge = "root"` place them elsewhere. Two
//! parts that claim one place are a mistake, unless the later one says how they become one.

use crate::aggregation::merge::Policy;
use crate::aggregation::values::Path;

/// Where a part's value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aggregation) enum Place {
    /// A member of the answer: the part's own name, or another.
    Member {
        /// `None`: the part's own name.
        name: Option<Box<str>>,
        /// What happens where a part stands already that was declared before.
        policy: Policy,
    },
    /// The members of its value are members of the answer.
    Root { policy: Policy },
    /// A member of another part's value.
    Into {
        /// The other part, by number.
        host: usize,
        /// The way from its value to the object.
        path: Path,
        name: Box<str>,
        policy: Policy,
    },
}

impl Place {
    /// The answer's member that it is; `part` is the part's name.
    pub(in crate::aggregation) fn member<'a>(&'a self, part: &'a str) -> Option<&'a str> {
        match self {
            Self::Member { name, .. } => Some(name.as_deref().unwrap_or(part)),
            Self::Root { .. } | Self::Into { .. } => None,
        }
    }

    pub(in crate::aggregation) const fn policy(&self) -> Policy {
        match self {
            Self::Member { policy, .. } | Self::Root { policy } | Self::Into { policy, .. } => {
                *policy
            }
        }
    }

    /// The place as people write it, to find two that are the same; `part` is the part's name.
    pub(super) fn text(&self, part: &str, names: &[&str]) -> String {
        match self {
            Self::Member { .. } => self.member(part).unwrap_or_default().to_owned(),
            Self::Root { .. } => "the root".to_owned(),
            Self::Into { host, path, name, .. } => {
                let host = names.get(*host).copied().unwrap_or_default();
                let way = [host].into_iter().chain(path.names().iter().map(|name| &**name));
                way.chain([&**name]).collect::<Vec<_>>().join(".")
            }
        }
    }
}
