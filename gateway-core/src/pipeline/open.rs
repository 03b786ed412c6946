//! Step 2: the record is opened, before anything can fail.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, header};

use crate::exchange::{Credential, Exchange, RequestId, Step, Steps};
use crate::guard::client_address;
use crate::header::{X_FORWARDED_PROTO, X_REQUEST_ID};
use crate::pipeline::Core;
use crate::pipeline::request_span;
use crate::record::Record;
use crate::server::Transport;
use crate::site::Site;
use crate::trace_context::TraceContext;

/// The longest path that is written down of a request whose path was refused.
const RAW_PATH_MAX: usize = 256;

/// Opens the exchange and its record.
pub(super) fn open(core: &Core, site: &Arc<Site>, head: Parts, transport: &Transport) -> Exchange {
    let timestamp = core.clock.wall();
    let started = core.clock.now();
    let peer = transport.peer.ip();
    let proxy = peer.to_canonical();
    let is_from_proxy = site.trusted_proxies.iter().any(|network| network.contains(&proxy));
    let request_id =
        known_request_id(&head, is_from_proxy).unwrap_or_else(|| RequestId::generate(timestamp));
    let mut trace = TraceContext::from_headers(&head.headers, is_from_proxy);
    let span = request_span::open(core, &mut trace, &head, (timestamp, started));
    let mut record = Record::open(request_id, timestamp, Arc::clone(&site.gateway));
    record.method.clone_from(&head.method);
    record.path = cut(head.uri.path(), RAW_PATH_MAX).into();
    record.trace_id = Some(trace.trace_id().into());
    let client = client_address::resolve(peer, &head.headers, &site.trusted_proxies);
    let says_https = || head.headers.get(X_FORWARDED_PROTO).is_some_and(|said| said == "https");
    let is_https = transport.is_tls || (is_from_proxy && says_https());
    let mut steps = Steps::default();
    steps.take(Step::Open);
    core.metrics.active_requests.inc();
    Exchange {
        request_id,
        path: Box::default(),
        client,
        started,
        deadline: started.after(site.deadline),
        route: None,
        params: Vec::new(),
        principal: None,
        credential: Credential::None,
        trace,
        span,
        is_https,
        client_certificate: transport.client_certificate.clone(),
        may_have_unread_body: may_have_unread_body(&head),
        steps,
        answer_headers: Vec::new(),
        record,
        head,
    }
}

/// Writes down what a request line says, as far as it says anything.
pub(super) fn note(line: &[u8], record: &mut Record) {
    let mut words = line.split(|&byte| byte == b' ');
    let method = words.next().and_then(|method| Method::from_bytes(method).ok());
    record.method = method.unwrap_or_else(|| Method::from_bytes(b"-").unwrap_or_default());
    // Never the query.
    let target = words.next().unwrap_or_default();
    let path = target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    record.path = cut(&String::from_utf8_lossy(path), RAW_PATH_MAX).into();
}

/// Bytes of a body that are read along with the head, as good as always.
const READ_ALONG: u64 = 4 * 1024;

/// A refused request's body is not read. Where more of it may follow than has arrived with the
/// head, the connection must end, and the client be told.
fn may_have_unread_body(head: &Parts) -> bool {
    let headers = &head.headers;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.contains_key(header::EXPECT)
        || length.is_some_and(|length| length.parse().is_ok_and(|length: u64| length > READ_ALONG))
}

/// The id that a listed proxy gave the request. Nobody else's is believed.
fn known_request_id(head: &Parts, is_from_proxy: bool) -> Option<RequestId> {
    if !is_from_proxy {
        return None;
    }
    let mut values = head.headers.get_all(X_REQUEST_ID).iter();
    let (Some(only), None) = (values.next(), values.next()) else { return None };
    RequestId::parse(only.to_str().ok()?)
}

fn cut(text: &str, longest: usize) -> &str {
    text.get(..text.floor_char_boundary(longest)).unwrap_or(text)
}
