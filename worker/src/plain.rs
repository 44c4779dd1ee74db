//! A connection without TLS, which notices when the other side speaks TLS.
//!
//! A coordinator that needs tokens answers a plain worker with an alert of TLS, which HTTP/2 would only take
//! for a frame that is too large.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What every alert of TLS begins with (RFC 8446, section 5.1): its kind, and the first half of its version.
const ALERT: [u8; 2] = [21, 3];

/// The other side speaks TLS.
#[derive(Debug, thiserror::Error)]
#[error(
    "this coordinator takes workers with a token only; give this one --token-file or --token (coordinator token list names \
     the tokens)"
)]
pub(crate) struct WantsToken;

/// A TCP connection without TLS.
pub(crate) struct PlainStream {
    stream: TcpStream,
    /// Whether something has arrived.
    is_answered: bool,
}

impl PlainStream {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, is_answered: false }
    }
}

impl AsyncRead for PlainStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        // HTTP/2 begins with the length of a first frame, of which only a far too large one looks like this.
        if !self.is_answered && buffer.filled()[before..].starts_with(&ALERT) {
            return Poll::Ready(Err(io::Error::other(WantsToken)));
        }
        self.is_answered = true;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
