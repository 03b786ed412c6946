//! Priority: who goes first when there is not room for everybody.
//!
//! Not here: how full it must be for whom (`upstream` for a service, `server` for the gateway).

/// The class of a request, or of a call on its behalf; the lowest is turned away first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A part that its answer can do without. No request is of this class: answers become smaller
    /// before anybody is refused.
    Spare,
    /// Programs that come again when they are refused.
    Batch,
    /// Integrators' programs, which somebody may wait for.
    Partner,
    /// A person waits.
    Interactive,
}

impl Priority {
    /// The word in configuration and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spare => "spare",
            Self::Batch => "batch",
            Self::Partner => "partner",
            Self::Interactive => "interactive",
        }
    }
}
