//! Reading a client's body before it is sent on, so that it can be sent again; no further than may
//! be kept.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::body::{Body, BodyError};
use crate::upstream::failed::CallFailed;

/// The body, at hand where it has up to `size_max` bytes; a longer one goes on as it comes. One
/// that says beforehand that it is longer is not touched.
///
/// # Errors
///
/// [`CallFailed::BodyRefused`] and [`CallFailed::Broken`] when it ends early.
pub async fn read_ahead(mut body: Body, size_max: usize) -> Result<Body, CallFailed> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if body.is_at_hand() || announced > size_max {
        return Ok(body);
    }
    let (mut pieces, mut size) = (VecDeque::new(), 0);
    while let Some(frame) = body.frame().await {
        // Whoever has trailers to pass on does not read ahead.
        if let Ok(piece) = frame.map_err(CallFailed::from_body)?.into_data() {
            size += piece.len();
            pieces.push_back(piece);
        }
        if size > size_max {
            return Ok(Body::boxed(Begun { pieces, size: size as u64, rest: body }));
        }
    }
    Ok(whole(pieces, size).into())
}

/// One piece; the only one is not copied.
fn whole(mut pieces: VecDeque<Bytes>, size: usize) -> Bytes {
    if pieces.len() < 2 {
        return pieces.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(size);
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    whole.freeze()
}

/// A body of which the first pieces are here already.
struct Begun {
    pieces: VecDeque<Bytes>,
    /// Bytes of all pieces.
    size: u64,
    rest: Body,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(piece) = this.pieces.pop_front() {
            this.size -= piece.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Pin::new(&mut this.rest).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + self.size);
        }
        hint.set_lower(hint.lower() + self.size);
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::FutureExt as _;
    use http_body_util::StreamBody;
    use proptest::prelude::*;

    use super::*;

    fn streamed(pieces: Vec<Vec<u8>>) -> Body {
        let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece.into())));
        Body::boxed(StreamBody::new(futures::stream::iter(frames)))
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("all of it is there")
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_none_beyond_the_bound_is_waited_for(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..12),
            size_max in 0..120_usize,
        ) {
            let all = pieces.concat();
            let read = run(read_ahead(streamed(pieces), size_max)).expect("no error");
            prop_assert_eq!(read.is_at_hand(), all.len() <= size_max);
            prop_assert!(read.size_hint().lower() as usize <= all.len());
            prop_assert_eq!(run(read.collect()).expect("no error").to_bytes(), all);
        }
    }

    #[test]
    fn a_body_that_is_known_to_be_too_long_is_not_touched() {
        let announced = || {
            let body = http_body_util::Full::new(Bytes::from(vec![b'x'; 100]));
            Body::boxed(body)
        };
        for (size_max, is_kept) in [(99, false), (100, true)] {
            let read = run(read_ahead(announced(), size_max)).expect("no error");
            assert_eq!(read.is_at_hand(), is_kept, "{size_max}");
            assert_eq!(run(read.collect()).expect("no error").to_bytes().len(), 100);
        }
    }
}
