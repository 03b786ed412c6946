//! A request that has no answer yet: its record is closed even when nobody waits for the answer.

use std::sync::Arc;

use crate::exchange::Exchange;
use crate::pipeline::Worker;
use crate::site::RouteMetrics;

/// The status in the record of a request whose client left before there was an answer: no client
/// ever sees it. The number is nginx's.
const CLIENT_LEFT: u16 = 499;

/// An exchange whose answer is being made. Dropped before it is answered, it writes its record.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) worker: Arc<Worker>,
    pub(super) exchange: Exchange,
    is_answered: bool,
}

impl InFlight {
    pub(super) fn new(worker: &Arc<Worker>, exchange: Exchange) -> Self {
        Self { worker: Arc::clone(worker), exchange, is_answered: false }
    }

    /// From here on the record is the answer's.
    pub(super) const fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let core = &self.worker.core;
        let record = &mut self.exchange.record;
        record.status = CLIENT_LEFT;
        record.code = Some("client_disconnected");
        record.latency = core.clock.now().since(self.exchange.started);
        // Whom the client did not want to wait for any longer, as far as is known.
        record.upstream = record.latency;
        core.metrics.active_requests.dec();
        let route = record.route.as_deref().unwrap_or("none");
        RouteMetrics::new(route).observe(&core.metrics, CLIENT_LEFT, record.latency);
        self.worker.lines.write(record);
    }
}
