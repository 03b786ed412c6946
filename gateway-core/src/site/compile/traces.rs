//! `[traces]`

use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

use super::Report;
use crate::observability::otlp::ExportSettings;
use crate::trace_context::Ratio;

/// How requests are recorded, and where their spans go.
#[derive(Debug)]
pub struct Tracing {
    /// The share of traces about which nobody has decided.
    pub ratio: Ratio,
    /// Whether a listed proxy's decision holds.
    pub respects_parent: bool,
    /// Spans that wait for their export.
    pub queue_max: usize,
    /// Spans of one export.
    pub batch_max: usize,
    /// Where they go.
    pub export: ExportSettings,
}

/// What is recorded; `None` without a collector, and where something is wrong.
pub(super) fn compile(report: &mut Report<'_>) -> Option<Tracing> {
    let platform = report.platform();
    let traces = &platform.traces;
    let headers = headers(report);
    let text = traces.endpoint.as_ref()?;
    let endpoint = report.keep(&["traces", "endpoint"], text, Url::parse(text))?;
    let given = traces.attributes.iter().map(|(key, value)| (key.clone(), value.clone()));
    let name = ("service.name".to_owned(), platform.gateway.name.clone());
    let is_named = traces.attributes.contains_key("service.name");
    let resource = (!is_named).then_some(name).into_iter().chain(given).collect();
    Some(Tracing {
        ratio: Ratio::new(traces.ratio),
        respects_parent: traces.respect_parent,
        queue_max: traces.queue_max,
        batch_max: traces.batch_max,
        export: ExportSettings {
            endpoint,
            headers: headers?,
            resource,
            interval: traces.interval.get(),
            timeout: traces.timeout.get(),
        },
    })
}

fn headers(report: &mut Report<'_>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut is_right = true;
    for (name, secret) in &report.platform().traces.headers {
        let path = ["traces", "headers", name.as_str()];
        let parsed = HeaderName::try_from(name.as_str()).ok().filter(|name| *name != CONTENT_TYPE);
        let Some(parsed) = parsed else {
            report.add(&path, "***", "is no name of a header field, or one that the gateway sends");
            is_right = false;
            continue;
        };
        let Ok(mut value) = HeaderValue::from_str(secret.expose()) else {
            report.add(&path, "***", "is no value of a header field: visible ASCII in one line");
            is_right = false;
            continue;
        };
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    is_right.then_some(headers)
}
