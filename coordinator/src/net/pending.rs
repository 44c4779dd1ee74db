//! Limits of a connection by its state: pending (no hello has been accepted), accepted (it is a member's or a
//! spare's), or left (it was accepted before).
//!
//! 1. A pending connection is closed [`HANDSHAKE_TIMEOUT`] after the system accepted it, and a left one as
//!    long after the worker was dropped. HTTP/2 has no such limit: a connection that never opens a stream, or
//!    only answers pings, would cost a file and memory for ever.
//! 2. A pending connection may send [`HELLO_BYTES_MAX`] in [`HELLO_FRAMES_MAX`] small frames. A worker's
//!    hello takes a tenth of that.
//! 3. An accepted connection may send any amount of gradient data. Small frames and control messages take
//!    tokens from a bucket. Every piece and all parameters that the worker is sent add tokens
//!    ([`server`](crate::net::server)), so neither slow links nor large models use it up.
//! 4. A left connection may still send what was on its way.
//!
//! HTTP/2 libraries limit some of this (a flood of resets, of header fields), and answer every other frame
//! for ever. A connection that exceeds a limit is closed at once. [`accept`](super::accept) decides how many
//! connections there may be, and [`limited`](super::limited) holds each one to this.

use super::access::ProvedKey;
use crate::net::token_bucket::TokenBucket;
use proto::message::Usage;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Longest time until a hello is accepted. A worker says hello within milliseconds.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of a set of header fields: gRPC needs some hundred.
pub(crate) const HEADER_BYTES_MAX: u32 = 8 * 1024;
/// Most bytes before the hello is accepted: header fields, HTTP/2's settings, the hello and an offer of
/// shared memory.
pub(super) const HELLO_BYTES_MAX: u64 = 2 * HEADER_BYTES_MAX as u64;
/// Most small frames before the hello is accepted: a worker needs eight.
pub(super) const HELLO_FRAMES_MAX: u32 = 32;
/// Small frames, or the equal of them, that are allowed in a second. A worker that is sent nothing sends
/// about five in ten seconds. A frame costs a few microseconds: a thousand times as many would slow the
/// coordinator down.
const SMALL_PER_SECOND: u32 = 1_000;
/// Small frames that are allowed at once: many may have been held up on their way.
const SMALL_AT_ONCE: u32 = 10_000;
/// Small frames that are allowed at the beginning, when nothing can have been held up for long.
const SMALL_AT_FIRST: u32 = 1_000;
/// Cost of a control message in frames: it wakes the driver.
const MESSAGE_COST: u32 = 10;
/// Most bytes after the worker was dropped: a window's worth may be on its way, there and here.
pub(super) const LEFT_BYTES_MAX: u64 = 2 * proto::WINDOW_BYTES as u64;

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Excess {
    #[error("more than {HELLO_BYTES_MAX} bytes before a hello that was accepted")]
    HelloBytes,
    #[error("more than {HELLO_FRAMES_MAX} HTTP/2 frames before a hello that was accepted")]
    HelloFrames,
    #[error(
        "a flood of HTTP/2 frames or of control messages: more than {SMALL_PER_SECOND} a second that bring nothing"
    )]
    Small,
    #[error("more than {LEFT_BYTES_MAX} bytes after it was dropped")]
    LeftBytes,
    #[error("its token was revoked")]
    Revoked,
}

/// What is known of the other end of a connection when it is accepted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peer {
    /// The process, if it is one of this machine and user and can be identified.
    pub(super) process: Option<NonZeroU32>,
    /// Its address; none on a Unix socket.
    pub(super) address: Option<IpAddr>,
}

/// The state of a connection, for all tasks that deal with it.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    peer: Peer,
    since: Instant,
    /// The key that the worker has proved, where it must.
    key: OnceLock<ProvedKey>,
    /// Members and spares on this connection.
    accepted: AtomicU32,
    /// When the last of them was dropped.
    left: Mutex<Option<Instant>>,
    /// Allowance for frames and messages that carry nothing.
    small: Mutex<TokenBucket>,
    excess: OnceLock<Excess>,
    /// Bytes that the system has taken to send.
    written: AtomicU64,
    /// Bytes of gradients that have arrived.
    arrived: AtomicU64,
    /// What the worker said last that it uses.
    usage: Mutex<Usage>,
}

