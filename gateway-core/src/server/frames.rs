//! The frames of an HTTP/2 connection, counted as they pass.
//!
//! The library bounds what frames make it remember, and nothing bounds how often a client may make
//! it do something for nothing: cancel what it has just asked for, ping, change its settings. So
//! frames that carry nothing cost a token each, and a client without tokens is cut. Tokens come
//! back with time, and with what the client takes, whose acknowledgements are such frames too: with
//! bytes, and with the pieces of a stream that was handed over, each of which may be small.
//!
//! Small frames of data are counted too, for nothing but fairness: the library ends a connection on
//! which two thousand of them lie unread, so that who reads them must have its turn before.
//!
//! Not here: what a frame means, and whether it is well-formed (the library).

use std::time::Duration;

use tokio::time::Instant;

use crate::server::intake::PREFACE;

/// A cancelled stream has made the gateway begin a request.
const RESET_COST: u32 = 10;

/// A fiftieth of the tokens comes back each second: a flood that is just slow enough costs
/// nothing to speak of.
const REFILL_TIME: Duration = Duration::from_secs(50);

/// Sent bytes for which a client gets a token: it may acknowledge a frame of 16 KiB twice, for the
/// stream and for the connection, and once more for luck.
const BYTES_PER_TOKEN: usize = 4 * 1024;

/// Bytes from which on a frame of data is not small. The library's.
const SMALL_SIZE: usize = 256;

const HEADER_SIZE: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;

const END_STREAM: u8 = 1;

/// Where a connection stands between its frames, and what they have cost.
#[derive(Debug)]
pub(super) struct Frames {
    /// What of a frame's header is here.
    header: [u8; HEADER_SIZE],
    header_size: usize,
    /// Bytes until the next header.
    left: usize,
    tokens: u32,
    tokens_max: u32,
    refilled: Instant,
    /// Sent, and not turned into tokens yet.
    sent: usize,
    /// Small frames of data since they were last asked about.
    small: u32,
    says_goodbye: bool,
}

impl Frames {
    /// A connection that opens with the preface.
    pub(super) fn new(tokens_max: u32) -> Self {
        Self {
            header: [0; HEADER_SIZE],
            header_size: 0,
            left: PREFACE.len(),
            tokens: tokens_max,
            tokens_max,
            refilled: Instant::now(),
            sent: 0,
            small: 0,
            says_goodbye: false,
        }
    }

    /// Follows the frames through `bytes`. Whether the client still has tokens.
    #[must_use]
    pub(super) fn take(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        loop {
            let here = self.left.min(rest.len());
            self.left -= here;
            rest = rest.get(here..).unwrap_or_default();
            let Some((&byte, after)) = rest.split_first() else { return true };
            if let Some(place) = self.header.get_mut(self.header_size) {
                *place = byte;
            }
            self.header_size += 1;
            rest = after;
            if self.header_size == HEADER_SIZE {
                self.header_size = 0;
                if !self.begin() {
                    return false;
                }
            }
        }
    }

    /// So many bytes have been taken by the client.
    pub(super) fn sent(&mut self, size: usize) {
        self.sent += size;
        if self.sent >= BYTES_PER_TOKEN {
            let earned = u32::try_from(self.sent / BYTES_PER_TOKEN).unwrap_or(u32::MAX);
            self.sent %= BYTES_PER_TOKEN;
            self.earn(earned);
        }
    }

    /// How many small frames of data have come since the last call.
    pub(super) fn take_small(&mut self) -> u32 {
        std::mem::take(&mut self.small)
    }

    /// Whether the client has said that it will ask for nothing more.
    pub(super) const fn says_goodbye(&self) -> bool {
        self.says_goodbye
    }

