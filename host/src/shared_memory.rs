//! Shared memory between processes of one machine and user: one process writes tensors, others read them,
//! without a socket's copies.
//!
//! A [`Memory`] is a file without a name. It lives as long as a process has it open, so nothing is left
//! behind. It has a few slots, each for one tensor, which grow, and which its owner has mapped. A [`Lease`]
//! holds a slot, which is free again when every clone of the lease is dropped. A reader opens the memory as a
//! [`View`]. The kernel copies the bytes out: a peer that changes the file during a read causes other bytes
//! or an error, never a fault. The reader checks whether the bytes are right.
//!
//! A peer may be hostile, and may have fewer rights than the reader. It chooses what its descriptor refers
//! to, and can replace that between any two system calls. So a view is opened in these steps:
//!
//! 1. The process is the one that the system names as the connection's other end. A peer that named it could
//!    direct the reader to another process.
//! 2. The descriptor is opened with `O_PATH`, which neither waits nor touches the file behind it, be it a
//!    pipe, a device or another user's file.
//! 3. The file is verified by the reader's own descriptor, which no peer can replace. It must lie on the same
//!    device as the reader's own memory, where no file system has files. It must be regular, owned by this
//!    user, and without a link. Its name must hold the offer's token, a random number, so it is the memory
//!    that was offered.
//! 4. Only then it is opened for reading, through the reader's own descriptor. It must be sealed as a
//!    [`Memory`] is.
//!
//! If a step fails, the bytes travel on the stream. So they do for a peer in another process namespace, whose
//! process has no number here. A peer is never told what was computed from bytes that were read: one with
//! fewer rights would learn what it can't read itself.
//!
//! Why not the socket alone: it costs two copies in the kernel, and gRPC's buffers one more on each side.

#[cfg(target_os = "linux")]
mod mapping;

#[cfg(target_os = "linux")]
use self::mapping::Mapping;
#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, FallocateFlags, FileType, MemfdFlags, Mode, OFlags, SealFlags, Statx, StatxFlags};
use std::fs::File;
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Slots of a memory: one tensor is read while the next is written.
const SLOTS: usize = 2;
/// Largest size of a page on any Linux: ranges begin at its multiples.
const PAGE_BYTES_MAX: u64 = 64 * 1024;
/// Name of every memory's file, by which a reader recognises it.
const NAME: &str = "lockstep-tensors";
/// Seals of a memory. No file of a file system can have this one.
#[cfg(target_os = "linux")]
const SEALS: SealFlags = SealFlags::SHRINK;

/// How a process finds a memory of another process that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The descriptor in the other process.
    pub descriptor: u32,
    /// Random number in the memory's name, which no other memory has.
    pub token: u64,
}

/// Shared memory that this process writes.
#[derive(Debug)]
pub struct Memory {
    file: Arc<File>,
    token: u64,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    /// One entry for each slot, leased while it has more than one owner.
    all: [Arc<Slot>; SLOTS],
    /// Where the last slot ends.
    end: u64,
}

/// A range of the file.
#[derive(Debug, Default)]
struct Slot {
    start: u64,
    bytes: u64,
    /// `None` for an empty slot.
    #[cfg(target_os = "linux")]
    mapping: Mutex<Option<Mapping>>,
}

/// A leased slot for one tensor.
#[derive(Clone, Debug)]
pub struct Lease {
    slot: Arc<Slot>,
}

/// Another process's memory, opened for reading.
#[derive(Debug)]
pub struct View {
    file: File,
}

impl Memory {
    /// Creates an empty memory; it takes pages as they are written.
    ///
    /// # Errors
    /// When the system has no such memory.
    #[cfg(target_os = "linux")]
    pub fn create() -> io::Result<Self> {
        let token = crate::random();
        let file = create_file(token)?;
        Ok(Self { file: Arc::new(File::from(file)), token, slots: Mutex::default() })
    }

    /// Fails: only Linux has such memory.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn create() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The address under which other processes find the memory.
    #[must_use]
    pub fn address(&self) -> Address {
        Address { descriptor: self.file.as_raw_fd().unsigned_abs(), token: self.token }
    }

