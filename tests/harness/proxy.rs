//! A faulty network: a TCP proxy between workers and a coordinator.
//!
//! Each direction has its own [`Link`]: a delay, a rate, and what happens after a number of further bytes. It
//! holds for all present and future connections until another one is set. The proxy changes no byte. All its
//! tasks live in their own runtime, and end when it is dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

/// Most bytes of one read; a slow link passes them on together.
const READ_BYTES: usize = 16 << 10;
/// Most reads in a link; together with [`READ_BYTES`] the bytes that it holds.
const IN_FLIGHT: usize = 64;
/// Timeout of a connection to the coordinator.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for the tasks to end when the proxy is dropped.
const END_GRACE: Duration = Duration::from_secs(2);

/// Bytes, and the time at which they may be passed on.
type InFlight = (Instant, Vec<u8>);

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The direction from the side that connects.
    Up,
    /// The direction to the side that connects.
    Down,
}

/// What happens to a connection after a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Both sides see an orderly end.
    Close,
    /// Both sides see a reset.
    Reset,
    /// Nothing moves until another link is set, and nothing is lost. It stands for a cable that is pulled for
    /// a while.
    Hold,
    /// Further bytes are discarded unnoticed, and the connection is reset once another link is set. It stands
    /// for a half-open connection.
    Swallow,
}

/// Behaviour of a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Time from reading a byte to passing it on.
    pub delay: Duration,
    /// Bytes per second; unlimited if `None`.
    pub rate: Option<u32>,
    /// What happens after this number of further bytes, over all connections.
    pub fate: Option<(u64, Fate)>,
}

impl Link {
    /// A link with `fate` after `bytes` further bytes.
    #[must_use]
    pub fn after(bytes: u64, fate: Fate) -> Self {
        Self { fate: Some((bytes, fate)), ..Self::default() }
    }
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    ways: [Direction; 2],
    /// Number of calls of [`Proxy::break_all`]; connections end when it changes.
    broken: watch::Sender<(u64, Fate)>,
}

#[derive(Debug)]
struct Direction {
    /// The link, and the bytes that had arrived when it was set.
    link: watch::Sender<(Link, u64)>,
    arrived: AtomicU64,
}

impl Direction {
    fn new() -> Self {
        Self { link: watch::Sender::new((Link::default(), 0)), arrived: AtomicU64::new(0) }
    }
}

impl Proxy {
    /// Listens on a free port of this machine for connections to `upstream`, which may come and go.
    ///
    /// # Panics
    /// When no port or thread can be had.
    #[must_use]
    pub fn start(upstream: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            ways: [Direction::new(), Direction::new()],
            broken: watch::Sender::new((0, Fate::Close)),
        });
        let theirs = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, Arc::clone(&theirs)));
            }
        });
        Self { address, shared, runtime: Some(runtime) }
    }

    /// The address to connect to instead of upstream.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets the link of one direction, for every connection.
    pub fn set(&self, way: Way, link: Link) {
        let direction = &self.shared.ways[way as usize];
        direction.link.send_replace((link, direction.arrived.load(Ordering::SeqCst)));
    }

    /// Sets the links of both directions.
    pub fn set_both(&self, link: Link) {
        self.set(Way::Up, link);
        self.set(Way::Down, link);
    }

    /// Lets everything through again.
    pub fn heal(&self) {
        self.set_both(Link::default());
    }

    /// Ends all present connections, by a close or a reset.
    pub fn break_all(&self, fate: Fate) {
        self.shared.broken.send_modify(|broken| *broken = (broken.0 + 1, fate));
    }

    /// Bytes that have arrived for this direction, whether passed on or not.
    #[must_use]
    pub fn arrived(&self, way: Way) -> u64 {
        self.shared.ways[way as usize].arrived.load(Ordering::SeqCst)
    }

    /// Waits until a direction's fate has come.
    ///
    /// # Panics
    /// When it does not come within `patience`.
    pub fn wait_for_fate(&self, way: Way, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let (link, since) = *self.shared.ways[way as usize].link.borrow();
            let due = link.fate.map_or(0, |(bytes, _)| since + bytes);
            let arrived = self.arrived(way);
            if arrived >= due {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{arrived} of {due} bytes arrived {way:?} within {patience:?}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(|runtime| runtime.shutdown_timeout(END_GRACE));
    }
}

