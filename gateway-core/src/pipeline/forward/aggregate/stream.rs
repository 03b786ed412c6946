//! An answer that is sent part by part.
//!
//! The head waits for the first part: a request that cannot be answered at all is refused with a
//! status of its own. After that, a failure is the last frame.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Stream as _, StreamExt as _};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame};

use super::call::SiteCaller;
use super::note::note;
use crate::aggregation::failure::AggregateFailed;
use crate::aggregation::progress::{Event, Format, OwnedInputs, Progress};
use crate::aggregation::run::Environment;
use crate::aggregation::status::Report;
use crate::body::{Body, BodyError};
use crate::error::{Refusal, Refused};
use crate::exchange::{Exchange, RequestId, Step};
use crate::header::vary_on;
use crate::pipeline::respond::note_refusal;
use crate::pipeline::{EndedBy, OpenStream, Worker};
use crate::record::LateFacts;
use crate::site::{Aggregate, Site};

/// What an answer is sent with.
pub(super) struct Answering<'a> {
    pub(super) worker: &'a Arc<Worker>,
    pub(super) site: &'a Arc<Site>,
    pub(super) aggregate: &'a Arc<Aggregate>,
    pub(super) format: Format,
}

impl Answering<'_> {
    pub(super) async fn answer(
        self,
        environment: Environment<SiteCaller>,
        exchange: &mut Exchange,
        body: Option<Bytes>,
    ) -> Result<Response<Body>, Refused> {
        let inputs = OwnedInputs {
            principal: exchange.principal.clone(),
            params: exchange.params.clone(),
            query: exchange.head.uri.query().map(Into::into),
            headers: exchange.head.headers.clone(),
            body,
        };
        let view = Arc::clone(&self.aggregate.view);
        let open = self.worker.core.streams.enter(exchange);
        let mut progress = Progress::begin(view, environment, inputs);
        let first = poll_fn(|context| {
            if open.poll_ended(context) == Poll::Ready(EndedBy::Identity) {
                return Poll::Ready(Err(IdentityEnded));
            }
            progress.poll_next_unpin(context).map(Ok)
        });
        let first = first.await?;
        exchange.steps.take(Step::TransformResponse);
        let mut answer = Answer {
            worker: Arc::clone(self.worker),
            site: Arc::clone(self.site),
            aggregate: Arc::clone(self.aggregate),
            format: self.format,
            request_id: exchange.request_id,
            progress: Some(progress),
            first: None,
            open,
            late: Arc::default(),
        };
        if let Some(Event::Failed(failed)) = first {
            if let Some(report) = failed.report() {
                let _ = answer.late.set(answer.facts(report));
            }
            exchange.record.late = Some(answer.late);
            return Err(failed.into());
        }
        answer.first = first;
        exchange.record.late = Some(Arc::clone(&answer.late));
        let media_type = HeaderValue::from_static(self.format.media_type());
        let mut response = Response::new(Body::boxed(answer));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, media_type);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Proxies in front that hold answers back would undo all of it.
        let buffering = HeaderName::from_static("x-accel-buffering");
        headers.insert(buffering, HeaderValue::from_static("no"));
        vary_on(headers, "Accept");
        Ok(response)
    }
}

/// The body: it drives the calls as it is read.
struct Answer {
    worker: Arc<Worker>,
    site: Arc<Site>,
    aggregate: Arc<Aggregate>,
    format: Format,
    request_id: RequestId,
    /// `None` once the last frame is out.
    progress: Option<Progress>,
    first: Option<Event>,
    /// Its place among the open streams.
    open: OpenStream,
    late: Arc<OnceLock<LateFacts>>,
}

impl Answer {
    /// What the record holds of it, once there is a report.
    fn facts(&self, report: &Report) -> LateFacts {
        note(&self.worker, &self.site, &self.aggregate, report)
    }

    fn frame(&mut self, event: Event) -> Bytes {
        match event {
            Event::Part(json) => self.format.frame("part", &json),
            Event::Done(report) => {
                self.progress = None;
                let facts = self.facts(&report);
                let _ = self.late.set(facts);
                let mut json = b"{\"report\":".to_vec();
                report.write_meta(&mut json);
                json.push(b'}');
                self.format.frame("report", &json)
            }
            Event::Failed(failed) => {
                self.progress = None;
                self.failed(failed)
            }
        }
    }

    fn failed(&self, failed: AggregateFailed) -> Bytes {
        let facts = failed.report().map(|report| self.facts(report));
        self.refused(&failed.into(), facts.unwrap_or_default())
    }

    /// The last frame of an answer that has begun, and ends in a refusal.
    fn refused(&self, refused: &Refused, facts: LateFacts) -> Bytes {
        note_refusal(&self.worker, &self.request_id, refused);
        let code = Some(refused.refusal().code());
        let _ = self.late.set(LateFacts { code, ..facts });
        let problem = refused.problem(&self.request_id).to_string();
        self.format.frame("error", format!("{{\"error\":{problem}}}").as_bytes())
    }

    /// Whoever asked is not who they were any more: what is under way is given up, and no further
    /// part is shown.
    fn identity_ended(&mut self) -> Bytes {
        self.progress = None;
        self.refused(&IdentityEnded.into(), LateFacts::default())
    }
}

/// Whoever asked has logged out, or lost the right to, since the answer began.
#[derive(Debug, thiserror::Error)]
#[error("whoever asked is not who they were any more")]
struct IdentityEnded;

impl Refusal for IdentityEnded {
    fn status(&self) -> StatusCode {
        StatusCode::UNAUTHORIZED
    }
    fn code(&self) -> &'static str {
        EndedBy::Identity.code()
    }
    fn detail(&self) -> Cow<'static, str> {
        "The session, token or key that this was asked with is not valid any more.".into()
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        // A drain does not end it: it is due soon, and the drain waits for it.
        if this.progress.is_some()
            && this.open.poll_ended(context) == Poll::Ready(EndedBy::Identity)
        {
            return Poll::Ready(Some(Ok(Frame::data(this.identity_ended()))));
        }
        let first = this.first.take();
        let event = match (first, &mut this.progress) {
            (Some(event), _) => Some(event),
            (None, Some(progress)) => ready!(Pin::new(progress).poll_next(context)),
            (None, None) => None,
        };
        Poll::Ready(event.map(|event| Ok(Frame::data(this.frame(event)))))
    }

    fn is_end_stream(&self) -> bool {
        self.progress.is_none()
    }
}