    /// A free slot for a tensor of `bytes` bytes; `None` if all are leased, or the system has no memory left.
    /// A slot that is too small gets another range, behind all others.
    #[must_use]
    pub fn lease(&self, bytes: u64) -> Option<Lease> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Slots { all, end } = &mut *slots;
        let free = |slot: &Arc<Slot>| Arc::strong_count(slot) == 1;
        let fits = all.iter().position(|slot| free(slot) && bytes <= slot.bytes);
        let at = fits.or_else(|| all.iter().position(free))?;
        if fits.is_none() {
            // Its old range is unmapped before its pages are given back.
            let start = all[at].start;
            let old = all[at].bytes;
            all[at] = Arc::default();
            give_back(&self.file, start, old);
            all[at] = Arc::new(Slot::new(&self.file, *end, bytes).ok()?);
            *end += bytes.next_multiple_of(PAGE_BYTES_MAX);
        }
        Some(Lease { slot: Arc::clone(&all[at]) })
    }
}

impl Lease {
    /// Writes at offset `at` of this slot. Returns the offset in the whole memory.
    ///
    /// # Errors
    /// When the bytes do not fit.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<u64> {
        self.slot.write(at, bytes)?;
        Ok(self.slot.start + at)
    }
}

impl Slot {
    /// A range of `file` behind all others.
    #[cfg(target_os = "linux")]
    fn new(file: &File, start: u64, bytes: u64) -> io::Result<Self> {
        let mapping = if bytes == 0 { None } else { Some(Mapping::of(file, start, bytes)?) };
        Ok(Self { start, bytes, mapping: Mutex::new(mapping) })
    }

    #[cfg(target_os = "linux")]
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut mapping = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        let mapped = mapping.as_mut().map_or(&mut [][..], Mapping::bytes);
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let place = mapped.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len()));
        place.ok_or(io::ErrorKind::StorageFull)?.copy_from_slice(bytes);
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn new(_file: &File, _start: u64, _bytes: u64) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    #[cfg(not(target_os = "linux"))]
    fn write(&self, _at: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl View {
    /// Opens a memory of `process` for reading.
    ///
    /// # Errors
    /// When there is none at that address, or it can't be verified.
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

    /// Fails: only Linux has such memory.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn open(_process: NonZeroU32, _address: Address) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Fills `bytes` from offset `at` of the memory.
    ///
    /// # Errors
    /// When nothing was written at that offset.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }
}

/// Gives a slot's pages back to the system.
#[cfg(target_os = "linux")]
fn give_back(file: &File, start: u64, bytes: u64) {
    if bytes > 0 {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // If it fails they stay until the memory is dropped.
        let _ = rustix::fs::fallocate(file, flags, start, bytes);
    }
}

#[cfg(not(target_os = "linux"))]
fn give_back(_file: &File, _start: u64, _bytes: u64) {}

#[cfg(target_os = "linux")]
fn create_file(token: u64) -> io::Result<OwnedFd> {
    let name = format!("{NAME}-{token:016x}");
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file)
}

/// The target of a descriptor's link in `/proc` for such a memory.
#[cfg(target_os = "linux")]
fn link(token: u64) -> String {
    format!("/memfd:{NAME}-{token:016x} (deleted)")
}

/// Whether the file is in memory, belongs to this user, and has no name that others could open.
#[cfg(target_os = "linux")]
fn is_memory(file: &OwnedFd) -> io::Result<bool> {
    let own = metadata_of(&create_file(0)?)?;
    let look = metadata_of(file)?;
    let device = |look: &Statx| (look.stx_dev_major, look.stx_dev_minor);
    Ok(device(&look) == device(&own)
        && FileType::from_raw_mode(look.stx_mode.into()) == FileType::RegularFile
        && look.stx_uid == own.stx_uid
        && look.stx_nlink == 0)
}

/// The file's metadata, without asking a file system that may be a program of the peer and need not answer.
#[cfg(target_os = "linux")]
pub(crate) fn metadata_of(file: impl AsFd) -> io::Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    Ok(rustix::fs::statx(file, "", flags, StatxFlags::BASIC_STATS)?)
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
