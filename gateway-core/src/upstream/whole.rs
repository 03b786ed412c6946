//! Reading a body whole, where the gateway must hold it: it fails while it is being read.

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::body::Body;
use crate::upstream::failed::CallFailed;

/// All of an answer's body, which may have up to `size_max` bytes. Trailers are dropped.
///
/// A body that arrived in one piece is not copied.
///
/// # Errors
///
/// [`CallFailed::TooLarge`] as soon as it is known, before the rest is read;
/// [`CallFailed::ReadTimedOut`] and [`CallFailed::Broken`] when it ends early.
pub async fn collect(mut body: Body, size_max: usize) -> Result<Bytes, CallFailed> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > size_max {
        return Err(CallFailed::TooLarge(size_max));
    }
    let Some(first) = next(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if body.is_end_stream() && first.len() <= size_max {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(announced);
    let mut piece = first;
    loop {
        if piece.len() > size_max - whole.len() {
            return Err(CallFailed::TooLarge(size_max));
        }
        whole.extend_from_slice(&piece);
        match next(&mut body).await? {
            Some(next) => piece = next,
            None => return Ok(whole.freeze()),
        }
    }
}

/// The next bytes; `None` at the end.
async fn next(body: &mut Body) -> Result<Option<Bytes>, CallFailed> {
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.map_err(CallFailed::from_body)?.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
