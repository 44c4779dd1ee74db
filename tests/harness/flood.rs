//! Connections that only do harm: floods of HTTP/2 frames and of heartbeats, many connections, and a member
//! that never reads. They use plain sockets and hand-made frames, because no HTTP/2 library would send them.
//!
//! Their threads and their time are bounded. A connection that is closed is opened again at once.

use crate::scripted;
use crate::trusted::client_hello;
use prost::Message;
use proto::message::{Usage, WorkerMessage};
use proto::outbound;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most threads of one flood.
pub const CONNECTIONS_MAX: usize = 64;
/// Time after which a flood ends by itself.
const LIFETIME: Duration = Duration::from_secs(1800);
/// Connections that each thread of a crowd keeps open.
pub const KEPT_MAX: usize = 32;
/// Bytes of one write.
const WRITE_BYTES: usize = 16 << 10;
/// Pause after a write that would block.
const NO_ROOM: Duration = Duration::from_micros(200);
/// Pause after a connection that could not be opened.
const NO_CONNECTION: Duration = Duration::from_millis(20);
/// Interval of the heartbeats of a connection that does not flood.
const BEAT: Duration = Duration::from_millis(200);
/// The bytes that begin every HTTP/2 connection of a client.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Payload of Hyper's PING, which is always the same, so that it can be answered unread.
const PING_OF_HYPER: [u8; 8] = [0x3b, 0x7c, 0xdb, 0x7a, 0x0b, 0x87, 0x16, 0xb4];

/// What a flood consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requests, without a hello.
    Headers,
    /// Windows that grow by 1, without a hello.
    WindowUpdate,
    /// Settings that change nothing, without a hello.
    Settings,
    /// Priorities, without a hello.
    Priority,
    /// Pings, without a hello.
    Ping,
    /// The beginning of TLS handshakes, each on a connection of its own that is left once it is answered: the
    /// other side has computed by then, and this one has not.
    Handshakes,
    /// Pings after a hello, by a member or a spare.
    PingAfterHello,
    /// Heartbeats after a hello, as fast as possible.
    Heartbeats,
    /// A hello of another arithmetic, which is refused. The connection stays open, and every thread opens
    /// more, up to [`KEPT_MAX`].
    HiddenCrowd,
    /// A hello, and a heartbeat now and then. Nothing is ever read, and HTTP/2's windows have their maximum
    /// size.
    NeverReads,
}

/// The kinds that send no hello.
pub const WITHOUT_HELLO: [Kind; 5] =
    [Kind::Headers, Kind::WindowUpdate, Kind::Settings, Kind::Priority, Kind::Ping];

/// A running flood, which ends when dropped.
#[derive(Debug)]
pub struct Flood {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    kind: Kind,
    address: String,
    ends: Instant,
    ended: AtomicBool,
    opened: AtomicU64,
    closed: AtomicU64,
    bytes: AtomicU64,
}

/// Totals of a flood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that the other side has closed.
    pub closed: u64,
    /// Bytes that the system has taken to send.
    pub bytes: u64,
}

impl Flood {
    /// Starts a flood, with one thread for each of the connections.
    ///
    /// # Panics
    /// When `connections` is above [`CONNECTIONS_MAX`], or a thread can't be started.
    #[must_use]
    pub fn start(kind: Kind, address: &str, connections: usize) -> Self {
        assert!(connections <= CONNECTIONS_MAX, "{connections} threads are too many");
        let shared = Arc::new(Shared {
            kind,
            address: address.to_owned(),
            ends: Instant::now() + LIFETIME,
            ended: AtomicBool::new(false),
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let thread = |index| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.run(index))
        };
        let threads = (0..connections).map(thread).collect();
        Self { shared, threads }
    }

    /// The totals so far.
    #[must_use]
    pub fn sent(&self) -> Sent {
        let Shared { opened, closed, bytes, .. } = &*self.shared;
        let [opened, closed, bytes] = [opened, closed, bytes].map(|count| count.load(Ordering::SeqCst));
        Sent { opened, closed, bytes }
    }

