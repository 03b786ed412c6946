//! What can go wrong on a connection.

use std::io;

use crate::body::BodyError;

/// Why a request got no answer, or why an answer ended early.
#[derive(Debug, thiserror::Error)]
pub(in crate::upstream) enum Failed {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[source] io::Error),
    /// The service hung up too early.
    #[error("the connection ended too early")]
    Ended,
    /// A reused connection ended between a request and the first byte of its answer.
    #[error("a reused connection ended before the first byte of the answer")]
    DiedUnanswered,
    /// There were bytes that no request had asked for.
    #[error("the service spoke unasked")]
    Unasked,
    /// What came is not HTTP, or could be read in two ways.
    #[error("the answer is not HTTP/1.1: {0}")]
    Malformed(&'static str),
    /// The head of the answer is longer than that.
    #[error("the head of the answer is longer than {0} bytes")]
    HeadTooLarge(usize),
    /// The client's body broke off, or was cut off, on its way to the service.
    #[error("the request's body broke off")]
    Body(#[source] BodyError),
}
