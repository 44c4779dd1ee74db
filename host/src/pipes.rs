//! A pair of pipes between two processes of one machine and user, one in each direction: the shortest way for
//! small messages.
//!
//! One process creates both pipes ([`create`]) and tells the other where they are, over a connection that
//! they have. The other opens them ([`open`]). A pipe ends when the last process that has its other end
//! closes it or dies, so nothing is left behind.
//!
//! The creator chooses what its descriptors refer to, and may be hostile. So a pipe is opened as shared
//! memory is (`shared_memory`): the process is the connection's other end; the descriptor is opened with
//! `O_PATH`, verified by the opener's own descriptor, and only then opened through that one. It must be a
//! pipe without a name in a file system, of this user, and the one with the announced number.
//!
//! Neither end blocks. In a runtime they become [`tokio::net::unix::pipe`]'s.

#[cfg(target_os = "linux")]
use crate::shared_memory::metadata_of;
#[cfg(target_os = "linux")]
use rustix::fs::{FileType, Mode, OFlags, Statx};
#[cfg(target_os = "linux")]
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

/// Bytes that a pipe to a worker holds, if the system allows it: the samples of several leaves.
#[cfg(target_os = "linux")]
const CAPACITY: usize = 512 * 1024;

/// How a process finds a pipe of another process that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The descriptor in the other process.
    pub descriptor: u32,
    /// The pipe's inode number, which no other open pipe has.
    pub inode: u64,
}

/// How the other process finds its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The end that it reads.
    pub reads: Address,
    /// The end that it writes.
    pub writes: Address,
}

/// A process's ends of the two pipes.
#[derive(Debug)]
pub struct Ends {
    /// What the other process writes can be read here.
    pub reads: OwnedFd,
    /// The other process reads what is written here.
    pub writes: OwnedFd,
}

/// Creates both pipes. Returns this process's ends and the other's, which must stay open until it has opened
/// them.
///
/// # Errors
/// When the system has no files left, or no such pipes.
#[cfg(target_os = "linux")]
pub fn create() -> io::Result<(Ends, Ends)> {
    let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
    let (from_other, other_writes) = pipe_with(flags)?;
    let (other_reads, to_other) = pipe_with(flags)?;
    // A smaller one works too.
    let _ = rustix::pipe::fcntl_setpipe_size(&to_other, CAPACITY);
    let own = Ends { reads: from_other, writes: to_other };
    Ok((own, Ends { reads: other_reads, writes: other_writes }))
}

/// Fails: processes find each other's pipes on Linux only.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn create() -> io::Result<(Ends, Ends)> {
    Err(io::ErrorKind::Unsupported.into())
}

impl Ends {
    /// How another process finds these ends while this one has them open.
    ///
    /// # Errors
    /// When the system can't tell.
    #[cfg(target_os = "linux")]
    pub fn addresses(&self) -> io::Result<Addresses> {
        let address = |end: &OwnedFd| {
            let inode = metadata_of(end)?.stx_ino;
            io::Result::Ok(Address { descriptor: end.as_raw_fd().unsigned_abs(), inode })
        };
        Ok(Addresses { reads: address(&self.reads)?, writes: address(&self.writes)? })
    }

    /// Fails: processes find each other's pipes on Linux only.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(target_os = "linux"))]
    pub fn addresses(&self) -> io::Result<Addresses> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Opens the ends that `process` has created for this one.
///
/// # Errors
/// When there are no such pipes, or they can't be verified.
#[cfg(target_os = "linux")]
pub fn open(process: NonZeroU32, Addresses { reads, writes }: Addresses) -> io::Result<Ends> {
    let reads = open_one(process, reads, OFlags::RDONLY)?;
    Ok(Ends { reads, writes: open_one(process, writes, OFlags::WRONLY)? })
}

/// Fails: processes find each other's pipes on Linux only.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn open(_process: NonZeroU32, _addresses: Addresses) -> io::Result<Ends> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
fn open_one(process: NonZeroU32, address: Address, way: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/{process}/fd/{}", address.descriptor);
    let taken = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if !is_pipe(&taken, address.inode)? {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let own = format!("/proc/self/fd/{}", taken.as_raw_fd());
    Ok(rustix::fs::open(own, way | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether it is the pipe with that number, of this user, and of those that have no name in a file system.
#[cfg(target_os = "linux")]
fn is_pipe(taken: &OwnedFd, inode: u64) -> io::Result<bool> {
    let (sample, _) = pipe_with(PipeFlags::CLOEXEC)?;
    let own = metadata_of(&sample)?;
    let look = metadata_of(taken)?;
    let device = |look: &Statx| (look.stx_dev_major, look.stx_dev_minor);
    Ok(device(&look) == device(&own)
        && FileType::from_raw_mode(look.stx_mode.into()) == FileType::Fifo
        && look.stx_uid == own.stx_uid
        && look.stx_ino == inode)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn this() -> NonZeroU32 {
        NonZeroU32::new(std::process::id()).expect("no process has number 0")
    }

    #[test]
    fn what_one_end_writes_the_other_reads_until_it_is_closed() {
        let (own, others) = create().unwrap();
        let opened = open(this(), others.addresses().unwrap()).unwrap();
        drop(others);
        let mut bytes = [0; 8];
        for (from, to) in [(&own.writes, &opened.reads), (&opened.writes, &own.reads)] {
            assert_eq!(rustix::io::write(from, b"word").unwrap(), 4);
            assert_eq!(rustix::io::read(to, &mut bytes).unwrap(), 4);
            assert_eq!(&bytes[..4], b"word");
            assert_eq!(rustix::io::read(to, &mut bytes), Err(rustix::io::Errno::AGAIN), "it does not wait");
        }
        drop(own);
        assert_eq!(rustix::io::read(&opened.reads, &mut bytes).unwrap(), 0, "the end");
    }

    #[test]
    fn only_the_pipes_that_were_offered_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &named, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let named = rustix::fs::open(&named, OFlags::PATH, Mode::empty()).unwrap();
        let file = OwnedFd::from(tempfile::tempfile().unwrap());
        let (_own, others) = create().unwrap();
        let (_other_own, foreign) = create().unwrap();
        let good = others.addresses().unwrap();
        let of = |end: &OwnedFd| Address {
            descriptor: end.as_raw_fd().unsigned_abs(),
            inode: metadata_of(end).unwrap().stx_ino,
        };
        let foreign = foreign.addresses().unwrap().reads.descriptor;
        for (what, bad) in [
            ("a pipe with a name", of(&named)),
            ("a file", of(&file)),
            ("another pipe", Address { descriptor: foreign, ..good.reads }),
            ("another number", Address { inode: good.reads.inode ^ 1, ..good.reads }),
            ("no descriptor", Address { descriptor: u32::MAX, ..good.reads }),
        ] {
            assert!(open(this(), Addresses { reads: bad, ..good }).is_err(), "{what}, to read");
            assert!(open(this(), Addresses { writes: bad, ..good }).is_err(), "{what}, to write");
        }
        assert!(open(NonZeroU32::MAX, good).is_err(), "no process");
        assert!(open(this(), good).is_ok());
    }
}
