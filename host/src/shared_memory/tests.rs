use super::*;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// This process, as a peer that opens its own memory.
fn this() -> NonZeroU32 {
    NonZeroU32::new(std::process::id()).expect("no process has number 0")
}

fn descriptor(file: &impl AsRawFd) -> u32 {
    file.as_raw_fd().unsigned_abs()
}

#[test]
fn what_is_written_is_read() {
    let memory = Memory::create().unwrap();
    let view = View::open(this(), memory.address()).unwrap();
    let leases = [memory.lease(8).unwrap(), memory.lease(8).unwrap()];
    let offsets = [leases[0].write(4, b"left").unwrap(), leases[1].write(0, b"right").unwrap()];
    let mut bytes = [0; 4];
    for (offset, expected) in offsets.into_iter().zip([b"left", b"righ"]) {
        view.read(offset, &mut bytes).unwrap();
        assert_eq!(&bytes, expected);
    }
    assert!(view.read(1 << 40, &mut bytes).is_err(), "nothing lies there");
    assert!(leases[0].write(5, b"left").is_err(), "it would run into the next slot");
}

#[test]
fn a_slot_is_free_again_when_its_last_reader_is_done() {
    let memory = Memory::create().unwrap();
    let first = memory.lease(8).unwrap();
    let _second = memory.lease(8).unwrap();
    let reader = first.clone();
    drop(first);
    assert!(memory.lease(8).is_none());
    drop(reader);
    assert!(memory.lease(8).is_some());
}

#[test]
fn a_slot_grows_away_from_what_others_read() {
    let memory = Memory::create().unwrap();
    let view = View::open(this(), memory.address()).unwrap();
    let small = memory.lease(4).unwrap();
    let place = small.write(0, b"kept").unwrap();
    for bytes in [8, 4096, 1 << 20, 1 << 16] {
        let tensor = vec![bytes as u8 + 1; bytes];
        let large = memory.lease(bytes as u64).unwrap();
        let mut read = vec![0; bytes];
        view.read(large.write(0, &tensor).unwrap(), &mut read).unwrap();
        assert_eq!(read, tensor);
        assert!(memory.lease(1).is_none(), "both are leased");
    }
    let mut bytes = [0; 4];
    view.read(place, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept");
    let pages = rustix::fs::fstat(&*memory.file).unwrap().st_blocks * 512;
    assert!(pages <= 2 * (1 << 20), "{pages} bytes are in use: what is too small was not given back");
}

#[test]
fn only_the_memory_that_was_offered_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Memory::create().unwrap();
    let Address { token, .. } = memory.address();
    let same_name = link(token);
    let named = folder.path().join(same_name.trim_start_matches('/'));
    let file = File::options().read(true).write(true).create_new(true).open(named).unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    // To open it otherwise would wait for a writer.
    let pipe = rustix::fs::open(&path, OFlags::PATH, Mode::empty()).unwrap();
    let name = format!("{NAME}-{token:016x}");
    let unsealed = rustix::fs::memfd_create(name, MemfdFlags::ALLOW_SEALING).unwrap();
    let other = Memory::create().unwrap();
    let process = this();
    let nobody = NonZeroU32::MAX;
    for (what, process, address) in [
        ("a file", process, Address { descriptor: descriptor(&file), token }),
        ("a pipe", process, Address { descriptor: descriptor(&pipe), token }),
        ("a memory that others can cut", process, Address { descriptor: descriptor(&unsealed), token }),
        ("another memory", process, Address { token, ..other.address() }),
        ("another token", process, Address { token: token ^ 1, ..memory.address() }),
        ("standard input", process, Address { descriptor: 0, token }),
        ("no descriptor", process, Address { descriptor: u32::MAX, token }),
        ("no process", nobody, memory.address()),
    ] {
        assert!(View::open(process, address).is_err(), "{what}");
    }
    assert!(View::open(process, memory.address()).is_ok());
}

#[test]
fn a_file_or_another_users_memory_is_not_taken_for_one() {
    let file = OwnedFd::from(tempfile::tempfile().unwrap());
    assert!(!is_memory(&file).unwrap(), "a file without a name");
    let memory = create_file(1).unwrap();
    assert!(is_memory(&memory).unwrap());
    let address = Address { descriptor: descriptor(&memory), token: 1 };
    assert!(View::open(this(), address).is_ok());
    let nobody = Some(rustix::fs::Uid::from_raw(65_534));
    match rustix::fs::fchown(&memory, nobody, None) {
        Ok(()) => assert!(View::open(this(), address).is_err(), "another user's"),
        Err(_) => crate::report("only root can give a memory away: that one was not tried"),
    }
}

#[test]
fn what_a_peer_exchanges_between_two_looks_is_not_read() {
    let memory = Memory::create().unwrap();
    memory.lease(6).unwrap().write(0, b"shared").unwrap();
    let mut secret = tempfile::tempfile().unwrap();
    secret.write_all(b"secret").unwrap();
    let mut slot = rustix::io::dup(&*memory.file).unwrap();
    let address = Address { descriptor: descriptor(&slot), ..memory.address() };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                rustix::io::dup2(&secret, &mut slot).unwrap();
                rustix::io::dup2(&*memory.file, &mut slot).unwrap();
            }
        });
        let mut leaked = 0;
        for _ in 0..50_000 {
            let mut bytes = [0; 6];
            let Ok(view) = View::open(this(), address) else { continue };
            leaked += usize::from(view.read(0, &mut bytes).is_ok() && bytes == *b"secret");
        }
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(leaked, 0, "times that the secret was read");
    });
}