    /// Stops the flood. Returns its totals.
    #[must_use]
    pub fn end(self) -> Sent {
        self.shared.ended.store(true, Ordering::SeqCst);
        let shared = Arc::clone(&self.shared);
        drop(self);
        let [opened, closed, bytes] =
            [&shared.opened, &shared.closed, &shared.bytes].map(|count| count.load(Ordering::SeqCst));
        Sent { opened, closed, bytes }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Shared {
    fn goes_on(&self) -> bool {
        !self.ended.load(Ordering::SeqCst) && Instant::now() < self.ends
    }

    fn run(&self, index: usize) {
        // More than one only for a crowd.
        let mut kept = Vec::new();
        for number in 0.. {
            if !self.goes_on() {
                return;
            }
            let connected = TcpStream::connect(&self.address).and_then(|stream| {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(stream)
            });
            let Ok(mut stream) = connected else {
                std::thread::sleep(NO_CONNECTION);
                continue;
            };
            self.opened.fetch_add(1, Ordering::SeqCst);
            let closed = self.talk(&mut stream, &format!("flood-{index}-{number}")).is_err();
            self.closed.fetch_add(closed.into(), Ordering::SeqCst);
            if self.kind == Kind::HiddenCrowd && !closed {
                kept.push(stream);
                kept.drain(..kept.len().saturating_sub(KEPT_MAX));
            }
        }
    }

    /// Sends the flood's bytes on one connection until it ends.
    ///
    /// # Errors
    /// When the other side has closed it.
    fn talk(&self, stream: &mut TcpStream, name: &str) -> std::io::Result<()> {
        self.write(stream, &beginning(self.kind))?;
        if self.says_hello() {
            self.write(stream, &[request(1), data(&hello(self.kind, name))].concat())?;
        }
        match self.kind {
            // The hello is refused; the answer is not read.
            Kind::HiddenCrowd => Ok(()),
            Kind::Handshakes => self.wait_for_answer(stream),
            Kind::NeverReads => {
                while self.goes_on() {
                    let pong = frame(6, 1, 0, &PING_OF_HYPER);
                    self.write(stream, &[data(&heartbeat()), pong].concat())?;
                    std::thread::sleep(BEAT);
                }
                Ok(())
            }
            kind => {
                if self.says_hello() {
                    self.wait_for_message(stream)?;
                }
                let mut next_stream = 1;
                while self.goes_on() {
                    let unit = |_| {
                        next_stream += 2;
                        unit(kind, next_stream)
                    };
                    let count = WRITE_BYTES / unit_bytes(kind);
                    self.write(stream, &(0..count).flat_map(unit).collect::<Vec<u8>>())?;
                }
                Ok(())
            }
        }
    }

    fn says_hello(&self) -> bool {
        !WITHOUT_HELLO.contains(&self.kind) && self.kind != Kind::Handshakes
    }

    /// Waits until something arrives.
    ///
    /// # Errors
    /// When the other side closes the connection instead.
    fn wait_for_answer(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        while self.goes_on() {
            match stream.read(&mut [0; 4096]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(NO_ROOM),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits for a frame with a message, by which the coordinator has answered the hello.
    ///
    /// # Errors
    /// When the other side closes it instead.
    fn wait_for_message(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        while self.goes_on() {
            match stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => received.extend(&buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(NO_ROOM),
                Err(error) => return Err(error),
            }
            while let [high, middle, low, kind, ..] = received[..] {
                let length = 9 + u32::from_be_bytes([0, high, middle, low]) as usize;
                if kind == 0 {
                    return Ok(());
                }
                if received.len() < length {
                    break;
                }
                received.drain(..length);
            }
        }
        Ok(())
    }

    /// Writes all bytes and discards what arrives meanwhile, unless the flood never reads.
    fn write(&self, stream: &mut TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
        let mut answers = [0; 64 << 10];
        while !bytes.is_empty() && self.goes_on() {
            if !matches!(self.kind, Kind::NeverReads | Kind::HiddenCrowd) {
                match stream.read(&mut answers) {
                    Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                    _ => {}
                }
            }
            match stream.write(bytes) {
                Ok(written) => {
                    self.bytes.fetch_add(written as u64, Ordering::SeqCst);
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(NO_ROOM),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// First bytes of a connection; for a flood that never reads, with windows of maximum size.
fn beginning(kind: Kind) -> Vec<u8> {
    const WINDOW_MAX: u32 = (1 << 31) - 1;
    const WINDOW_FIRST: u32 = 65_535;
    if kind == Kind::Handshakes {
        return client_hello();
    }
    let settings = match kind {
        Kind::NeverReads => frame(4, 0, 0, &[&[0, 4][..], &WINDOW_MAX.to_be_bytes()].concat()),
        _ => frame(4, 0, 0, &[]),
    };
    let window = match kind {
        Kind::NeverReads => frame(8, 0, 0, &(WINDOW_MAX - WINDOW_FIRST).to_be_bytes()),
        _ => Vec::new(),
    };
    [PREFACE, &settings, &window].concat()
}

/// One frame, or one message in a frame, of which the flood consists.
fn unit(kind: Kind, stream: u32) -> Vec<u8> {
    match kind {
        Kind::Headers => frame(1, 4 | 1, stream, &[0x83, 0x84, 0x86]),
        Kind::WindowUpdate => frame(8, 0, 0, &1u32.to_be_bytes()),
        Kind::Settings => frame(4, 0, 0, &[]),
        Kind::Priority => frame(2, 0, stream, &[0, 0, 0, 0, 16]),
        Kind::Ping | Kind::PingAfterHello => frame(6, 0, 0, &[7; 8]),
        Kind::Heartbeats => data(&heartbeat()),
        Kind::HiddenCrowd | Kind::NeverReads | Kind::Handshakes => Vec::new(),
    }
}

fn unit_bytes(kind: Kind) -> usize {
    unit(kind, 1).len().max(1)
}

fn heartbeat() -> Vec<u8> {
    encoded(WorkerMessage::Heartbeat(Usage::default()))
}

/// A valid hello; for a crowd one that is refused, because its arithmetic differs.
fn hello(kind: Kind, name: &str) -> Vec<u8> {
    let mut hello = scripted::hello(name);
    hello.numerics.0 ^= u64::from(kind == Kind::HiddenCrowd) << 63;
    encoded(WorkerMessage::Hello(hello))
}

/// A message in gRPC's framing.
fn encoded(message: WorkerMessage) -> Vec<u8> {
    let mut wire = outbound::from_worker(message, |_, _| None);
    let bytes = wire.next().expect("a message").encode_to_vec();
    [&[0][..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat()
}

fn data(message: &[u8]) -> Vec<u8> {
    frame(0, 0, 1, message)
}

/// The header fields of a call to `Join`, in HPACK without compression.
fn request(stream: u32) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let fields = [
        // POST, http.
        vec![0x83, 0x86],
        // :path and :authority.
        [&[0x04][..], &text("/lockstep.v1.Cluster/Join")].concat(),
        [&[0x01][..], &text("localhost")].concat(),
        // content-type, the 31st name that both sides know.
        [&[0x0f, 0x10][..], &text("application/grpc")].concat(),
        [&[0x00][..], &text("te"), &text("trailers")].concat(),
    ];
    frame(1, 4, stream, &fields.concat())
}

/// One HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
