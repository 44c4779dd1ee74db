//! The part of a memory that a slot takes, as bytes of this process. To write there costs one copy; a call of
//! the system would look up every page of the file besides.
//!
//! Only its owner maps a memory. Other processes have it read for them by the kernel, which copes with
//! whatever the owner does to the file; one that mapped it could be made to touch a page that is not there.

#![allow(unsafe_code, reason = "to map a file is unsafe; what makes it sound stands beside each block")]

use rustix::fs::{FallocateFlags, fallocate};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ptr::{NonNull, null_mut};
use std::slice;

/// A mapped range of a memory.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and has one owner.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps `bytes` bytes of `file` from `offset` on, at least one, and takes pages for all of them. `file`
    /// must be sealed against becoming shorter, no other mapping of this process may have any of the range,
    /// and `offset` must be a multiple of a page.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub(super) fn of(file: &File, offset: u64, bytes: u64) -> io::Result<Self> {
        let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // It reserves the pages: otherwise the first write to one might find no memory, which ends the
        // process.
        fallocate(file, FallocateFlags::empty(), offset, bytes)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the system chooses a range of addresses that is not in use, so no Rust object lies there.
        let start = unsafe { mmap(null_mut(), length, access, MapFlags::SHARED, file, offset)? };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, bytes: length })
    }

    /// The mapped bytes.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the range is mapped for reading and writing until `self` is dropped, and its pages exist:
        // the file can't become shorter, and holes are made in it only after the mapping is gone. No other
        // process has the file open for writing but through `/proc`, as its user, who might as well change
        // any other memory of this process. `self` is borrowed, so this is the only reference in this
        // process.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped in `of`, with that length, and no reference to it is left.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "what was mapped can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_is_written_to_the_mapping_is_in_the_file_and_nowhere_else() {
        let file = File::from(super::super::create_file(3).unwrap());
        let page = 64 * 1024;
        let mut mappings = [0, page].map(|offset| Mapping::of(&file, offset, page).unwrap());
        mappings[1].bytes()[..4].copy_from_slice(b"word");
        mappings[0].bytes()[page as usize - 4..].copy_from_slice(b"last");
        let mut read = [0; 8];
        file.read_exact_at(&mut read, page - 4).unwrap();
        assert_eq!(&read, b"lastword");
        drop(mappings);
        file.read_exact_at(&mut read, page - 4).unwrap();
        assert_eq!(&read, b"lastword", "it stays when the mapping is gone");
        assert_eq!(file.metadata().unwrap().len(), 2 * page);
    }

    #[test]
    fn a_range_that_can_not_be_mapped_is_an_error() {
        let file = File::from(super::super::create_file(4).unwrap());
        assert!(Mapping::of(&file, 0, u64::MAX).is_err(), "no machine has that much");
        assert!(Mapping::of(&file, 1, 8).is_err(), "not at a page");
    }
}
