//! Whether a connection may stay: one on which nobody has introduced himself is a stranger, and strangers go.
//!
//! A stranger has [`STAY`] from being accepted, or from the end of its last stream that had said hello; at most
//! [`STRANGERS_MAX`] may be here at once, and where one more comes the oldest goes. HTTP/2 asks for nothing of the kind: a
//! connection that never opens a stream, or answers pings for ever, costs a file and memory. What a hello is,
//! [`server`](crate::server) decides.

use futures_util::{FutureExt, Stream, StreamExt};
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;

/// A worker says hello within milliseconds.
pub(crate) const STAY: Duration = Duration::from_secs(10);
/// Each is an open file, of which a process may have 1,024 as a rule, the workers' and the checkpoints' among them.
const STRANGERS_MAX: usize = 256;
/// After the system could accept nothing, which it would say again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The strangers at a door, oldest first.
type Queue = VecDeque<(Weak<Presence>, oneshot::Sender<()>)>;

/// Wraps what a listener accepts.
pub(crate) fn watched<L, C>(incoming: L) -> impl Stream<Item = io::Result<Guest<C>>>
where
    L: Stream<Item = io::Result<C>>,
    C: Accepted,
{
    let mut strangers = Queue::new();
    incoming.then(move |accepted| {
        let guest = accepted.map(|connection| admit(&mut strangers, connection));
        async move {
            if let Err(error) = &guest {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            guest
        }
    })
}

fn admit<C: Accepted>(strangers: &mut Queue, connection: C) -> Guest<C> {
    strangers.retain(|(presence, _)| presence.upgrade().is_some_and(|presence| presence.is_stranger()));
    if strangers.len() >= STRANGERS_MAX {
        // Its other end sees the sender gone.
        drop(strangers.pop_front());
        tracing::debug!(most = STRANGERS_MAX, "too many connections that say nothing; closing the oldest");
    }
    let presence = Arc::new(Presence { process: connection.process(), ..Presence::default() });
    let (sender, expelled) = oneshot::channel();
    strangers.push_back((Arc::downgrade(&presence), sender));
    Guest { connection, presence, expelled: Some(expelled), deadline: Box::pin(tokio::time::sleep(STAY)) }
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
        shell::local_socket::process_of_peer(self).ok().flatten()
    }
}

/// What is known of a connection: who dialled it, and how many streams on it have said hello.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    process: Option<NonZeroU32>,
    introduced: AtomicU32,
    /// When the last of them ended.
    left: Mutex<Option<Instant>>,
}

impl Presence {
    /// The process at the other end, if it is one of this machine and user that can be told.
    pub(crate) fn process(&self) -> Option<NonZeroU32> {
        self.process
    }

    fn is_stranger(&self) -> bool {
        self.introduced.load(Ordering::SeqCst) == 0
    }

    /// A stream has said hello; until the value is dropped, the connection may stay.
    pub(crate) fn introduce(self: &Arc<Self>) -> Introduced {
        self.introduced.fetch_add(1, Ordering::SeqCst);
        Introduced(Arc::clone(self))
    }

    /// Until when it may stay as things are.
    fn may_stay_until(&self) -> Option<Instant> {
        if !self.is_stranger() {
            return Some(Instant::now() + STAY);
        }
        self.left.lock().unwrap_or_else(PoisonError::into_inner).map(|left| left + STAY)
    }
}

/// A stream that has said hello.
#[derive(Debug)]
pub(crate) struct Introduced(Arc<Presence>);

impl Drop for Introduced {
    fn drop(&mut self) {
        *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.introduced.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A connection that ends with an error once it may stay no longer.
#[derive(Debug)]
pub(crate) struct Guest<C> {
    connection: C,
    presence: Arc<Presence>,
    /// Resolves when the place is needed; `None` once it can't be any more.
    expelled: Option<oneshot::Receiver<()>>,
    deadline: Pin<Box<Sleep>>,
}

impl<C> Guest<C> {
    /// To be asked whenever the connection is, whichever way: it may be stuck in one.
    fn poll_leave(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(expelled) = &mut self.expelled
            && expelled.poll_unpin(context).is_ready()
        {
            self.expelled = None;
            // One that has just said hello is none of those who were meant.
            if self.presence.is_stranger() {
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
}

impl<C: Connected> Connected for Guest<C> {
    type ConnectInfo = Arc<Presence>;

    fn connect_info(&self) -> Self::ConnectInfo {
        Arc::clone(&self.presence)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Guest<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_leave(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Guest<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_leave(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(error) = self.poll_leave(context) {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.connection).poll_write_vectored(context, slices)
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
