//! A connection that is held to the limits of its state (`pending`), and ends when its token is revoked.

use super::frames::Frames;
use super::pending::{
    ConnectionState, Excess, HANDSHAKE_TIMEOUT, HELLO_BYTES_MAX, HELLO_FRAMES_MAX, LEFT_BYTES_MAX,
};
use crate::net::token_bucket::PeerLines;
use futures_util::FutureExt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;

/// Resolves when a connection's token is revoked.
pub(super) type Revoked = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection that ends with an error once it exceeds a limit.
pub(crate) struct LimitedConnection<C> {
    connection: C,
    state: Arc<ConnectionState>,
    lines: Arc<PeerLines>,
    /// Permit for one of all connections.
    _place: OwnedSemaphorePermit,
    /// Told when the connection must be closed for another; `None` once that cannot happen any more.
    evicted: Option<oneshot::Receiver<()>>,
    revoked: Option<Revoked>,
    deadline: Pin<Box<Sleep>>,
    frames: Frames,
    /// Bytes while the connection was pending.
    hello_bytes: u64,
    hello_frames: u32,
    /// Bytes since its worker was dropped.
    left_bytes: u64,
}

impl<C> LimitedConnection<C> {
    pub(super) fn new(
        connection: C,
        lines: Arc<PeerLines>,
        place: OwnedSemaphorePermit,
        state: Arc<ConnectionState>,
        evicted: oneshot::Receiver<()>,
    ) -> Self {
        Self {
            connection,
            state,
            lines,
            _place: place,
            evicted: Some(evicted),
            revoked: None,
            deadline: Box::pin(tokio::time::sleep(HANDSHAKE_TIMEOUT)),
            frames: Frames::default(),
            hello_bytes: 0,
            hello_frames: 0,
            left_bytes: 0,
        }
    }

    /// The connection, which also ends when its token is revoked.
    pub(super) fn until(self, revoked: Revoked) -> Self {
        Self { revoked: Some(revoked), ..self }
    }

    /// Closes the connection for a limit.
    fn exceeded(&self, excess: Excess) -> io::Error {
        self.state.exceeds(excess);
        self.lines.note(|left_out| tracing::warn!(reason = %excess, left_out, "closed a connection"));
        io::Error::new(io::ErrorKind::ConnectionAborted, excess)
    }

    /// Fails when the connection must be closed. Polled by reads and by writes, because the connection may be
    /// stuck in either.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(evicted) = &mut self.evicted
            && let Poll::Ready(word) = evicted.poll_unpin(context)
        {
            self.evicted = None;
            // The sender is gone with its listener. A connection that has just been accepted is not meant.
            if word.is_ok() && self.state.is_pending() {
                return Poll::Ready(io::ErrorKind::ConnectionAborted.into());
            }
        }
        if let Some(revoked) = &mut self.revoked
            && revoked.as_mut().poll(context).is_ready()
        {
            self.revoked = None;
            return Poll::Ready(self.exceeded(Excess::Revoked));
        }
        loop {
            ready!(self.deadline.poll_unpin(context));
            match self.state.deadline().filter(|&until| until > Instant::now()) {
                Some(until) => self.deadline.as_mut().reset(until),
                None => {
                    tracing::debug!("closed a connection without a hello at its deadline");
                    return Poll::Ready(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }

    /// Checks bytes that have arrived against the limits of the connection's state.
    fn check(&mut self, bytes: &[u8]) -> Result<(), Excess> {
        let small = self.frames.pass(bytes);
        if self.state.is_accepted() {
            self.left_bytes = 0;
            return self.state.spend(small);
        }
        if !self.state.is_pending() {
            self.left_bytes += bytes.len() as u64;
            let few = self.left_bytes <= LEFT_BYTES_MAX;
            return few.then_some(()).ok_or(Excess::LeftBytes).and_then(|()| self.state.spend(small));
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

impl<C: Send + Sync + 'static> Connected for LimitedConnection<C> {
    type ConnectInfo = Arc<ConnectionState>;

    fn connect_info(&self) -> Self::ConnectInfo {
        Arc::clone(&self.state)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for LimitedConnection<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_closed(context) {
            return Poll::Ready(Err(error));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.connection).poll_read(context, buffer))?;
        let checked = self.check(&buffer.filled()[before..]);
        Poll::Ready(checked.map_err(|excess| self.exceeded(excess)))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for LimitedConnection<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_closed(context) {
            return Poll::Ready(Err(error));
        }
        let written = ready!(Pin::new(&mut self.connection).poll_write(context, bytes))?;
        self.state.note_written(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_closed(context) {
            return Poll::Ready(Err(error));
        }
        let written = ready!(Pin::new(&mut self.connection).poll_write_vectored(context, slices))?;
        self.state.note_written(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_closed(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}
