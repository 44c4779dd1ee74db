//! Whether a JPEG file has its end, and data for its size.
//!
//! A file is a row of segments, each a marker (0xFF and a code) and most with their length (ITU-T T.81, annex
//! B.1.1). After a start of scan comes entropy-coded data, in which 0xFF is followed by 0, by the code of a
//! restart, or by the next marker. A thumbnail lies within a segment, so its end is not taken for the
//! picture's. What the segments hold, the decoder checks.

/// Start of image, as a code.
const START: u8 = 0xd8;
/// End of image, as a code.
const END: u8 = 0xd9;

/// Whether the end of the image comes before the end of the file.
pub(super) fn is_whole(content: &[u8]) -> bool {
    let mut rest = content;
    while let Some(at) = rest.iter().position(|&byte| byte == 0xff) {
        rest = &rest[at + 1..];
        let Some(&code) = rest.first() else { return false };
        match code {
            // Fill bytes: the code is still to come.
            0xff => continue,
            END => return true,
            // Data that looks like a marker, restarts, and codes without a length.
            0 | 0x01 | START | 0xd0..=0xd7 => rest = &rest[1..],
            _ => {
                let Some(&[_, high, low]) = rest.first_chunk() else { return false };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(behind) = rest.get(1 + length..) else { return false };
                rest = behind;
            }
        }
    }
    false
}

/// Whether a file of so many bytes can hold a picture of this size. Of the component with most samples every
/// block of 8x8 has at least a bit: the code of its mean (ITU-T T.81, annexes F.1.2 and G.1.2).
pub(super) fn can_hold(bytes: usize, width: u32, height: u32) -> bool {
    let [across, down] = [width, height].map(|side| u64::from(side.div_ceil(8)));
    across * down <= 8 * bytes as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An application segment that holds a thumbnail's end, a scan with data that looks like markers, and an
    /// end.
    const WHOLE: [u8; 24] = [
        0xff, 0xd8, 0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2, 0xff, 0xda, 0, 3, 9, 7, 0xff, 0, 8, 0xff, 0xd3, 5,
        0xff, 0xd9,
    ];

    #[test]
    fn each_block_needs_a_bit() {
        assert!(can_hold(2, 64, 16) && can_hold(2, 57, 9) && !can_hold(2, 65, 16) && !can_hold(2, 64, 17));
        assert!(!can_hold(1 << 20, u32::MAX, u32::MAX) && can_hold(0, 0, 9));
    }

    #[test]
    fn only_the_pictures_own_end_counts() {
        assert!(is_whole(&WHOLE));
        assert!(is_whole(&[&WHOLE[..], b"more"].concat()));
        for cut in 0..WHOLE.len() {
            assert!(!is_whole(&WHOLE[..cut]), "{cut}");
        }
    }
}
