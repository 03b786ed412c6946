//! What operators see: [`access_log`] is one line for each request, [`diagnostics`] is what the
//! gateway says about itself, [`otlp`] is how the spans of some requests reach a collector, and
//! [`wall_clock`] tells of a system's clock that was set back.
//!
//! The first are three ways on purpose: an access line costs a tenth of what it would as a tracing event, and a
//! span of a request that is not recorded nothing at all.
//!
//! Not here: the line's schema (`record`), the metrics (`metric`), the page that shows them
//! (`admin`).

pub mod access_log;
pub mod diagnostics;
pub mod otlp;
pub mod wall_clock;
