//! Which connections are taken from a listener, when, and how many may be open.
//!
//! 1. All listeners together have a number of connections: for members, spares, [`PENDING_MAX`] pending ones and those
//!    whose worker has just been dropped; fewer where the system lets this process have fewer files, of which some are kept
//!    for checkpoints and all else. Where there are so many the next one waits in the system's queue.
//! 2. Where one more pending connection comes than may be, the oldest goes: an honest worker is pending for milliseconds.
//! 3. New ones come at a pace ([`ACCEPTED_PER_SECOND`]): one that floods, is closed and comes again can't keep this process
//!    busy with that.

use super::pending::{Guarded, Presence};
use crate::net::token_bucket::{Lines, TokenBucket};
use futures_util::{Stream, StreamExt, stream};
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Each is an open file, of which a process may have 1,024 as a rule, the workers' and the checkpoints' among them.
const PENDING_MAX: u32 = 256;
/// Connections that end, of workers that have been dropped or replaced and are back on a new one.
const ENDING_MAX: u32 = 64;
/// For checkpoints, metrics, log, trace, listeners, the runtime and shared memory: some twenty are open at once.
const FILES_RESERVED: u64 = 64;
/// For each local worker: its two pipes, its process, its shared memory, and one more.
const FILES_OF_A_LOCAL_WORKER: u64 = 5;
/// Once those of [`ACCEPTED_AT_ONCE`] have come.
const ACCEPTED_PER_SECOND: u32 = 100;
/// All workers of a large run, back after a restart.
const ACCEPTED_AT_ONCE: u32 = 256;
/// Between two looks at whether the next one may come.
const PACE: Duration = Duration::from_millis(10);
/// After the system could accept nothing, which it would say again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Lines about what strangers do: so many at once, then one a second.
const LINES_AT_ONCE: u32 = 10;

/// Pending connections of a listener, oldest first.
type Queue = VecDeque<(Weak<Presence>, oneshot::Sender<()>)>;

/// What holds for all listeners together.
#[derive(Debug)]
pub(crate) struct Limits {
    places: Arc<Semaphore>,
    pending_max: usize,
    pace: Mutex<TokenBucket>,
    lines: Mutex<Lines>,
}

impl Limits {
    /// For a run with so many members and spares, and local workers among them.
    pub(crate) fn new(members: u32, spares: u32, local: u32) -> Self {
        let own = FILES_RESERVED + FILES_OF_A_LOCAL_WORKER * u64::from(local);
        Self::of(members, spares, files_max().map(|files| files.saturating_sub(own)))
    }

    /// `files` are those that connections may take, if the system sets a limit.
    fn of(members: u32, spares: u32, files: Option<u64>) -> Self {
        let wanted = [members, spares, PENDING_MAX, ENDING_MAX].map(u64::from).iter().sum::<u64>();
        let places = files.map_or(wanted, |files| wanted.min(files)).max(2);
        if places < u64::from(members) + u64::from(ENDING_MAX) {
            tracing::warn!(
                places,
                members,
                "few files may be open: so many connections at most; see ulimit -n"
            );
        }
        Self {
            places: Arc::new(Semaphore::new(places as usize)),
            pending_max: (PENDING_MAX as usize).min(places as usize / 2),
            pace: Mutex::new(TokenBucket::new(ACCEPTED_PER_SECOND, ACCEPTED_AT_ONCE)),
            lines: Mutex::new(Lines::new(1, LINES_AT_ONCE)),
        }
    }

    /// Writes a line that a stranger can cause, unless there were many of late; `write` is told how many were left out.
    pub(crate) fn note(&self, write: impl FnOnce(Option<u64>)) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).write(Instant::now(), write);
    }

    /// Waits until one more connection may come.
    async fn place(&self, pending: &mut Queue) -> Option<OwnedSemaphorePermit> {
        while !self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now(), 1) {
            tokio::time::sleep(PACE).await;
        }
        if self.places.available_permits() == 0 {
            forget_settled(pending);
            // Else someone leaves in time: no connection may stay for ever.
            expel_oldest(pending);
        }
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn admit<C: Accepted>(
        self: &Arc<Self>,
        pending: &mut Queue,
        connection: C,
        place: OwnedSemaphorePermit,
    ) -> Guarded<C> {
        forget_settled(pending);
        if pending.len() >= self.pending_max {
            expel_oldest(pending);
            tracing::debug!(
                most = self.pending_max,
                "too many connections without a hello; closing the oldest"
            );
        }
        let presence = Arc::new(Presence::of(connection.process()));
        let (sender, expelled) = oneshot::channel();
        pending.push_back((Arc::downgrade(&presence), sender));
        Guarded::new(connection, Arc::clone(self), place, presence, expelled)
    }
}

/// Wraps what a listener accepts.
pub(crate) fn accepted<L, C>(incoming: L, limits: Arc<Limits>) -> impl Stream<Item = io::Result<Guarded<C>>>
where
    L: Stream<Item = io::Result<C>>,
    C: Accepted,
{
    stream::unfold((Box::pin(incoming), Queue::new()), move |(mut incoming, mut pending)| {
        let limits = Arc::clone(&limits);
        async move {
            let place = limits.place(&mut pending).await?;
            let accepted = incoming.next().await?;
            let guarded = accepted.map(|connection| limits.admit(&mut pending, connection, place));
            if let Err(error) = &guarded {
                limits.note(|left_out| {
                    tracing::warn!(%error, left_out, "a connection could not be accepted");
                });
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            Some((guarded, (incoming, pending)))
        }
    })
}

/// What a listener accepts.
pub(crate) trait Accepted {
    /// The process at the other end, if it is one of this machine and user that can be told.
    fn process(&self) -> Option<NonZeroU32>;
}

impl Accepted for TcpStream {
    fn process(&self) -> Option<NonZeroU32> {
        None
    }
}

impl Accepted for UnixStream {
    fn process(&self) -> Option<NonZeroU32> {
        host::local_socket::process_of_peer(self).ok().flatten()
    }
}

fn expel_oldest(pending: &mut Queue) {
    if let Some((_, sender)) = pending.pop_front() {
        // Else it has gone by itself.
        let _ = sender.send(());
    }
}

fn forget_settled(pending: &mut Queue) {
    pending.retain(|(presence, _)| presence.upgrade().is_some_and(|presence| presence.is_pending()));
}

/// How many files this process may have open; `None` without a limit.
#[cfg(unix)]
fn files_max() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
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
