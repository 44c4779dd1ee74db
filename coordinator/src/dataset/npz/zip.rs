//! Members of a zip file, stored or deflated: as much of the format as `numpy.savez` writes, by the sections
//! of PKWARE's APPNOTE.TXT 6.3.
//!
//! 1. The directory at the end says what there is (4.3.12). A local header (4.3.7) says only where its
//!    member's data begins.
//! 2. Files of 4 GiB and more, several disks and encryption are refused.
//! 3. Nothing is allocated for what is only announced: the directory has at most [`DIRECTORY_BYTES_MAX`], and
//!    a member no more than its compressed bytes can hold. A member that goes on after its announced end is
//!    read one byte further.
//! 4. A member that was read whole has its CRC-32 compared.

use crate::dataset::parts::{content_bytes_max, is_damage};
use flate2::CrcReader;
use flate2::bufread::DeflateDecoder;
use host::printable;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;

/// Length of the record at the end of a file, without its comment (4.3.16).
const END_BYTES: u64 = 22;
const END_MAGIC: [u8; 4] = *b"PK\x05\x06";
/// Length of a directory's entry, without its texts.
const ENTRY_BYTES: usize = 46;
const ENTRY_MAGIC: [u8; 4] = *b"PK\x01\x02";
/// Length of a local header, without its texts.
const LOCAL_BYTES: u64 = 30;
const LOCAL_MAGIC: [u8; 4] = *b"PK\x03\x04";
/// Most bytes of a directory: that of thousands of arrays.
const DIRECTORY_BYTES_MAX: u64 = 1 << 20;
/// A size or an offset that stands in a record which only files of 4 GiB need (4.5.3).
const ELSEWHERE: u32 = u32::MAX;
/// Size of the read buffer: few system calls for a file of megabytes.
const BUFFER_BYTES: usize = 64 << 10;
/// Most names that a message shows, and most characters of each.
const SHOWN_MAX: usize = 8;
const SHOWN_CHARS_MAX: usize = 40;

/// Why a zip file can't be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum ZipError {
    /// The file does not end as a zip file does.
    #[error("it is no zip file, or cut off; write it with numpy.savez, or get this file again")]
    NotZip,
    /// The directory is damaged.
    #[error("the zip file's directory is damaged at offset {offset}; get this file again")]
    Directory { offset: u64 },
    /// The directory is too long.
    #[error(
        "the zip file's directory has {bytes} bytes, and {DIRECTORY_BYTES_MAX} is the most that is read; write the four \
         arrays alone"
    )]
    Crowded { bytes: u64 },
    /// A size has 64 bits.
    #[error(
        "{member}: the zip file says its size in 64 bits, and files of 4 GiB are not read; split the data"
    )]
    Zip64 { member: String },
    /// A member is encrypted.
    #[error("{member} is encrypted; write it with numpy.savez")]
    Encrypted { member: String },
    /// A member is compressed in another way.
    #[error(
        "{member} is compressed by method {method}, and only 0 and 8 are read; write it with numpy.savez_compressed"
    )]
    Method { member: String, method: u16 },
    /// The data of a member are not those that were written.
    #[error("{member}: the data are damaged after {offset} uncompressed bytes ({why}); get this file again")]
    Damaged {
        member: String,
        /// Uncompressed bytes before the damage.
        offset: u64,
        why: String,
    },
    /// The system call failed.
    #[error("cannot read it: {0}")]
    System(#[from] io::Error),
}

/// A zip file whose directory was read.
#[derive(Debug)]
pub(crate) struct Archive {
    file: File,
    members: Vec<Member>,
}

/// An entry of the directory.
#[derive(Debug)]
pub(crate) struct Member {
    name: String,
    flags: u16,
    method: u16,
    crc32: u32,
    /// Bytes in the file.
    packed_bytes: u32,
    /// Bytes when uncompressed.
    bytes: u32,
    /// Offset of the local header.
    at: u32,
}

impl Archive {
    /// Reads the directory.
    pub(crate) fn open(file: File) -> Result<Self, ZipError> {
        let file_bytes = file.metadata()?.len();
        let tail_at = file_bytes.saturating_sub(END_BYTES + u64::from(u16::MAX));
        let tail = exactly(&file, tail_at, file_bytes - tail_at)?;
        // The comment may hold anything, but the record before it says how long it is.
        let end = tail.windows(END_BYTES as usize).enumerate().rev().find(|(at, record)| {
            record.starts_with(&END_MAGIC)
                && at + record.len() + usize::from(u16_at(record, 20)) == tail.len()
        });
        let (_, end) = end.ok_or(ZipError::NotZip)?;
        let bytes = u64::from(u32_at(end, 12));
        let at = u64::from(u32_at(end, 16));
        if u16_at(end, 4) != 0 || at + bytes > file_bytes {
            return Err(ZipError::Directory { offset: at });
        }
        if bytes > DIRECTORY_BYTES_MAX {
            return Err(ZipError::Crowded { bytes });
        }
        let directory = exactly(&file, at, bytes)?;
        let mut members = Vec::new();
        let mut rest = &directory[..];
        for _ in 0..u16_at(end, 10) {
            let offset = at + (directory.len() - rest.len()) as u64;
            let (member, after) = entry(rest).ok_or(ZipError::Directory { offset })?;
            members.push(member);
            rest = after;
        }
        Ok(Self { file, members })
    }