impl Default for ConnectionState {
    fn default() -> Self {
        Self {
            peer: Peer::default(),
            since: Instant::now(),
            key: OnceLock::new(),
            accepted: AtomicU32::default(),
            left: Mutex::default(),
            small: Mutex::new(
                TokenBucket::new(SMALL_PER_SECOND, SMALL_AT_ONCE).starting_with(SMALL_AT_FIRST),
            ),
            excess: OnceLock::new(),
            written: AtomicU64::default(),
            arrived: AtomicU64::default(),
            usage: Mutex::default(),
        }
    }
}

impl ConnectionState {
    /// The state of a new connection.
    pub(super) fn of(peer: Peer) -> Self {
        Self { peer, ..Self::default() }
    }

    /// The process at the other end, if it is one of this machine and user and can be identified.
    pub(crate) fn process(&self) -> Option<NonZeroU32> {
        self.peer.process
    }

    /// The address at the other end; none on a Unix socket.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.peer.address
    }

    /// The address at the other end, as far as it tells machines apart ([`host::address::network`]).
    pub(crate) fn network(&self) -> Option<IpAddr> {
        self.peer.address.map(host::address::network)
    }

    /// The key that the worker has proved, where it must.
    pub(crate) fn key(&self) -> Option<&ProvedKey> {
        self.key.get()
    }

    /// Notes the key that the worker has proved.
    pub(super) fn has_proved(&self, key: ProvedKey) {
        // It proves one key only.
        let _ = self.key.set(key);
    }

    /// Time since the connection was accepted.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether no hello has been accepted on it yet.
    pub(super) fn is_pending(&self) -> bool {
        !self.is_accepted() && lock(&self.left).is_none()
    }

    /// Whether a member or a spare is on it.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::SeqCst) > 0
    }

    /// Marks the connection as accepted until the returned value is dropped.
    pub(crate) fn accept(self: &Arc<Self>) -> AcceptedMark {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        AcceptedMark(Arc::clone(self))
    }

    /// The time until which the connection may stay in its present state; `None` while it is pending.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.is_accepted() {
            Some(Instant::now() + HANDSHAKE_TIMEOUT)
        } else {
            lock(&self.left).map(|left| left + HANDSHAKE_TIMEOUT)
        }
    }

    /// Adds the allowance for a message to the worker that `frames` small frames may answer.
    pub(crate) fn earn(&self, frames: u32) {
        // The worker also sends a message that it has read this one.
        lock(&self.small).earn(frames.saturating_add(2 * MESSAGE_COST));
    }

    /// Takes a control message's cost from the allowance.
    ///
    /// # Errors
    /// When the allowance is used up.
    pub(crate) fn spend_message(&self) -> Result<(), Excess> {
        self.spend(MESSAGE_COST)
    }

    pub(super) fn spend(&self, frames: u32) -> Result<(), Excess> {
        let may = frames == 0 || lock(&self.small).take(std::time::Instant::now(), frames);
        may.then_some(()).ok_or(Excess::Small)
    }

    /// Remembers the limit for which this side closes the connection; only the first is kept.
    pub(super) fn exceeds(&self, excess: Excess) {
        let _ = self.excess.set(excess);
    }

    /// The limit for which this side closed the connection, if it did.
    pub(crate) fn excess(&self) -> Option<Excess> {
        self.excess.get().copied()
    }

    /// Remembers what the worker says that it uses.
    pub(super) fn note_usage(&self, usage: Usage) {
        *lock(&self.usage) = usage;
    }

    /// What the worker said last that it uses.
    pub(crate) fn usage(&self) -> Usage {
        *lock(&self.usage)
    }

    /// Bytes of gradients that have arrived, on the stream or in shared memory.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Counts a gradient's chunk that has arrived.
    pub(crate) fn note_chunk(&self, bytes: usize) {
        self.arrived.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts bytes that the system has taken to send.
    pub(super) fn note_written(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that the system has taken to send.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// Marks a connection as a member's or a spare's until it is dropped.
#[derive(Debug)]
pub(crate) struct AcceptedMark(Arc<ConnectionState>);

impl Drop for AcceptedMark {
    fn drop(&mut self) {
        *lock(&self.0.left) = Some(Instant::now());
        self.0.accepted.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
