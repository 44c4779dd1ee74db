//! Memory that one process writes and others of the same machine and user read: tensors without a socket's copies.
//!
//! A [`Memory`] is a file without a name that lives as long as someone has it open, so nothing is left behind however a
//! process ends. It is used by [`Lease`]s of a few places, each for one tensor; a place is free again when every clone
//! of its lease is gone. A [`View`] is what a reader opens. Bytes are copied in and out by the kernel: a peer that
//! changes the file while it is read gives other bytes or an error, never a fault. What the bytes mean, and whether they
//! are right, is the reader's business.
//!
//! A peer may be hostile, and have fewer rights than the reader. It decides what its descriptor is, and can exchange that
//! between any two looks. So a view is opened like this:
//!
//! 1. The process is the one that the system names as the connection's other end. A peer that says where to look could
//!    send the reader into another process.
//! 2. The descriptor is taken by `O_PATH`, which neither waits nor touches what is there: a pipe, a device, a file of
//!    another user.
//! 3. What was taken is proven, by the reader's own descriptor, which no peer can exchange: it lies where the reader's own
//!    memory would, among no file system's files; it is regular, this user's, without a link; and its name has the token
//!    of the offer, which was drawn at random, so it is the memory that was meant.
//! 4. Only then it is opened for reading, by way of the own descriptor, and must be sealed as a [`Memory`] is.
//!
//! What fails is not opened, and the bytes go on the stream: so do those of a peer in another process namespace, whose
//! process has no number here.

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, FileType, MemfdFlags, Mode, OFlags, SealFlags, Statx, StatxFlags};
use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Tensors that lie in one memory at once: one that is read while the next is written.
const PLACES: u64 = 2;
/// By this a reader knows that a file is one of these.
const NAME: &str = "lockstep-tensors";
/// What can't be done to one any more. No file of a file system can have this seal.
#[cfg(target_os = "linux")]
const SEALS: SealFlags = SealFlags::SHRINK;

/// How another process finds a memory of a process that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its descriptor there.
    pub descriptor: u32,
    /// Part of its name, and of no other memory's.
    pub token: u64,
}

/// Memory that this process writes.
#[derive(Debug)]
pub struct Memory {
    file: Arc<File>,
    token: u64,
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
        let token = crate::random();
        let file = create_file(token)?;
        let places = (0..PLACES).map(Arc::new).collect();
        Ok(Self {
            file: Arc::new(File::from(file)),
            token,
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
        Address { descriptor: self.file.as_raw_fd().unsigned_abs(), token: self.token }
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
    /// Opens a memory of `process`. To be read only.
    ///
    /// # Errors
    /// When there is none at that address, or it can't be proven to be one.
    #[cfg(target_os = "linux")]
    pub fn open(process: NonZeroU32, address: Address) -> io::Result<Self> {
        let path = format!("/proc/{process}/fd/{}", address.descriptor);
        let taken = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let own = format!("/proc/self/fd/{}", taken.as_raw_fd());
        let is_meant = std::fs::read_link(&own)? == Path::new(&link(address.token));
        if !is_meant || !is_memory(&taken)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = File::open(own)?;
        if !rustix::fs::fcntl_get_seals(&file)?.contains(SEALS) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Self { file })
    }

    /// See the Linux version.
    ///
    /// # Errors
    /// Always: this system has no such memory.
    #[cfg(not(target_os = "linux"))]
    pub fn open(_process: NonZeroU32, _address: Address) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Fills `bytes` with what lies from offset `at` on.
    ///
    /// # Errors
    /// When nothing was written there.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }
}

#[cfg(target_os = "linux")]
fn create_file(token: u64) -> io::Result<OwnedFd> {
    let name = format!("{NAME}-{token:016x}");
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file)
}

/// Where the link of a descriptor of such a memory points.
#[cfg(target_os = "linux")]
fn link(token: u64) -> String {
    format!("/memfd:{NAME}-{token:016x} (deleted)")
}

/// Whether this is a file in memory, of this user and without a name that others could open.
#[cfg(target_os = "linux")]
fn is_memory(file: &OwnedFd) -> io::Result<bool> {
    let own = look_at(&create_file(0)?)?;
    let look = look_at(file)?;
    let place = |look: &Statx| (look.stx_dev_major, look.stx_dev_minor);
    Ok(place(&look) == place(&own)
        && FileType::from_raw_mode(look.stx_mode.into()) == FileType::RegularFile
        && look.stx_uid == own.stx_uid
        && look.stx_nlink == 0)
}

/// What is known of a file without asking who keeps it: that may be a program of the peer's, which need not answer.
#[cfg(target_os = "linux")]
fn look_at(file: impl AsFd) -> io::Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(rustix::fs::statx(file, "", flags, StatxFlags::BASIC_STATS)?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