    /// Names of all members.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| member.name.as_str())
    }

    /// The member of that name; the last one if there are several, as in Python.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().rev().find(|member| member.name == name)
    }

    /// Names of members for a message: few, shortened, and with control characters escaped.
    pub(crate) fn shown_names(&self) -> String {
        let names = self.members.iter().take(SHOWN_MAX).map(|member| member.shown());
        let shown = names.collect::<Vec<_>>().join(", ");
        match self.members.len() {
            0 => "no array".to_owned(),
            count if count > SHOWN_MAX => format!("{shown} and {} more", count - SHOWN_MAX),
            _ => shown,
        }
    }

    /// The content of a member, from its beginning.
    pub(crate) fn content<'a>(&'a self, member: &'a Member) -> Result<Content<'a>, ZipError> {
        let name = || member.shown();
        if member.flags & 1 != 0 {
            return Err(ZipError::Encrypted { member: name() });
        }
        if [member.packed_bytes, member.bytes, member.at].contains(&ELSEWHERE) {
            return Err(ZipError::Zip64 { member: name() });
        }
        let is_packed = match member.method {
            0 if member.packed_bytes == member.bytes => false,
            8 => true,
            0 => return Err(member.damaged(0, "it is stored, and its two sizes differ".to_owned())),
            method => return Err(ZipError::Method { member: name(), method }),
        };
        let at = u64::from(member.at);
        let local = exactly(&self.file, at, LOCAL_BYTES)?;
        if !local.starts_with(&LOCAL_MAGIC) {
            return Err(ZipError::Directory { offset: at });
        }
        let texts_bytes = u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28));
        let section = Section {
            file: &self.file,
            at: at + LOCAL_BYTES + texts_bytes,
            left: member.packed_bytes.into(),
        };
        let section = BufReader::with_capacity(BUFFER_BYTES, section);
        let reader: Box<dyn Read + 'a> =
            if is_packed { Box::new(DeflateDecoder::new(section)) } else { Box::new(section) };
        Ok(Content { reader: CrcReader::new(reader), member, read_bytes: 0, is_packed })
    }
}

impl Member {
    fn shown(&self) -> String {
        let start: String = self.name.chars().take(SHOWN_CHARS_MAX).collect();
        printable(&start).into_owned()
    }

    fn damaged(&self, offset: u64, why: String) -> ZipError {
        ZipError::Damaged { member: self.shown(), offset, why }
    }
}

/// The content of a member, uncompressed while it is read.
pub(crate) struct Content<'a> {
    reader: CrcReader<Box<dyn Read + 'a>>,
    member: &'a Member,
    /// Uncompressed bytes so far.
    read_bytes: u64,
    is_packed: bool,
}

impl Content<'_> {
    /// Uncompressed bytes of the whole member, as the directory announces them.
    pub(crate) fn bytes(&self) -> u64 {
        self.member.bytes.into()
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: u64) -> Result<Vec<u8>, ZipError> {
        let mut bytes = Vec::new();
        self.fill(&mut bytes, count)?;
        if (bytes.len() as u64) < count {
            return Err(self.member.damaged(self.read_bytes, "they end there".to_owned()));
        }
        Ok(bytes)
    }

    /// All further bytes, whose number and CRC-32 must be those of the directory.
    pub(crate) fn rest(mut self) -> Result<Vec<u8>, ZipError> {
        let left = self.bytes().saturating_sub(self.read_bytes);
        // The whole buffer at once: a growing one holds its content twice while it moves.
        let reserved = content_bytes_max(left, self.member.packed_bytes.into(), self.is_packed);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(reserved as usize).map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
        // One byte more shows that the member goes on.
        self.fill(&mut bytes, left + 1)?;
        let why = match bytes.len() as u64 {
            got if got < left => "they end there",
            got if got > left => "they go on after their announced end",
            _ if self.reader.crc().sum() != self.member.crc32 => "the checksum is another one",
            _ => return Ok(bytes),
        };
        Err(self.member.damaged(self.read_bytes, why.to_owned()))
    }

    fn fill(&mut self, bytes: &mut Vec<u8>, count: u64) -> Result<(), ZipError> {
        let result = self.reader.by_ref().take(count).read_to_end(bytes);
        self.read_bytes += bytes.len() as u64;
        match result {
            Ok(_) => Ok(()),
            Err(source) if is_damage(source.kind()) => {
                Err(self.member.damaged(self.read_bytes, source.to_string()))
            }
            Err(source) => Err(source.into()),
        }
    }
}

/// A stretch of a file.
struct Section<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// The first entry of a directory, and what follows it.
fn entry(directory: &[u8]) -> Option<(Member, &[u8])> {
    let (entry, rest) = directory.split_at_checked(ENTRY_BYTES)?;
    if !entry.starts_with(&ENTRY_MAGIC) {
        return None;
    }
    let (name, rest) = rest.split_at_checked(u16_at(entry, 28).into())?;
    let (_, rest) = rest.split_at_checked(usize::from(u16_at(entry, 30)) + usize::from(u16_at(entry, 32)))?;
    let member = Member {
        name: String::from_utf8_lossy(name).into_owned(),
        flags: u16_at(entry, 8),
        method: u16_at(entry, 10),
        crc32: u32_at(entry, 16),
        packed_bytes: u32_at(entry, 20),
        bytes: u32_at(entry, 24),
        at: u32_at(entry, 42),
    };
    Some((member, rest))
}

/// `count` bytes of a file, which are few. A file that ends before is no zip file.
fn exactly(file: &File, at: u64, count: u64) -> Result<Vec<u8>, ZipError> {
    let mut bytes = vec![0; count as usize];
    file.read_exact_at(&mut bytes, at).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => ZipError::NotZip,
        _ => error.into(),
    })?;
    Ok(bytes)
}

/// The little-endian number at `at` of a record that is long enough.
fn u16_at(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([record[at], record[at + 1]])
}

/// The little-endian number at `at` of a record that is long enough.
fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from(u16_at(record, at)) | u32::from(u16_at(record, at + 2)) << 16
}
