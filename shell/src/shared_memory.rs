//! Memory that one process writes and others of the same machine and user read: tensors without a socket's copies.
//!
//! A [`Memory`] is a file without a name that lives as long as someone has it open, so nothing is left behind however a
//! process ends. It is used by [`Lease`]s of a few places, each for one tensor; a place is free again when every clone
//! of its lease is gone. A [`View`] is what a reader opens. Bytes are copied in and out by the kernel: a peer that
//! changes or cuts the file while it is read gives other bytes or an error, never a fault. What the bytes mean, and
//! whether they are right, is the reader's business.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Tensors that lie in one memory at once: one that is read while the next is written.
const PLACES: u64 = 2;
/// By this a reader knows that a file is one of these.
const NAME: &str = "lockstep-tensors";

/// How another process finds a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The process that has it open.
    pub process: u32,
    /// Its descriptor there.
    pub descriptor: u32,
}

/// Memory that this process writes.
#[derive(Debug)]
pub struct Memory {
    file: Arc<File>,
    /// Bytes of a place: those of the first tensor.
    place_bytes: OnceLock<u64>,
    /// Each is on loan while it has more than one owner.
    places: Mutex<Vec<Arc<u64>>>,
}

/// A place for one tensor, on loan.
#[derive(Clone, Debug)]
pub struct Lease {
    file: Arc<File>,
    place: Arc<u64>,
    bytes: u64,
}

/// Another process's memory, to be read.
#[derive(Debug)]
pub struct View {
    file: File,
}

impl Memory {
    /// An empty one; it takes pages as they are written.
    ///
    /// # Errors
    /// When the system has no such memory.
    #[cfg(target_os = "linux")]
    pub fn create() -> io::Result<Self> {
        let file = rustix::fs::memfd_create(NAME, rustix::fs::MemfdFlags::CLOEXEC)?;
        let places = (0..PLACES).map(Arc::new).collect();
        Ok(Self {
            file: Arc::new(File::from(file)),
            place_bytes: OnceLock::new(),
            places: Mutex::new(places),
        })
    }

    /// See the Linux version.
    ///
    /// # Errors
    /// Always: this system has no such memory.
    #[cfg(not(target_os = "linux"))]
    pub fn create() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Where others find it.
    #[must_use]
    pub fn address(&self) -> Address {
        use std::os::fd::AsRawFd;
        Address { process: std::process::id(), descriptor: self.file.as_raw_fd().unsigned_abs() }
    }

    /// A free place for a tensor of `bytes` bytes; `None` when all are on loan, or for a tensor larger than the first.
    #[must_use]
    pub fn lease(&self, bytes: u64) -> Option<Lease> {
        let place_bytes = *self.place_bytes.get_or_init(|| bytes);
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let free =
            places.iter().find(|place| Arc::strong_count(place) == 1).filter(|_| bytes <= place_bytes)?;
        Some(Lease { file: Arc::clone(&self.file), place: Arc::clone(free), bytes: place_bytes })
    }
}

impl Lease {
    /// Writes at offset `at` of this place; returns the offset in the whole memory.
    ///
    /// # Errors
    /// When it does not fit or the system has no memory left.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<u64> {
        if at + bytes.len() as u64 > self.bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let offset = *self.place * self.bytes + at;
        self.file.write_all_at(bytes, offset)?;
        Ok(offset)
    }
}

impl View {
    /// Opens another process's memory. To be read only.
    ///
    /// # Errors
    /// When there is none at that address, or it is another user's.
    pub fn open(address: Address) -> io::Result<Self> {
        let path = format!("/proc/{}/fd/{}", address.process, address.descriptor);
        let is_memory = |name: &str| name.strip_prefix("/memfd:").is_some_and(|name| name.starts_with(NAME));
        if !std::fs::read_link(&path)?.to_str().is_some_and(is_memory) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Never waits, should it have become a pipe meanwhile.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
        if file.metadata()?.is_file() { Ok(Self { file }) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Fills `bytes` with what lies from offset `at` on.
    ///
    /// # Errors
    /// When nothing was written there.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let memory = Memory::create().unwrap();
        let view = View::open(memory.address()).unwrap();
        let leases = [memory.lease(8).unwrap(), memory.lease(8).unwrap()];
        let offsets = [leases[0].write(4, b"left").unwrap(), leases[1].write(0, b"right").unwrap()];
        let mut bytes = [0; 4];
        for (offset, expected) in offsets.into_iter().zip([b"left", b"righ"]) {
            view.read(offset, &mut bytes).unwrap();
            assert_eq!(&bytes, expected);
        }
        assert!(view.read(1 << 40, &mut bytes).is_err(), "nothing lies there");
        assert!(leases[0].write(5, b"left").is_err(), "it would run into the next place");
    }

    #[test]
    fn a_place_is_free_again_when_its_last_reader_is_done() {
        let memory = Memory::create().unwrap();
        let first = memory.lease(8).unwrap();
        let _second = memory.lease(8).unwrap();
        let reader = first.clone();
        drop(first);
        assert!(memory.lease(8).is_none());
        drop(reader);
        assert!(memory.lease(9).is_none(), "larger than a place");
        assert!(memory.lease(8).is_some());
    }

    #[test]
    fn only_such_memory_is_opened() {
        let other = tempfile::tempfile().unwrap();
        use std::os::fd::AsRawFd;
        let process = std::process::id();
        for address in [
            Address { process, descriptor: other.as_raw_fd().unsigned_abs() },
            Address { process, descriptor: 0 },
            Address { process, descriptor: u32::MAX },
            Address { process: u32::MAX, descriptor: 1 },
        ] {
            assert!(View::open(address).is_err(), "{address:?}");
        }
    }
}
