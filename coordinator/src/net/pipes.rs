//! Pipes to workers of this machine, on which a stream's messages go on without HTTP/2.
//!
//! 1. Pipes are offered to a worker that has been admitted, once each side has opened the other's shared
//!    memory. So what travels on them is small, but for samples.
//! 2. Their tasks run on the driver's own thread, while it waits: a message wakes that thread alone. Large
//!    gradients are the exception. They are read on the server's threads, several at the same time.
//! 3. The gRPC stream stays open. When it ends so do the pipes.
//!
//! `proto/cluster.proto` has the agreement; what may be sent does not depend on the way.

use super::incoming::Incoming;
use super::sending::Sending;
use crate::mailbox::Input;
use common::protocol::coordinator::{Disconnect, ProtocolError};
use host::cores;
use host::pipes::{self, Ends};
use proto::frame::{ReadError, Reader, Writer};
use proto::message::{Pipe, Sharing};
use proto::wire::FromWorker;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use tokio::net::unix::pipe;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes of messages that are written at once, at most, if there are more of them.
const WRITE_BYTES: usize = 64 * 1024;
/// Messages of a tensor that are written at once: the worker reads their values while others are placed.
const WRITE_MESSAGES: usize = 4;

/// The driver's runtime, for the tasks of all pipes.
#[derive(Clone, Debug)]
pub(crate) struct PipeTasks {
    runtime: Handle,
    open: watch::Sender<()>,
}

impl PipeTasks {
    /// For tasks on that runtime.
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { runtime, open: watch::channel(()).0 }
    }

    /// Starts a task, which ends when the returned set is dropped.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinSet<T> {
        let open = self.open.subscribe();
        let mut tasks = JoinSet::new();
        tasks.spawn_on(
            async move {
                let _open = open;
                task.await
            },
            &self.runtime,
        );
        tasks
    }

    /// Waits until all tasks have ended.
    pub(crate) async fn ended(&self) {
        self.open.closed().await;
    }
}

/// Pipes that were offered to a worker.
#[derive(Debug)]
pub(super) struct Offered {
    pub(super) own: Ends,
    /// The worker's ends, until it has opened them.
    _others: Ends,
}

impl Offered {
    /// New pipes, and the message that offers them.
    ///
    /// # Errors
    /// When the system has none.
    pub(super) fn create() -> io::Result<(Self, Sharing)> {
        let (own, others) = pipes::create()?;
        let pipes::Addresses { reads, writes } = others.addresses()?;
        let pipe = |address: pipes::Address| {
            let pipes::Address { descriptor, inode } = address;
            Pipe { descriptor, inode }
        };
        Ok((Self { own, _others: others }, Sharing::Pipes { reads: pipe(reads), writes: pipe(writes) }))
    }
}

/// Hands every message to the driver until the pipe ends. Returns the last input.
pub(super) async fn read(end: OwnedFd, mut incoming: Incoming, server: Handle) -> Input {
    let connection = incoming.connection;
    let broken = |what: String| Input::Ended { connection, why: Disconnect::Broken { what } };
    let mut messages = match pipe::Receiver::from_owned_fd(end) {
        Ok(pipe) => Reader::new(pipe),
        Err(error) => return broken(error.to_string()),
    };
    loop {
        let wire: FromWorker = match messages.next().await {
            Ok(Some(wire)) => wire,
            Ok(None) => return Input::Ended { connection, why: Disconnect::Closed },
            Err(ReadError::Io(error)) => return broken(error.to_string()),
            Err(ReadError::Wire(error)) => {
                let what = ProtocolError::Malformed { what: error.to_string() };
                return Input::Invalid { connection, what };
            }
        };
        let taken = if incoming.is_large() {
            let on_server = server.spawn(async move {
                let taken = incoming.take(wire).await;
                (incoming, taken)
            });
            match on_server.await {
                Ok((back, taken)) => {
                    incoming = back;
                    taken
                }
                Err(error) => return broken(error.to_string()),
            }
        } else {
            incoming.take(wire).await
        };
        match taken {
            // Pipes are offered once, so there is no second one to go on in.
            Ok(_) => {}
            Err(last) => return last,
        }
    }
}

/// Writes what waits for the worker until the driver has dropped the outbox, or nobody reads any more.
pub(super) async fn write(end: OwnedFd, mut sending: Sending) -> io::Result<()> {
    let mut writer = Writer::new(pipe::Sender::from_owned_fd(end)?);
    let state = sending.state();
    let core = state.process().and_then(cores::only_core_of);
    let written = |bytes| state.note_written(bytes);
    while let Some(outgoing) = sending.next().await {
        // It goes with the next message: that the worker may use its memory again is no news until then.
        let can_wait = outgoing.is(Sharing::Released);
        let mut messages = 0;
        for wire in sending.encode(outgoing) {
            let bytes = writer.append(&wire);
            messages += 1;
            if bytes >= WRITE_BYTES || messages % WRITE_MESSAGES == 0 {
                writer.flush(written).await?;
            }
        }
        if !can_wait && !sending.has_more() {
            // What is written to a worker that is kept to this thread's core makes it run in place of this
            // thread, for milliseconds: it computes. So it gets what it gets after all others.
            if core.is_some() && core == cores::current() {
                tokio::task::yield_now().await;
            }
            writer.flush(written).await?;
        }
    }
    writer.flush(written).await
}
