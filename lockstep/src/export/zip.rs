//! Zip archives of stored files (PKWARE's APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16), as NumPy and
//! PyTorch write theirs. Nothing is compressed, no time is recorded, and equal files give equal bytes.

use super::ExportError;

/// First bytes of an archive with files in it.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";
/// Largest archive: beyond it the format needs other records.
const BYTES_MAX: usize = u32::MAX as usize;
/// Version that is needed to read it: 2.0.
const VERSION: u16 = 20;
/// The first day that can be recorded, 1980-01-01.
const DATE: u16 = 0x21;
/// Header id of an extra field that only fills space, as in archives of Android.
const PADDING_ID: u16 = 0xd935;

/// An archive of these files, by name; the content of each begins at a multiple of `alignment`.
///
/// # Errors
/// When it would be larger than 4 GiB.
pub(super) fn stored(files: &[(String, Vec<u8>)], alignment: usize) -> Result<Vec<u8>, ExportError> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in files {
        let start = archive.len();
        let common = entry(name, content)?;
        archive.extend(MAGIC);
        archive.extend(&common);
        let extra = padding(archive.len() + 2 + name.len(), alignment);
        archive.extend((extra.len() as u16).to_le_bytes());
        archive.extend(name.as_bytes());
        archive.extend(extra);
        archive.extend(content);
        directory.extend(b"PK\x01\x02");
        directory.extend(VERSION.to_le_bytes());
        directory.extend(&common);
        // No extra field, comment, disk or attributes.
        directory.extend([0; 12]);
        directory.extend((start as u32).to_le_bytes());
        directory.extend(name.as_bytes());
    }
    if archive.len() + directory.len() > BYTES_MAX || files.len() > usize::from(u16::MAX) {
        return Err(ExportError::ReadBack("a zip archive has at most 4 GiB and 65,535 files".to_owned()));
    }
    let count = (files.len() as u16).to_le_bytes();
    let start = archive.len() as u32;
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06");
    archive.extend([0; 4]);
    archive.extend(count);
    archive.extend(count);
    archive.extend((directory.len() as u32).to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0; 2]);
    Ok(archive)
}

/// What a file's header and its entry in the directory have in common: from the version to the name's length.
fn entry(name: &str, content: &[u8]) -> Result<Vec<u8>, ExportError> {
    let too_large = || ExportError::ReadBack("a zip archive has at most 4 GiB".to_owned());
    let bytes = u32::try_from(content.len()).map_err(|_| too_large())?.to_le_bytes();
    let mut entry = VERSION.to_le_bytes().to_vec();
    // No flags, stored, no time.
    entry.extend([0; 6]);
    entry.extend(DATE.to_le_bytes());
    entry.extend(crc32fast::hash(content).to_le_bytes());
    entry.extend(bytes);
    entry.extend(bytes);
    entry.extend((name.len() as u16).to_le_bytes());
    Ok(entry)
}

/// An extra field after which the content begins at a multiple of `alignment`; none if it does anyway.
fn padding(start: usize, alignment: usize) -> Vec<u8> {
    let missing = start.next_multiple_of(alignment) - start;
    if missing == 0 {
        return Vec::new();
    }
    let missing = if missing < 4 { missing + alignment.max(4) } else { missing };
    let mut extra = PADDING_ID.to_le_bytes().to_vec();
    extra.extend((missing as u16 - 4).to_le_bytes());
    extra.resize(missing, 0);
    extra
}
