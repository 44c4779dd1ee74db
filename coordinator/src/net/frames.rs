//! Counts the HTTP/2 frames in a connection's bytes as they pass; payloads are not read.
//!
//! A frame costs its receiver about the same whatever its size: a PING of 17 bytes, or 128 KiB of a gradient.
//! So a flood consists of frames that carry next to nothing. Pure; [`pending`](super::pending) decides what a
//! count means.

/// Length of the connection preface that a client sends first.
const PREFACE_BYTES: usize = 24;
/// Length of a frame's head: payload length (3 bytes), type, flags, stream (4 bytes).
const HEAD_BYTES: usize = 9;
/// Type of the frames that carry messages.
const DATA: u8 = 0;
/// Smallest payload of a message frame that is worth the frame's cost.
const CARRIES_BYTES: usize = 1024;

/// Parser state within the stream of frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the preface or of a payload that are still to pass.
    skip: usize,
    head: [u8; HEAD_BYTES],
    /// Bytes of the next head that have arrived.
    known: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: PREFACE_BYTES, head: [0; HEAD_BYTES], known: 0 }
    }
}

impl Frames {
    /// Passes the next bytes. Returns how many frames begin in them that carry next to nothing.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) -> u32 {
        let mut small = 0;
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            let taken = (HEAD_BYTES - self.known).min(bytes.len() - skipped);
            let head = &bytes[skipped..skipped + taken];
            self.head[self.known..self.known + taken].copy_from_slice(head);
            self.known += taken;
            bytes = &bytes[skipped + taken..];
            if self.skip > 0 || self.known < HEAD_BYTES {
                return small;
            }
            let [high, middle, low, kind, ..] = self.head;
            self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            self.known = 0;
            small += u32::from(kind != DATA || self.skip < CARRIES_BYTES);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, bytes: usize) -> Vec<u8> {
        let length = [bytes >> 16, bytes >> 8, bytes].map(|part| part as u8);
        [&length[..], &[kind, 0, 0, 0, 0, 1], &vec![0; bytes]].concat()
    }

    #[test]
    fn small_frames_are_counted_however_the_bytes_are_cut() {
        let settings = frame(4, 0);
        let frames =
            [settings, frame(1, 70), frame(DATA, 40), frame(DATA, 130_000), frame(6, 8), frame(DATA, 1024)];
        let bytes = [&[0; PREFACE_BYTES][..], &frames.concat()].concat();
        for cut in [1, 2, 7, 9, 10, 33, 1000, bytes.len()] {
            let mut frames = Frames::default();
            assert_eq!(bytes.chunks(cut).map(|part| frames.pass(part)).sum::<u32>(), 4, "cut to {cut}");
        }
    }

    #[test]
    fn frames_without_a_payload_count() {
        let mut frames = Frames::default();
        frames.pass(&[0; PREFACE_BYTES]);
        assert_eq!(frames.pass(&frame(DATA, 0).repeat(100)), 100);
    }
}
