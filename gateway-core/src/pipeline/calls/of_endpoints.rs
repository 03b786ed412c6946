//! Calls that a gateway's own endpoints make: by a service's name, and answered whole.
//!
//! Not here: the endpoints (`endpoint`), what a service learns of the request (`dress`).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use super::{CallContext, call};
use crate::aggregation::part_cache::Purge;
use crate::body::Body;
use crate::error::{InternalError, Refused};
use crate::exchange::{Credential, Exchange};
use crate::pipeline::Worker;
use crate::pipeline::call_span::CallSpan;
use crate::record::Attempts;
use crate::site::{Service, Site};
use crate::upstream::{self, Answer, CallFailed};

/// What the calls made on a request's behalf came to, for its record.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Tally {
    pub(in crate::pipeline) services: Vec<Arc<str>>,
    pub(in crate::pipeline) waited: Duration,
}

/// Lets an endpoint of the gateway's own call services by their names.
#[derive(Clone)]
pub struct ServiceCalls {
    worker: Arc<Worker>,
    site: Arc<Site>,
    context: CallContext,
    tally: Arc<Mutex<Tally>>,
    attempts: Arc<Attempts>,
    credential: Credential,
}

impl fmt::Debug for ServiceCalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceCalls").field("context", &self.context).finish_non_exhaustive()
    }
}

impl ServiceCalls {
    pub(in crate::pipeline) fn new(
        worker: &Arc<Worker>,
        site: &Arc<Site>,
        exchange: &Exchange,
    ) -> Self {
        let (worker, site) = (Arc::clone(worker), Arc::clone(site));
        let (context, credential) = (CallContext::of(exchange), exchange.credential);
        let (tally, attempts) = (Arc::default(), Arc::default());
        Self { worker, site, context, tally, attempts, credential }
    }

    /// Calls a service and takes its answer whole, within the request's deadline and the
    /// service's ceiling for bodies. The service sees the path, the headers and the body of
    /// `request`, and who asks.
    ///
    /// # Errors
    ///
    /// [`InternalError`] for a name that is not configured, and every [`CallFailed`].
    pub async fn call(
        &self,
        service: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Refused> {
        let service =
            self.site.services.iter().find(|known| &*known.name == service).ok_or_else(|| {
                InternalError(format!("no service named `{service}` is configured").into())
            })?;
        let started = self.worker.core.clock.now();
        let request = request.map(Body::from);
        let retry = service.retry.as_ref();
        let through = (&*self.worker, &*self.site);
        let span = CallSpan::of_service(&self.context.trace, service, &request);
        let behalf = (&self.context, &span, &*self.attempts);
        let called = call(through, service, behalf, retry, request).await;
        span.end(&called.outcome);
        let outcome = match called.outcome {
            Ok(answer) => whole(service, answer).await,
            Err(failed) => Err(failed),
        };
        let waited = self.worker.core.clock.now().since(started);
        self.note(service, waited);
        Ok(outcome?)
    }

    /// Forgets every answer that was kept for whom this request is from: what they were shown must
    /// not be shown again after a logout.
    pub fn forget_kept(&self) {
        if let Some(principal) = &self.context.principal {
            let user_id = principal.user_id.as_str();
            self.worker.core.part_cache.purge(Purge::Identity(user_id));
        }
    }

    /// Ends the streams that were opened with this request's credential: after a logout nothing
    /// more may come out of them.
    pub fn end_streams(&self) {
        self.worker.core.streams.end_of_credential(self.credential);
    }

    fn note(&self, service: &Service, waited: Duration) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        if !tally.services.contains(&service.name) {
            tally.services.push(Arc::clone(&service.name));
        }
        tally.waited += waited;
    }

    /// How often services were asked; more while they are.
    pub(in crate::pipeline) fn attempts(&self) -> Arc<Attempts> {
        Arc::clone(&self.attempts)
    }

    pub(in crate::pipeline) fn tally(&self) -> Tally {
        std::mem::take(&mut *self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Takes an answer's body whole, below the service's ceiling.
async fn whole(service: &Service, answer: Answer) -> Result<Response<Bytes>, CallFailed> {
    let (head, body) = answer.response.into_parts();
    let body = upstream::collect(body, service.body_size_max).await?;
    Ok(Response::from_parts(head, body))
}