/// Serves one connection until it ends.
async fn connection(mut client: TcpStream, shared: Arc<Shared>) {
    let mut broken = shared.broken.subscribe();
    // If nobody listens upstream, the client sees its connection closed.
    let Ok(mut server) = host::dial::connect(&shared.upstream, CONNECT_TIMEOUT).await else { return };
    host::tcp::prepare(&client);
    let [up, down] = &shared.ways;
    let fate = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            fate = pump(from_client, to_server, up) => fate,
            fate = pump(from_server, to_client, down) => fate,
            _ = broken.changed() => broken.borrow().1,
        }
    };
    if fate == Fate::Reset {
        // Closing discards unsent bytes then, and resets the connection.
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

/// Moves bytes until the connection ends. Returns how it must be closed.
async fn pump(from: ReadHalf<'_>, to: WriteHalf<'_>, direction: &Direction) -> Fate {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    // The writer ends after the reader once everything is written, or when the other side takes nothing more.
    let (fate, ()) = tokio::join!(take(from, direction, sender), give(to, direction, receiver));
    fate
}

/// Reads as many bytes as the link's fate allows.
async fn take(mut from: ReadHalf<'_>, direction: &Direction, sender: mpsc::Sender<InFlight>) -> Fate {
    let mut links = direction.link.subscribe();
    let mut buffer = vec![0; READ_BYTES];
    let mut swallowing = false;
    loop {
        let (link, since) = *links.borrow_and_update();
        let before = direction.arrived.load(Ordering::SeqCst);
        let left = link.fate.map_or(u64::MAX, |(bytes, _)| (since + bytes).saturating_sub(before));
        let fate = link.fate.filter(|_| left == 0).map(|(_, fate)| fate);
        match fate {
            Some(end @ (Fate::Close | Fate::Reset)) => return end,
            Some(Fate::Hold) => {
                let _ = links.changed().await;
                continue;
            }
            Some(Fate::Swallow) => swallowing = true,
            None if swallowing => return Fate::Reset,
            None => {}
        }
        let most =
            if swallowing { READ_BYTES } else { READ_BYTES.min(left.try_into().unwrap_or(READ_BYTES)) };
        let read = tokio::select! {
            // A link that was set before a byte was sent holds for that byte.
            biased;
            _ = links.changed() => continue,
            read = from.read(&mut buffer[..most]) => read,
        };
        match read {
            // The far side must not notice this end either.
            Ok(0) | Err(_) if swallowing => {
                let _ = links.changed().await;
                return Fate::Reset;
            }
            Ok(0) => return Fate::Close,
            Err(_) => return Fate::Reset,
            Ok(bytes) => {
                direction.arrived.fetch_add(bytes as u64, Ordering::SeqCst);
                let in_flight = (Instant::now() + link.delay, buffer[..bytes].to_vec());
                if !swallowing && sender.send(in_flight).await.is_err() {
                    return Fate::Reset;
                }
            }
        }
    }
}

/// Passes on what was read, each part at its time.
async fn give(mut to: WriteHalf<'_>, direction: &Direction, mut receiver: mpsc::Receiver<InFlight>) {
    while let Some((due, bytes)) = receiver.recv().await {
        tokio::time::sleep_until(due.into()).await;
        let rate = direction.link.borrow().0.rate;
        if let Some(rate) = rate {
            tokio::time::sleep(Duration::from_secs_f64(bytes.len() as f64 / f64::from(rate))).await;
        }
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
