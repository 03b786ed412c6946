//! The names of a site that label metrics.

use super::{Action, Limit, Site};
use crate::metric::Names;

impl Site {
    /// The names that label this site's metrics.
    #[must_use]
    pub fn names(&self) -> Names<'_> {
        let mut names = Names::default();
        names.routes.insert(Self::UNROUTED);
        names.limits.extend(self.limits_by_address.iter().map(Limit::name));
        names.services.extend(self.services.iter().map(|service| &*service.name));
        for route in &self.routes {
            names.routes.insert(&route.name);
            let limits = route.limits_by_address.iter().chain(&route.limits_by_consumer);
            names.limits.extend(limits.map(Limit::name));
            if let Action::Aggregate(aggregate) = &route.action {
                names.aggregates.insert(&aggregate.label.0);
            }
        }
        names
    }
}