    /// So many tokens come back.
    pub(super) fn earn(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens).min(self.tokens_max);
    }

    /// A frame's header is whole. Whether the frame can be paid for.
    fn begin(&mut self) -> bool {
        let [high, middle, low, kind, flags, ..] = self.header;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if kind == DATA && self.left < SMALL_SIZE {
            self.small += 1;
        }
        self.says_goodbye |= kind == GOAWAY;
        let cost = match kind {
            // It begins a request, and requests have limits of their own.
            HEADERS => 0,
            DATA if self.left > 0 || flags & END_STREAM != 0 => 0,
            RST_STREAM => RESET_COST,
            _ => 1,
        };
        if cost > self.tokens {
            self.refill();
        }
        let left = self.tokens.checked_sub(cost);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }

    /// Time is asked for only when tokens have run out.
    fn refill(&mut self) {
        let now = Instant::now();
        let since = std::mem::replace(&mut self.refilled, now);
        let share = (now - since).as_secs_f64() / REFILL_TIME.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the most there can be"
        )]
        let earned = (f64::from(self.tokens_max) * share.min(1.0)) as u32;
        self.earn(earned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let size = u8::try_from(payload.len()).expect("short");
        [&[0, 0, size, kind, flags, 0, 0, 0, 1][..], payload].concat()
    }

    /// Opens a connection and sends `frames` in pieces of `size`; whether all could be paid for.
    fn pays(frames: &mut Frames, sent: &[u8], size: usize) -> bool {
        sent.chunks(size).all(|piece| frames.take(piece))
    }

    #[tokio::test(start_paused = true)]
    async fn each_frame_that_carries_nothing_costs_and_in_whatever_pieces() {
        let (ping, reset) = (frame(6, 0, &[0; 8]), frame(RST_STREAM, 0, &[0; 4]));
        let empty = frame(DATA, 0, &[]);
        for (sent, is_paid) in [
            (ping.repeat(100), true),
            (ping.repeat(101), false),
            (reset.repeat(10), true),
            (reset.repeat(11), false),
            (empty.repeat(101), false),
            (frame(4, 0, &[0; 6]).repeat(101), false),
            (frame(8, 0, &[0; 4]).repeat(101), false),
            (frame(9, 4, &[]).repeat(101), false),
            (frame(77, 0, &[]).repeat(101), false),
            (frame(DATA, END_STREAM, &[]).repeat(1_000), true),
            (frame(DATA, 0, &[6; 20]).repeat(1_000), true),
            (frame(HEADERS, 5, &[3; 30]).repeat(1_000), true),
        ] {
            for size in [1, 7, 100, 100_000] {
                let mut frames = Frames::new(100);
                assert!(frames.take(PREFACE));
                let kind = sent[3];
                assert_eq!(pays(&mut frames, &sent, size), is_paid, "kind {kind} by {size}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn small_frames_of_data_are_counted() {
        let mut frames = Frames::new(100);
        let large = [&[0, 1, 0, DATA, 0, 0, 0, 0, 1][..], &[6; 256]].concat();
        let sent =
            [frame(DATA, 0, &[6; 255]), large, frame(DATA, 0, &[6]), frame(HEADERS, 5, &[3])];
        assert!(frames.take(PREFACE) && frames.take(&sent.concat()));
        assert_eq!((frames.take_small(), frames.take_small()), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_come_back_with_time_and_with_what_the_client_takes() {
        let ping = frame(6, 0, &[0; 8]);
        for (sent, seconds, back) in [(0, 0, 0), (2, 0, 3), (0, 5, 10), (1, 5, 12), (0, 5_000, 100)]
        {
            let mut frames = Frames::new(100);
            assert!(frames.take(PREFACE) && frames.take(&ping.repeat(100)));
            frames.sent(BYTES_PER_TOKEN - 1);
            frames.sent(BYTES_PER_TOKEN * sent);
            frames.sent(sent.min(1));
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert!(frames.take(&ping.repeat(back)), "{back}");
            assert!(!frames.take(&ping), "{back}");
        }
    }
}
