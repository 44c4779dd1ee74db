//! Admission of connections: how many may be open, at which rate they are accepted, and which one is closed
//! for another.
//!
//! 1. All listeners share one number of connections: for members, spares, [`PENDING_MAX`] pending connections
//!    and [`ENDING_MAX`] closing ones. It is lower where the system's limit of open files is, of which some
//!    are reserved for checkpoints and everything else. When all are in use, the next connection waits in the
//!    system's queue.
//! 2. When one more pending connection arrives than may be open, the oldest is evicted, and one that has
//!    proved a key only where there is no other. A correct worker is pending for milliseconds.
//! 3. New connections are accepted at a limited rate ([`ACCEPTED_PER_SECOND`]), so a peer that floods, is
//!    closed and dials again cannot keep this process busy.
//!
//! Where workers need tokens, [`handshakes`](super::handshakes) come before anything else.

use super::limited::LimitedConnection;
use super::pending::{ConnectionState, Peer};
use crate::net::token_bucket::{PeerLines, TokenBucket};
use futures_util::{Stream, StreamExt, stream};
use host::open_files;
use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Most pending connections. Each is an open file, and a process may usually have 1,024, which workers and
/// checkpoints need too.
const PENDING_MAX: u32 = 256;
/// Connections that may be closing: of workers that were dropped or replaced, and have already dialled again.
const ENDING_MAX: u32 = 64;
/// Files reserved for checkpoints, metrics, log, trace, listeners, the runtime and shared memory. Some twenty
/// of them are open at the same time.
const FILES_RESERVED: u64 = 64;
/// Files of a local worker: its standard input and error, its process, its shared memory, two pipes, their
/// two other ends until it has opened them, and one more.
const FILES_OF_A_LOCAL_WORKER: u64 = 9;
/// Rate at which connections are accepted after the first [`ACCEPTED_AT_ONCE`].
const ACCEPTED_PER_SECOND: u32 = 100;
/// Connections that are accepted without a pause: all workers of a large run that dial again after a restart.
const ACCEPTED_AT_ONCE: u32 = 256;
/// Interval between two looks at the token bucket.
const PACE: Duration = Duration::from_millis(10);
/// Pause after a failed `accept`: the system would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Log lines about unidentified peers that are written in a burst; after that, one a second.
const LINES_AT_ONCE: u32 = 10;

/// Told when a pending connection must be closed for another one.
pub(super) type Evicted = oneshot::Receiver<()>;

/// The pending connections of a listener, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<VecDeque<(Weak<ConnectionState>, oneshot::Sender<()>)>>);

/// The limits that all listeners share.
#[derive(Debug)]
pub(crate) struct Limits {
    places: Arc<Semaphore>,
    pending_max: usize,
    pace: Mutex<TokenBucket>,
    lines: Arc<PeerLines>,
}

impl Limits {
    /// The limits for a run with `members`, `spares`, and `local` workers among them.
    pub(crate) fn new(members: u32, spares: u32, local: u32) -> Self {
        let own = FILES_RESERVED + FILES_OF_A_LOCAL_WORKER * u64::from(local);
        Self::of(members, spares, open_files::limit().map(|files| files.saturating_sub(own)))
    }

    /// The limits where connections may use `files` open files, or any number of them.
    fn of(members: u32, spares: u32, files: Option<u64>) -> Self {
        let wanted = [members, spares, PENDING_MAX, ENDING_MAX].map(u64::from).iter().sum::<u64>();
        let places = files.map_or(wanted, |files| wanted.min(files)).max(2);
        if places < u64::from(members) + u64::from(ENDING_MAX) {
            let wanted = FILES_RESERVED + wanted;
            tracing::warn!(
                places,
                members,
                wanted,
                "the limit of open files bounds the connections; raise it with ulimit -Hn"
            );
        }
        Self {
            places: Arc::new(Semaphore::new(places as usize)),
            pending_max: (PENDING_MAX as usize).min(places as usize / 2),
            pace: Mutex::new(TokenBucket::new(ACCEPTED_PER_SECOND, ACCEPTED_AT_ONCE)),
            lines: Arc::new(PeerLines::new(1, LINES_AT_ONCE)),
        }
    }

