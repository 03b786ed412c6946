//! A request that has no answer yet: its record is closed even when nobody waits for the answer.

use std::sync::Arc;

use super::closing::Closing;
use crate::error::InternalError;
use crate::exchange::Exchange;
use crate::pipeline::{Worker, request_span};
use crate::site::{Route, Site};

/// The status in the record of a request whose client left before there was an answer: no client
/// ever sees it. The number is nginx's.
const CLIENT_LEFT: u16 = 499;

/// An exchange whose answer is being made. Dropped before it is answered, it writes its record.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) worker: Arc<Worker>,
    pub(super) site: Arc<Site>,
    pub(super) exchange: Exchange,
    is_answered: bool,
}

impl InFlight {
    pub(super) fn new(worker: &Arc<Worker>, site: &Arc<Site>, exchange: Exchange) -> Self {
        let (worker, site) = (Arc::clone(worker), Arc::clone(site));
        Self { worker, site, exchange, is_answered: false }
    }

    /// The route, once there is one.
    pub(super) fn route(&self) -> Option<&Route> {
        self.exchange.route.and_then(|index| self.site.routes.get(index))
    }

    /// From here on the record is the answer's.
    pub(super) fn answered(mut self) -> Closing {
        self.is_answered = true;
        self.closing()
    }

    fn closing(&mut self) -> Closing {
        let mut span = std::mem::take(&mut self.exchange.span);
        request_span::name(&mut span, self.route(), &self.exchange.record);
        let route = self.route().map(|route| &route.metrics);
        Closing {
            metrics: Arc::clone(route.unwrap_or(&self.site.unrouted_metrics)),
            worker: Arc::clone(&self.worker),
            started: self.exchange.started,
            streams_since: None,
            record: self.exchange.record.take(),
            span,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut closing = self.closing();
        let is_panic = std::thread::panicking();
        (closing.record.status, closing.record.code) = if is_panic {
            (500, Some(InternalError::CODE))
        } else {
            (CLIENT_LEFT, Some("client_disconnected"))
        };
        // Whom the client did not want to wait for any longer, as far as is known.
        closing.record.upstream = self.worker.core.clock.now().since(self.exchange.started);
        closing.close(None);
    }
}
