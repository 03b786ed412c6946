//! Families whose labels are names of the configuration: what vanishes there, vanishes here.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::family::{Family, MetricConstructor};

/// A family that knows its labels, so that some can be removed. Without that, every name that a
/// configuration has ever had would be shown for as long as the process lives. Clones are the same
/// family.
#[derive(Debug, Clone)]
pub struct Named<S, M, C = fn() -> M> {
    family: Family<S, M, C>,
    made: Arc<Mutex<HashSet<S>>>,
}

impl<S: Clone + Hash + Eq, M: Default> Default for Named<S, M> {
    fn default() -> Self {
        Self::of(M::default)
    }
}

impl<S: Clone + Hash + Eq, M> Named<S, M> {
    /// A family whose metrics are made so.
    pub(super) fn of(make: fn() -> M) -> Self {
        Self { family: Family::new_with_constructor(make), made: Arc::default() }
    }
}

impl<S: Clone + Hash + Eq, M: Clone, C: MetricConstructor<M> + Clone> Named<S, M, C> {
    /// The family, for the registry.
    pub(super) fn family(&self) -> Family<S, M, C> {
        self.family.clone()
    }

    /// The metric of these labels. Whoever can, keeps it.
    pub fn get_or_create_owned(&self, labels: &S) -> M {
        if let Some(metric) = self.family.get(labels) {
            return metric.clone();
        }
        // Held on to, so that nobody removes it from the one and not yet from the other.
        let mut made = self.made();
        made.insert(labels.clone());
        self.family.get_or_create_owned(labels)
    }

    /// Removes what `is_kept` is false of. Who has kept such a metric counts for nobody.
    pub fn retain(&self, mut is_kept: impl FnMut(&S) -> bool) {
        self.made().retain(|labels| {
            let is_kept = is_kept(labels);
            if !is_kept {
                self.family.remove(labels);
            }
            is_kept
        });
    }

    fn made(&self) -> MutexGuard<'_, HashSet<S>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    type Labels = Vec<(String, String)>;

    fn labels(name: &str) -> Labels {
        vec![("route".to_owned(), name.to_owned())]
    }

    #[test]
    fn what_is_removed_begins_anew_and_what_is_kept_goes_on() {
        let named: Named<Labels, Counter> = Named::default();
        for name in ["old", "new"] {
            named.get_or_create_owned(&labels(name)).inc();
        }
        named.retain(|known| *known == labels("new"));
        let shown = |name| named.family.get(&labels(name)).map(|counter| counter.get());
        assert_eq!((shown("old"), shown("new"), named.made().len()), (None, Some(1), 1));
        assert_eq!(named.get_or_create_owned(&labels("new")).inc(), 1);
        assert_eq!(named.get_or_create_owned(&labels("old")).inc(), 0);
        named.retain(|_| false);
        assert_eq!(named.made().len(), 0);
    }
}
