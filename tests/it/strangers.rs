//! Whoever has no token costs a handshake at most: it floods, stalls or comes in crowds, and the training and
//! the memory don't feel it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tests::attacked_run::AttackedRun;
use tests::flood::{Flood, WITHOUT_HELLO};
use tests::told::joined;
use tests::trusted::House;

/// Timeout for a coordinator on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Timeout for closing: a handshake has 5 s, the rest is for a busy machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(40);
/// Connections that are open at the same time here: this process may have no more files than the coordinator.
const OPEN_MAX: usize = 400;
/// A record of TLS with a ClientHello that says it has 512 bytes, and 3 of them.
const HALF: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1];

fn wait_for_close(mut stream: TcpStream) {
    let deadline = Instant::now() + CLOSED_WITHIN;
    stream.set_read_timeout(Some(CLOSED_WITHIN)).expect("more than no time");
    let mut buffer = [0; 256];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => assert!(Instant::now() < deadline, "still open"),
            Err(error) => {
                let is_open =
                    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                return assert!(!is_open, "still open after {CLOSED_WITHIN:?}");
            }
        }
    }
}

#[test]
fn a_thousand_half_handshakes_are_closed_and_keep_out_no_worker() {
    let house = House::new();
    let mut visited = AttackedRun::with_tokens(&house, &["--workers", "1:3"]);
    let before_kb = visited.run.status("VmHWM");
    let mut open = VecDeque::new();
    for index in 0..1000 {
        let mut stream = TcpStream::connect(&visited.address).unwrap();
        if index % 2 == 0 {
            // It may be closed for another one already.
            let _ = stream.write_all(HALF);
        }
        open.push_back(stream);
        if open.len() > OPEN_MAX {
            wait_for_close(open.pop_front().unwrap());
        }
    }
    // They come from the address of the honest ones.
    let late = house.worker(&visited.proxy.address(), "late", "default");
    visited.run.wait_for_event("lets in a worker among them", joined("late"));
    open.into_iter().for_each(wait_for_close);
    let grown_kb = visited.run.status("VmHWM") - before_kb;
    assert!(grown_kb < 64 << 10, "the coordinator grew by {grown_kb} kB");
    assert!(visited.run.open_files() < 100, "{} files are open", visited.run.open_files());
    visited.ends_golden_and_undisturbed();
    assert_eq!(late.wait().code, Some(0));
}

#[test]
fn floods_without_a_token_reach_no_decoder() {
    let house = House::new();
    let visited = AttackedRun::with_tokens(&house, &[]);
    for kind in WITHOUT_HELLO {
        let flood = Flood::start(kind, &visited.address, 4);
        let deadline = Instant::now() + PATIENCE;
        while flood.sent().closed < 40 {
            assert!(Instant::now() < deadline, "{kind:?} is not closed: {:?}", flood.sent());
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(flood);
    }
    // What HTTP/2 would have found is in no line.
    assert_eq!(visited.run.lines_with("before a hello"), 0, "{}", visited.run.errors());
    assert_eq!(visited.run.lines_with("a flood of HTTP/2"), 0, "{}", visited.run.errors());
    visited.ends_golden_and_undisturbed();
}
