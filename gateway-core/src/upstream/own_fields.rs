//! Header fields that a call has in place of whatever its request says under their names.
//!
//! A handful of them, so they are a list: each call has others, and a map would be built for
//! nothing.
//!
//! Not here: what several calls have in common (`shared_fields`).

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

/// Fields of one call.
#[derive(Debug, Default)]
pub(crate) struct OwnFields(SmallVec<[(HeaderName, Option<HeaderValue>); 4]>);

impl OwnFields {
    /// This value stands under the name, and no other. Say it once for each name.
    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, Some(value)));
    }

    /// The same, in front of all others: `Host` is best there (RFC 9110 §7.2).
    pub(super) fn set_first(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.insert(0, (name, Some(value)));
    }

    /// Nothing stands under the name.
    pub(crate) fn leave_out(&mut self, name: HeaderName) {
        self.0.push((name, None));
    }

    /// Whether it is settled here what stands under the name.
    pub(super) fn settles(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(own, _)| own == name)
    }

    /// The fields.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
    }

    /// Puts them in their places among others.
    pub(crate) fn settle_in(self, fields: &mut HeaderMap) {
        for (name, value) in self.0 {
            match value {
                Some(value) => drop(fields.insert(name, value)),
                None => drop(fields.remove(name)),
            }
        }
    }
}
