//! What a connection may do, by its standing: pending (nobody on it has been let in yet), accepted (a member or a spare is
//! on it), or left (it was accepted before).
//!
//! 1. A pending connection has [`HANDSHAKE_TIMEOUT`] from being accepted by the system, and one that was left has it from
//!    then on. HTTP/2 asks for nothing of the kind: a connection that never opens a stream, or answers pings for ever,
//!    costs a file and memory.
//! 2. A pending connection may send [`HELLO_BYTES_MAX`] in [`HELLO_FRAMES_MAX`] small frames: a worker's hello takes a
//!    tenth of it.
//! 3. An accepted one may send as much as it likes of what carries a gradient. Small frames and control messages take from
//!    an bucket, to which every piece and all parameters that it is sent add ([`server`](crate::net::server)): neither slow
//!    links nor large models use it up.
//! 4. One that was left may still send what was on its way.
//!
//! HTTP/2 libraries look at some of this (a flood of resets, of header fields), and answer every other frame for ever.
//! Whoever takes more than he may is closed at once. How many connections there may be is decided in
//! [`accept`](super::accept).

use super::accept::Limits;
use super::frames::Frames;
use crate::net::token_bucket::TokenBucket;
use futures_util::FutureExt;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;

/// A worker says hello within milliseconds.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest set of header fields: gRPC needs some hundred bytes.
pub(crate) const HEADER_BYTES_MAX: u32 = 8 * 1024;
/// Until it is let in: header fields, HTTP/2's own settings, the hello and an offer of shared memory.
const HELLO_BYTES_MAX: u64 = 2 * HEADER_BYTES_MAX as u64;
/// Until it is let in: a worker needs eight.
const HELLO_FRAMES_MAX: u32 = 32;
/// Small frames or their like that may come in a second; a worker that is sent nothing beats some five times in ten. One
/// costs a few microseconds: a thousand times as many make a coordinator slow.
const SMALL_PER_SECOND: u32 = 1_000;
/// And at once: many of them may have been held up on their way.
const SMALL_AT_ONCE: u32 = 10_000;
/// At first nothing can have been held up for long.
const SMALL_AT_FIRST: u32 = 1_000;
/// A control message wakes the driver, which costs as much as so many frames.
const MESSAGE_COST: u32 = 10;
/// Of one that was left: what may be on its way is as much as fits a window, there and here.
const LEFT_BYTES_MAX: u64 = 2 * proto::WINDOW_BYTES as u64;

/// Why a connection is closed.
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
}

/// What is known of a connection, for all that have to do with it.
#[derive(Debug)]
pub(crate) struct Presence {
    /// The process at the other end, if it is one of this machine and user that can be told.
    process: Option<NonZeroU32>,
    /// Members and spares that are on it.
    accepted: AtomicU32,
    /// When the last of them was one no longer.
    left: Mutex<Option<Instant>>,
    /// What it may send that brings nothing.
    small: Mutex<TokenBucket>,
    excess: OnceLock<Excess>,
    /// Bytes that the system has taken.
    written: AtomicU64,
    /// Bytes of gradients that have come.
    arrived: AtomicU64,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            process: None,
            accepted: AtomicU32::default(),
            left: Mutex::default(),
            small: Mutex::new(
                TokenBucket::new(SMALL_PER_SECOND, SMALL_AT_ONCE).starting_with(SMALL_AT_FIRST),
            ),
            excess: OnceLock::new(),
            written: AtomicU64::default(),
            arrived: AtomicU64::default(),
        }
    }
}

impl Presence {
    /// Of a connection that `process` has dialled, if that can be told.
    pub(super) fn of(process: Option<NonZeroU32>) -> Self {
        Self { process, ..Self::default() }
    }

    /// The process at the other end, if it is one of this machine and user that can be told.
    pub(crate) fn process(&self) -> Option<NonZeroU32> {
        self.process
    }

    /// Whether nobody on it has been accepted yet.
    pub(super) fn is_pending(&self) -> bool {
        !self.is_accepted() && lock(&self.left).is_none()
    }

    fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::SeqCst) > 0
    }

    /// A member or a spare is on it until the value is dropped.
    pub(crate) fn accept(self: &Arc<Self>) -> Standing {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        Standing(Arc::clone(self))
    }

    /// Until when it may stay as things are.
    fn may_stay_until(&self) -> Option<Instant> {
        if self.is_accepted() {
            Some(Instant::now() + HANDSHAKE_TIMEOUT)
        } else {
            lock(&self.left).map(|left| left + HANDSHAKE_TIMEOUT)
        }
    }

    /// It has been sent something that calls for so many small frames in answer.
    pub(crate) fn earn(&self, frames: u32) {
        // And a message that says that it was read.
        lock(&self.small).earn(frames.saturating_add(2 * MESSAGE_COST));
    }

    /// A control message has arrived.
    ///
    /// # Errors
    /// When it is one too many.
    pub(crate) fn spend_message(&self) -> Result<(), Excess> {
        self.spend(MESSAGE_COST)
    }

    fn spend(&self, frames: u32) -> Result<(), Excess> {
        let may = frames == 0 || lock(&self.small).take(std::time::Instant::now(), frames);
        may.then_some(()).ok_or(Excess::Small)
    }

    /// Why the connection was closed from here, if it was.
    pub(crate) fn excess(&self) -> Option<Excess> {
        self.excess.get().copied()
    }

    /// Bytes of gradients that have come, on whichever way.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// A chunk of a gradient has come.
    pub(crate) fn note_chunk(&self, bytes: usize) {
        self.arrived.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that have gone out.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// A member or a spare is on the connection.
#[derive(Debug)]
pub(crate) struct Standing(Arc<Presence>);

impl Drop for Standing {
    fn drop(&mut self) {
        *lock(&self.0.left) = Some(Instant::now());
        self.0.accepted.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection that ends with an error once it may stay no longer.
#[derive(Debug)]
pub(crate) struct Guarded<C> {
    connection: C,
    presence: Arc<Presence>,
    limits: Arc<Limits>,
    /// Its place among all connections.
    _place: OwnedSemaphorePermit,
    /// Told when the place is needed for another; `None` once that can't be any more.
    expelled: Option<oneshot::Receiver<()>>,
    deadline: Pin<Box<Sleep>>,
    frames: Frames,
    /// Before anybody on it was accepted.
    hello_bytes: u64,
    hello_frames: u32,
    /// Since nobody on it is any more.
    left_bytes: u64,
}

impl<C> Guarded<C> {
    pub(super) fn new(
        connection: C,
        limits: Arc<Limits>,
        place: OwnedSemaphorePermit,
        presence: Arc<Presence>,
        expelled: oneshot::Receiver<()>,
    ) -> Self {
        Self {
            connection,
            presence,
            limits,
            _place: place,
            expelled: Some(expelled),
            deadline: Box::pin(tokio::time::sleep(HANDSHAKE_TIMEOUT)),
            frames: Frames::default(),
            hello_bytes: 0,
            hello_frames: 0,
            left_bytes: 0,
        }
    }

    /// To be asked whenever the connection is, whichever way: it may be stuck in one.
    fn poll_leave(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(expelled) = &mut self.expelled
            && let Poll::Ready(word) = expelled.poll_unpin(context)
        {
            self.expelled = None;
            // No word comes any more when the listener is gone. One that has just been accepted was not meant.
            if word.is_ok() && self.presence.is_pending() {
                return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
            }
        }
        loop {
            ready!(self.deadline.poll_unpin(context));
            match self.presence.may_stay_until().filter(|&until| until > Instant::now()) {
                Some(until) => self.deadline.as_mut().reset(until),
                None => {
                    tracing::debug!("closed a connection on which nobody said hello");
                    return Poll::Ready(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }

    /// Looks at bytes that have arrived.
    fn check(&mut self, bytes: &[u8]) -> Result<(), Excess> {
        let small = self.frames.pass(bytes);
        if self.presence.is_accepted() {
            self.left_bytes = 0;
            return self.presence.spend(small);
        }
        if !self.presence.is_pending() {
            self.left_bytes += bytes.len() as u64;
            let few = self.left_bytes <= LEFT_BYTES_MAX;
            return few.then_some(()).ok_or(Excess::LeftBytes).and_then(|()| self.presence.spend(small));
        }
        self.hello_bytes += bytes.len() as u64;
        self.hello_frames += small;
        match (self.hello_bytes <= HELLO_BYTES_MAX, self.hello_frames <= HELLO_FRAMES_MAX) {
            (true, true) => Ok(()),
            (false, _) => Err(Excess::HelloBytes),
            (true, false) => Err(Excess::HelloFrames),
        }
    }
}

impl<C: Connected> Connected for Guarded<C> {
    type ConnectInfo = Arc<Presence>;

    fn connect_info(&self) -> Self::ConnectInfo {
        Arc::clone(&self.presence)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Guarded<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_leave(context) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.connection).poll_read(context, buffer))?;
        let checked = self.check(&buffer.filled()[before..]);
        Poll::Ready(checked.map_err(|excess| {
            // Only the first reason is one.
            let _ = self.presence.excess.set(excess);
            self.limits.note(|left_out| tracing::warn!(reason = %excess, left_out, "closed a connection"));
            io::Error::new(io::ErrorKind::ConnectionAborted, excess)
        }))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Guarded<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_leave(context) {
            return Poll::Ready(Err(error));
        }
        let written = ready!(Pin::new(&mut self.connection).poll_write(context, bytes))?;
        self.presence.written.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_leave(context) {
            return Poll::Ready(Err(error));
        }
        let written = ready!(Pin::new(&mut self.connection).poll_write_vectored(context, slices))?;
        self.presence.written.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_leave(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
