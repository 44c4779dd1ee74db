//! Records of a TensorBoard file, the framing of TFRecord: the length as u64, its checksum, that many bytes,
//! their checksum; all little-endian.
//!
//! A reader may have a file open while its results are dropped, and goes on where it was. So a record is
//! never taken out of a file: [`blank`] makes another one of the same length that says nothing.

use std::io::{self, Read};

/// Bytes around those of a record.
pub(super) const FRAME_BYTES: u64 = HEAD_BYTES + CHECK_BYTES;
/// Length and its checksum.
const HEAD_BYTES: u64 = 12;
const CHECK_BYTES: u64 = 4;
/// Largest record that is read or written: a picture of a thousand classes takes less.
pub(super) const RECORD_BYTES_MAX: u64 = 1 << 22;

/// First byte of a record with a time: field 1, eight bytes.
const TIME_KEY: u8 = 0x09;
/// Bytes of that field.
const TIME_BYTES: usize = 9;
/// A field that no reader knows: field 15, bytes with their length before them.
const UNKNOWN_KEY: u8 = 0x7a;

/// What stands at a place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A record, whose bytes were put into the buffer.
    Record,
    /// The end of the file.
    End,
    /// Bytes that are no whole record.
    Broken,
}

/// Appends a record.
pub(super) fn write(data: &[u8], to: &mut Vec<u8>) {
    let length = (data.len() as u64).to_le_bytes();
    to.extend_from_slice(&length);
    to.extend_from_slice(&check(&length));
    to.extend_from_slice(data);
    to.extend_from_slice(&check(data));
}

/// Reads the next record. Memory is bounded, whatever its length says.
///
/// # Errors
/// When the system reports one.
pub(super) fn read(mut from: impl Read, data: &mut Vec<u8>) -> io::Result<Next> {
    data.clear();
    let mut take = |bytes: u64, to: &mut Vec<u8>| from.by_ref().take(bytes).read_to_end(to);
    let mut head = Vec::with_capacity(HEAD_BYTES as usize);
    if take(HEAD_BYTES, &mut head)? == 0 {
        return Ok(Next::End);
    }
    let Some((length, given)) = head.split_first_chunk::<8>() else { return Ok(Next::Broken) };
    let bytes = u64::from_le_bytes(*length);
    if check(length) != given || bytes > RECORD_BYTES_MAX {
        return Ok(Next::Broken);
    }
    take(bytes, data)?;
    let mut given = Vec::with_capacity(CHECK_BYTES as usize);
    take(CHECK_BYTES, &mut given)?;
    Ok(if data.len() as u64 == bytes && given == check(data) { Next::Record } else { Next::Broken })
}

/// A record of the same length with the same time and nothing else. `None` for one of a single byte.
pub(super) fn blank(data: &[u8]) -> Option<Vec<u8>> {
    let kept = if data.len() > TIME_BYTES + 1 && data[0] == TIME_KEY { TIME_BYTES } else { 0 };
    let mut blank = data[..kept].to_vec();
    while blank.len() < data.len() {
        let left = data.len() - blank.len();
        // The bytes of a length, of which a few can't be had in one field: then an empty field comes first.
        let fits = |bytes: &usize| left > *bytes && varint(left - 1 - bytes).len() == *bytes;
        match (1..=4).find(fits) {
            Some(bytes) => {
                blank.push(UNKNOWN_KEY);
                blank.extend(varint(left - 1 - bytes));
                blank.resize(data.len(), 0);
            }
            None if left > 2 => blank.extend([UNKNOWN_KEY, 0]),
            None => return None,
        }
    }
    Some(blank)
}

/// A number in groups of seven bits, the lowest first.
fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// CRC-32C, turned and shifted so that the checksum of bytes that have one in them is of use.
fn check(bytes: &[u8]) -> [u8; 4] {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::proto::Event;
    use super::*;
    use prost::Message;

    #[test]
    fn checksums_are_those_of_the_format() {
        // CRC-32C of RFC 3720, appendix B.4, and one of LevelDB's tests.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c::crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_record_has_the_bytes_that_tensorboard_writes() {
        // tensorboard.summary.writer.record_writer.RecordWriter(file).write(b"abc")
        let expected =
            [3, 0, 0, 0, 0, 0, 0, 0, 0xb0, 0x99, 0x49, 0x0e, b'a', b'b', b'c', 0x6e, 0x57, 0xf1, 0x21];
        let mut bytes = Vec::new();
        write(b"abc", &mut bytes);
        assert_eq!(bytes, expected);
        assert_eq!(bytes.len() as u64, 3 + FRAME_BYTES);
    }

    #[test]
    fn what_is_no_whole_record_is_broken_wherever_it_is_torn_or_changed() {
        let mut bytes = Vec::new();
        write(b"abc", &mut bytes);
        let read = |bytes: &[u8]| {
            let mut data = Vec::new();
            let next = read(bytes, &mut data).unwrap();
            (next, data)
        };
        assert_eq!(read(&bytes), (Next::Record, b"abc".to_vec()));
        assert_eq!(read(&[]).0, Next::End);
        for end in 1..bytes.len() {
            assert_eq!(read(&bytes[..end]).0, Next::Broken, "torn at {end}");
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(read(&changed).0, Next::Broken, "changed at {at}");
        }
        let mut endless = Vec::new();
        endless.extend(u64::MAX.to_le_bytes());
        endless.extend(check(&u64::MAX.to_le_bytes()));
        assert_eq!(read(&endless).0, Next::Broken);
    }

    #[test]
    fn a_blank_record_has_the_same_length_and_time_and_no_content() {
        for bytes in (2..600).chain(16_380..16_400) {
            let blank = blank(&vec![0; bytes]).unwrap();
            assert_eq!(blank.len(), bytes);
            assert_eq!(Event::decode(&blank[..]).unwrap(), Event::default(), "{bytes} bytes");
        }
        for version in 0..300 {
            let file_version = Some("v".repeat(version));
            let data = Event { wall_time: 7.5, step: 1, file_version, ..Event::default() }.encode_to_vec();
            let blank = blank(&data).unwrap();
            assert_eq!(blank.len(), data.len());
            let expected = Event { wall_time: 7.5, ..Event::default() };
            assert_eq!(Event::decode(&blank[..]).unwrap(), expected);
        }
        assert_eq!(blank(&[0]), None);
    }
}
