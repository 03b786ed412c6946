//! Tasks: how many there are on the runtimes of this process.
//!
//! Each connection of a client is one, and so is whatever goes on beside the requests; a number
//! that grows while the load does not is a leak. Nothing counts along: the runtimes know.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::runtime::RuntimeMetrics;

/// Labels of the runtimes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RuntimeKind {
    /// `core` for all cores together, `background` for everything beside them.
    pub runtime: &'static str,
}

/// `gateway_tasks`, and the runtimes it is read from.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    runtimes: Arc<Mutex<Vec<(RuntimeKind, RuntimeMetrics)>>>,
    alive: Family<RuntimeKind, Gauge>,
}

impl Tasks {
    /// Counts the tasks of one more runtime from now on.
    pub fn count(&self, runtime: &'static str, metrics: RuntimeMetrics) {
        let mut runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        runtimes.push((RuntimeKind { runtime }, metrics));
    }

    pub(super) fn family(&self) -> Family<RuntimeKind, Gauge> {
        self.alive.clone()
    }

    /// Sets the gauges to what there is now.
    pub(super) fn set(&self) {
        let runtimes = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
        self.alive.clear();
        for (kind, metrics) in &*runtimes {
            let alive = i64::try_from(metrics.num_alive_tasks()).unwrap_or(i64::MAX);
            self.alive.get_or_create(kind).inc_by(alive);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::metric::Metrics;
    use tokio::runtime::Builder;

    #[test]
    fn the_tasks_of_all_runtimes_of_a_kind_are_counted_when_the_page_is_read() {
        let metrics = Metrics::new();
        let [one, other] = [(), ()].map(|()| {
            let runtime = Builder::new_current_thread().build().expect("a runtime");
            metrics.tasks.count("core", runtime.metrics());
            runtime
        });
        let line = |count| format!("\ngateway_tasks{{runtime=\"core\"}} {count}\n");
        assert!(metrics.render().contains(&line(0)));
        let waiting = one.spawn(std::future::pending::<()>());
        drop(other.spawn(std::future::pending::<()>()));
        assert!(metrics.render().contains(&line(2)), "{}", metrics.render());
        waiting.abort();
        assert!(one.block_on(waiting).is_err());
        assert!(metrics.render().contains(&line(1)), "{}", metrics.render());
    }
}
