//! A relay between one worker and its coordinator, which counts the bytes of TCP's payload.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most bytes of one read.
const BUFFER_BYTES: usize = 256 * 1024;

/// Number of bytes that have passed, in both directions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted(Arc<AtomicU64>);

impl Counted {
    /// Number of bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Relays the next connection to `address`. Returns the address to connect to. Its threads end with the
/// connection.
pub(crate) fn start(address: &str, counted: &Counted) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let here = listener.local_addr()?.to_string();
    let target = address.to_owned();
    let counted = counted.clone();
    std::thread::spawn(move || -> std::io::Result<()> {
        let (near, _) = listener.accept()?;
        let far = TcpStream::connect(target)?;
        for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
            let counted = counted.clone();
            std::thread::spawn(move || pass(from, to, &counted));
        }
        Ok(())
    });
    Ok(here)
}

fn pass(mut from: TcpStream, mut to: TcpStream, counted: &Counted) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
        counted.0.fetch_add(read as u64, Ordering::Relaxed);
    }
    // The other side may have closed already.
    let _ = to.shutdown(Shutdown::Write);
}
