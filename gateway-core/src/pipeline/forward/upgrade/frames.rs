//! Where one WebSocket frame ends and the next begins: all that a gateway must know to say goodbye
//! between two of them.
//!
//! Source: RFC 6455 §5.2. Extensions change what is in a payload, never where it ends.

/// Follows the frames that pass in one direction. Holds nothing of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frames {
    /// The head of the frame, as far as it is here: at most 2 bytes, 8 of length and 4 of mask.
    head: [u8; 14],
    head_length: usize,
    payload_left: u64,
    has_closed: bool,
}

impl Frames {
    /// Whether the next byte begins a frame.
    pub(super) const fn is_between(&self) -> bool {
        self.head_length == 0 && self.payload_left == 0
    }

    /// Whether a Close frame has begun to pass.
    pub(super) const fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// Follows `bytes`.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.step(bytes);
            bytes = bytes.get(count..).unwrap_or_default();
        }
    }

    /// How many of these bytes still belong to the frame that has begun.
    pub(super) fn rest(&self, bytes: &[u8]) -> usize {
        if self.is_between() { 0 } else { self.clone().step(bytes) }
    }

    /// Follows bytes to the end of a frame at most; says how many.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        if self.payload_left == 0 {
            for &byte in bytes {
                taken += 1;
                if let Some(place) = self.head.get_mut(self.head_length) {
                    *place = byte;
                }
                self.head_length += 1;
                if let Some(length) = self.payload_length() {
                    self.has_closed |= self.head[0] & 0x0f == 0x8;
                    self.head_length = 0;
                    self.payload_left = length;
                    break;
                }
            }
        }
        let rest = u64::try_from(bytes.len() - taken).unwrap_or(u64::MAX);
        let of_payload = self.payload_left.min(rest);
        self.payload_left -= of_payload;
        taken + usize::try_from(of_payload).unwrap_or(usize::MAX)
    }

    /// The payload's length, once the whole head is here.
    fn payload_length(&self) -> Option<u64> {
        let [_, second, rest @ ..] = &self.head;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        if self.head_length < 2 + extended + mask {
            return None;
        }
        Some(match extended {
            0 => u64::from(second & 0x7f),
            _ => rest.iter().take(extended).fold(0, |sum, &byte| (sum << 8) | u64::from(byte)),
        })
    }
}

/// A Close frame with a status, as a server sends it.
pub(super) const fn close(status: u16) -> [u8; 4] {
    let [high, low] = status.to_be_bytes();
    [0x88, 2, high, low]
}

/// A Close frame with a status, as a client sends it: masked.
pub(super) const fn masked_close(status: u16, mask: [u8; 4]) -> [u8; 8] {
    let [high, low] = status.to_be_bytes();
    let [first, second, third, fourth] = mask;
    [0x88, 0x82, first, second, third, fourth, high ^ first, low ^ second]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of so many bytes of payload, with or without a mask.
    fn frame(opcode: u8, payload: usize, is_masked: bool) -> Vec<u8> {
        let mask_bit = if is_masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match payload {
            0..=125 => frame.push(mask_bit | payload as u8),
            126..=0xffff => {
                frame.push(mask_bit | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask_bit | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        if is_masked {
            frame.extend([1, 2, 3, 4]);
        }
        // Looks like heads of Close frames to whoever loses count.
        frame.extend(std::iter::repeat_n(0x88, payload));
        frame
    }

    #[test]
    fn a_frame_ends_where_its_head_says_however_its_bytes_arrive() {
        for is_masked in [false, true] {
            for payload in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, 70_000] {
                let frame = frame(1, payload, is_masked);
                for piece in [1, 2, 3, 7, 4_096, frame.len()] {
                    let mut frames = Frames::default();
                    let mut passed = 0;
                    for bytes in frame.chunks(piece) {
                        assert_eq!(frames.is_between(), passed == 0, "{payload}/{piece}");
                        frames.pass(bytes);
                        passed += bytes.len();
                    }
                    assert!(frames.is_between() && !frames.has_closed(), "{payload}/{piece}");
                }
                let mut frames = Frames::default();
                frames.pass(&frame[..1]);
                let rest = [&frame[1..], &[0x88, 0][..]].concat();
                assert_eq!(frames.rest(&rest), frame.len() - 1, "{payload}");
            }
        }
    }

    #[test]
    fn a_close_frame_is_known_among_others() {
        let mut frames = Frames::default();
        frames.pass(&[frame(1, 300, true), frame(9, 4, true)].concat());
        assert!(!frames.has_closed());
        frames.pass(&masked_close(1001, [9, 8, 7, 6]));
        assert!(frames.has_closed() && frames.is_between());
        assert_eq!(close(1001), [0x88, 2, 3, 0xe9]);
        assert_eq!(masked_close(1001, [0; 4]), [0x88, 0x82, 0, 0, 0, 0, 3, 0xe9]);
    }
}