    /// Writes a log line that any peer can cause, unless there were many recently. `write` is told how many
    /// were left out.
    pub(crate) fn note(&self, write: impl FnOnce(Option<u64>)) {
        self.lines.note(write);
    }

    /// Says that a connection could not be accepted, and waits: the system would fail again at once.
    pub(super) async fn not_accepted(&self, error: &io::Error) {
        self.note(|left_out| tracing::warn!(%error, left_out, "a connection could not be accepted"));
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }

    /// Waits until one more connection may be accepted.
    pub(super) async fn place(&self, pending: &Pending) -> Option<OwnedSemaphorePermit> {
        while !self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now(), 1) {
            tokio::time::sleep(PACE).await;
        }
        if self.places.available_permits() == 0 {
            // Otherwise a connection ends by itself: each one has a deadline.
            pending.evict_oldest();
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Notes a new connection as pending.
    pub(super) fn register(&self, pending: &Pending, peer: Peer) -> (Arc<ConnectionState>, Evicted) {
        if pending.count() >= self.pending_max {
            pending.evict_oldest();
            tracing::debug!(
                most = self.pending_max,
                "too many connections without a hello; closing the oldest"
            );
        }
        let state = Arc::new(ConnectionState::of(peer));
        let (sender, evicted) = oneshot::channel();
        pending.lock().push_back((Arc::downgrade(&state), sender));
        (state, evicted)
    }

    /// A registered connection, within its limits from now on.
    pub(super) fn admit<C>(
        &self,
        connection: C,
        place: OwnedSemaphorePermit,
        state: Arc<ConnectionState>,
        evicted: Evicted,
    ) -> LimitedConnection<C> {
        LimitedConnection::new(connection, Arc::clone(&self.lines), place, state, evicted)
    }
}

impl Pending {
    /// How many there are; those that are not pending any more are forgotten.
    fn count(&self) -> usize {
        let mut queue = self.lock();
        queue.retain(|(state, _)| state.upgrade().is_some_and(|state| state.is_pending()));
        queue.len()
    }

    /// Closes the oldest, of those without a key if there is one.
    fn evict_oldest(&self) {
        self.count();
        let is_stranger =
            |state: &Weak<ConnectionState>| state.upgrade().is_some_and(|state| state.key().is_none());
        let mut queue = self.lock();
        let oldest = queue.iter().position(|(state, _)| is_stranger(state)).unwrap_or(0);
        evict(queue.remove(oldest));
    }

