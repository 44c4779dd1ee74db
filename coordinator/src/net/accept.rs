//! Admission of connections: how many may be open, at which rate they are accepted, and which one is closed
//! for another.
//!
//! 1. All listeners share one number of connections: for members, spares, [`PENDING_MAX`] pending connections
//!    and [`ENDING_MAX`] closing ones. It is lower where the system's limit of open files is, of which some
//!    are reserved for checkpoints and everything else. When all are in use, the next connection waits in the
//!    system's queue.
//! 2. When one more pending connection arrives than may be open, the oldest is evicted. A correct worker is
//!    pending for milliseconds.
//! 3. New connections are accepted at a limited rate ([`ACCEPTED_PER_SECOND`]), so a peer that floods, is
//!    closed and dials again cannot keep this process busy.

use super::pending::{ConnectionState, LimitedConnection};
use crate::net::token_bucket::{PeerLines, TokenBucket};
use futures_util::{Stream, StreamExt, stream};
use host::open_files;
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};
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

/// Pending connections of a listener, oldest first.
type Queue = VecDeque<(Weak<ConnectionState>, oneshot::Sender<()>)>;

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

    /// Waits until one more connection may be accepted.
    async fn place(&self, pending: &mut Queue) -> Option<OwnedSemaphorePermit> {
        while !self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now(), 1) {
            tokio::time::sleep(PACE).await;
        }
        if self.places.available_permits() == 0 {
            forget_settled(pending);
            // Otherwise a connection ends by itself: each one has a deadline.
            evict_oldest(pending);
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn admit<C: Incoming>(
        &self,
        pending: &mut Queue,
        connection: C,
        place: OwnedSemaphorePermit,
    ) -> LimitedConnection<C> {
        forget_settled(pending);
        if pending.len() >= self.pending_max {
            evict_oldest(pending);
            tracing::debug!(
                most = self.pending_max,
                "too many connections without a hello; closing the oldest"
            );
        }
        let state = Arc::new(ConnectionState::of(connection.process()));
        let (sender, evicted) = oneshot::channel();
        pending.push_back((Arc::downgrade(&state), sender));
        LimitedConnection::new(connection, Arc::clone(&self.lines), place, state, evicted)
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
    stream::unfold((Box::pin(incoming), Queue::new()), move |(mut incoming, mut pending)| {
        let limits = Arc::clone(&limits);
        async move {
            let place = limits.place(&mut pending).await?;
            let accepted = incoming.next().await?;
            let limited = accepted.map(|connection| limits.admit(&mut pending, connection, place));
            if let Err(error) = &limited {
                limits.note(|left_out| {
                    tracing::warn!(%error, left_out, "a connection could not be accepted");
                });
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Some((limited, (incoming, pending)))
        }
    })
}

/// A connection that a listener accepts.
pub(crate) trait Incoming {
    /// The process at the other end, if it is one of this machine and user and can be identified.
    fn process(&self) -> Option<NonZeroU32>;
}

impl Incoming for TcpStream {
    fn process(&self) -> Option<NonZeroU32> {
        None
    }
}

impl Incoming for UnixStream {
    fn process(&self) -> Option<NonZeroU32> {
        host::local_socket::process_of_peer(self).ok().flatten()
    }
}

fn evict_oldest(pending: &mut Queue) {
    if let Some((_, sender)) = pending.pop_front() {
        // The receiver is gone if the connection has ended by itself.
        let _ = sender.send(());
    }
}

fn forget_settled(pending: &mut Queue) {
    pending.retain(|(state, _)| state.upgrade().is_some_and(|state| state.is_pending()));
}

/// Files that a coordinator needs for `members`, `local` workers of its own among them, when nobody else
/// connects.
pub(crate) fn files_needed(members: u32, local: u32) -> u64 {
    FILES_RESERVED + FILES_OF_A_LOCAL_WORKER * u64::from(local) + u64::from(members)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