    /// Closes the oldest without a key that came from a network (`ConnectionState::network`), where so many
    /// have, unless it is younger than `spared`.
    pub(super) fn evict_from(&self, network: IpAddr, most: usize, spared: Duration) {
        let mut queue = self.lock();
        let is_from = |state: &Weak<ConnectionState>| {
            let state = state.upgrade();
            state.is_some_and(|state| {
                state.is_pending() && state.key().is_none() && state.network() == Some(network)
            })
        };
        let theirs = || queue.iter().enumerate().filter(|(_, (state, _))| is_from(state));
        let oldest = theirs().next().filter(|_| theirs().count() > most);
        let is_due =
            |state: &Weak<ConnectionState>| state.upgrade().is_some_and(|state| state.age() >= spared);
        if let Some(at) = oldest.filter(|(_, (state, _))| is_due(state)).map(|(at, _)| at) {
            evict(queue.remove(at));
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Weak<ConnectionState>, oneshot::Sender<()>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn evict(entry: Option<(Weak<ConnectionState>, oneshot::Sender<()>)>) {
    if let Some((_, sender)) = entry {
        // The receiver is gone if the connection has ended by itself.
        let _ = sender.send(());
    }
}

/// Wraps the connections that a listener accepts.
pub(crate) fn accepted<L, C>(
    incoming: L,
    limits: Arc<Limits>,
) -> impl Stream<Item = io::Result<LimitedConnection<C>>>
where
    L: Stream<Item = io::Result<C>>,
    C: Incoming,
{
    stream::unfold((Box::pin(incoming), Pending::default()), move |(mut incoming, pending)| {
        let limits = Arc::clone(&limits);
        async move {
            let place = limits.place(&pending).await?;
            let accepted = incoming.next().await?;
            if let Err(error) = &accepted {
                limits.not_accepted(error).await;
            }
            let limited = accepted.map(|connection| {
                let (state, evicted) = limits.register(&pending, connection.peer());
                limits.admit(connection, place, state, evicted)
            });
            Some((limited, (incoming, pending)))
        }
    })
}

/// A connection that a listener accepts.
pub(crate) trait Incoming {
    /// What is known of the other end.
    fn peer(&self) -> Peer;
}

impl Incoming for TcpStream {
    fn peer(&self) -> Peer {
        Peer { address: self.peer_addr().ok().map(|address| address.ip().to_canonical()), ..Peer::default() }
    }
}

impl Incoming for UnixStream {
    fn peer(&self) -> Peer {
        Peer { process: host::local_socket::process_of_peer(self).ok().flatten(), ..Peer::default() }
    }
}

/// Files that a coordinator needs for `members`, `local` workers of its own among them, when nobody else
/// connects.
pub(crate) fn files_needed(members: u32, local: u32) -> u64 {
    FILES_RESERVED + FILES_OF_A_LOCAL_WORKER * u64::from(local) + u64::from(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::access::ProvedKey;
    use trust::key::Pin;

    fn places(members: u32, files: Option<u64>) -> (usize, usize) {
        let limits = Limits::of(members, 64, files);
        (limits.places.available_permits(), limits.pending_max)
    }

    #[test]
    fn few_files_leave_few_connections_and_half_of_them_pending() {
        assert_eq!(places(8, None), (8 + 64 + 256 + 64, 196));
        assert_eq!(places(8, Some(960)), places(8, None));
        assert_eq!(places(8, Some(36)), (36, 18));
        assert_eq!(places(1000, Some(0)), (2, 1));
    }

    /// A connection from an address, with its state and the word that it is to be closed.
    type Arrived = (Arc<ConnectionState>, Evicted);

    fn arrives(limits: &Limits, pending: &Pending, address: &str, has_key: bool) -> Arrived {
        let address = Some(address.parse().unwrap());
        let (state, evicted) = limits.register(pending, Peer { address, ..Peer::default() });
        if has_key {
            let token = "default".parse().unwrap();
            state.has_proved(ProvedKey { pin: Pin([1; 32]), token });
        }
        (state, evicted)
    }

    fn closed(connections: &mut [Arrived]) -> Vec<bool> {
        connections.iter_mut().map(|(_, evicted)| evicted.try_recv().is_ok()).collect()
    }

    #[test]
    fn the_oldest_is_closed_for_a_new_one_and_who_has_proved_a_key_last() {
        let limits = Limits::of(1, 0, Some(6));
        assert_eq!(limits.pending_max, 3);
        let pending = Pending::default();
        let keys = [true, false, false, false, true, true, true];
        let at = |(number, &has_key)| arrives(&limits, &pending, &format!("10.0.0.{number}"), has_key);
        let mut connections: Vec<Arrived> = keys.iter().enumerate().map(at).collect();
        // What is closed leaves the queue at once: the first stranger for the fourth connection, and so on.
        assert_eq!(closed(&mut connections), [true, true, true, true, false, false, false]);
    }

    #[test]
    fn a_crowd_from_one_address_closes_its_own_oldest_and_nobody_elses() {
        let limits = Limits::of(8, 64, None);
        let pending = Pending::default();
        let mut connections: Vec<Arrived> = [
            ("10.0.0.9", false),
            ("10.0.0.1", true),
            ("10.0.0.1", false),
            ("10.0.0.1", false),
            ("10.0.0.1", false),
        ]
        .map(|(address, has_key)| arrives(&limits, &pending, address, has_key))
        .into();
        let crowd = "10.0.0.1".parse().unwrap();
        pending.evict_from(crowd, 3, Duration::ZERO);
        assert_eq!(closed(&mut connections), [false; 5], "three without a key are not too many");
        pending.evict_from(crowd, 2, Duration::from_secs(60));
        assert_eq!(closed(&mut connections), [false; 5], "the oldest is young");
        pending.evict_from(crowd, 2, Duration::ZERO);
        assert_eq!(closed(&mut connections), [false, false, true, false, false]);
        pending.evict_from(crowd, 2, Duration::ZERO);
        assert_eq!(closed(&mut connections), [false; 5], "two are left");
    }
}
