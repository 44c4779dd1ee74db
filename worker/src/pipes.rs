//! The pipes to a coordinator on the same machine, on which a stream's messages go on without HTTP/2.
//!
//! The coordinator offers them. The gRPC stream stays open, and its end says why the coordinator is gone.
//! `proto/cluster.proto` has the agreement.

use crate::shared_memory::SharedChannel;
use futures_util::stream::{self, Stream, StreamExt};
use host::pipes::{self, Address, Addresses, Ends};
use host::trace::{self, Track};
use proto::frame::{Reader, Writer};
use proto::message::{Pipe, Sharing, WorkerMessage};
use proto::wire::{FromCoordinator, FromWorker};
use proto::{MESSAGES_AT_ONCE, outbound};
use std::io;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::Streaming;

/// Messages of a tensor that are written at once: the coordinator reads their values while others are
/// placed.
const WRITE_MESSAGES: usize = 4;
/// For what is in the pipe to be read after the stream has ended, and for the stream to end after the pipe
/// has.
const STREAM_GRACE: Duration = Duration::from_secs(1);

/// Opens the pipes that the coordinator offers.
///
/// # Errors
/// When they can't be opened or verified.
pub(crate) fn open(coordinator: NonZeroU32, reads: Pipe, writes: Pipe) -> io::Result<Ends> {
    let address = |Pipe { descriptor, inode }| Address { descriptor, inode };
    pipes::open(coordinator, Addresses { reads: address(reads), writes: address(writes) })
}

/// The messages to the coordinator: on the gRPC stream, and on the pipe after [`Sharing::Switched`].
pub(crate) struct Sending {
    queue: mpsc::Receiver<WorkerMessage>,
    shared: Option<Arc<SharedChannel>>,
    /// Where the reader of the stream puts this worker's end of the pipe before the switch.
    pipe: PipeSlot,
    row: Track,
}

/// A place for the end of a pipe that waits to be taken.
pub(crate) type PipeSlot = Arc<Mutex<Option<OwnedFd>>>;

/// The way that messages take.
enum Way {
    Stream(Sending),
    /// The task that writes to the pipe.
    Pipe(JoinSet<io::Result<()>>),
}

impl Sending {
    pub(crate) fn new(
        queue: mpsc::Receiver<WorkerMessage>,
        shared: Option<Arc<SharedChannel>>,
        pipe: PipeSlot,
    ) -> Self {
        Self { queue, shared, pipe, row: Track::new("out") }
    }

    /// The gRPC stream; it begins with `first`.
    pub(crate) fn stream(self, first: Vec<WorkerMessage>) -> impl Stream<Item = FromWorker> + Send {
        let first = first.into_iter().flat_map(|message| outbound::from_worker(message, |_, _| None));
        let first: Vec<FromWorker> = first.collect();
        stream::iter(first).chain(stream::unfold(Way::Stream(self), next).flatten())
    }

    /// The wire messages of a message, encoded as they are asked for.
    fn encode(&self, message: WorkerMessage) -> impl Iterator<Item = FromWorker> + use<> {
        // Dropped when the last one has been taken.
        let sending = self.row.span("send");
        let lease = self.shared.as_ref().and_then(|shared| shared.lease(&message));
        let place = move |at, bytes: &[u8]| lease.as_ref()?.write(at, bytes).ok();
        trace::each("encode", outbound::from_worker(message, place)).inspect(move |_| _ = &sending)
    }

    /// Writes to the pipe whatever is sent from now on.
    async fn write(mut self, end: OwnedFd) -> io::Result<()> {
        let mut writer = Writer::new(pipe::Sender::from_owned_fd(end)?);
        while let Some(message) = self.queue.recv().await {
            // It goes with the next message: that the coordinator may use its memory again is no news until
            // then.
            let can_wait = message == WorkerMessage::Sharing(Sharing::Released);
            for (index, wire) in self.encode(message).enumerate() {
                writer.append(&wire);
                if (index + 1) % WRITE_MESSAGES == 0 {
                    writer.flush(|_| {}).await?;
                }
            }
            if !can_wait && self.queue.is_empty() {
                writer.flush(|_| {}).await?;
            }
        }
        Ok(())
    }
}

async fn next(way: Way) -> Option<(impl Stream<Item = FromWorker>, Way)> {
    let mut sending = match way {
        Way::Stream(sending) => sending,
        Way::Pipe(mut writing) => {
            // If it fails nobody reads the pipe any more, and that shows where it is read.
            let _ = writing.join_next().await;
            return None;
        }
    };
    let message = sending.queue.recv().await?;
    let is_switch = message == WorkerMessage::Sharing(Sharing::Switched);
    let end = is_switch.then(|| sending.pipe.lock().unwrap_or_else(PoisonError::into_inner).take()).flatten();
    let messages = host::paced(sending.encode(message), MESSAGES_AT_ONCE);
    let way = match end {
        None => Way::Stream(sending),
        Some(end) => {
            let mut writing = JoinSet::new();
            writing.spawn(sending.write(end));
            Way::Pipe(writing)
        }
    };
    Some((messages, way))
}

/// The messages from the coordinator: on the gRPC stream, and on the pipe after the switch.
pub(crate) struct Receiving {
    stream: Streaming<FromCoordinator>,
    pipe: Option<Reader<pipe::Receiver>>,
    /// How the stream has ended.
    ended: Option<Result<(), String>>,
}

impl Receiving {
    pub(crate) fn from(stream: Streaming<FromCoordinator>) -> Self {
        Self { stream, pipe: None, ended: None }
    }

    /// From now on messages come on the pipe.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn switch(&mut self, end: OwnedFd) -> Result<(), String> {
        let pipe = pipe::Receiver::from_owned_fd(end).map_err(|error| error.to_string())?;
        self.pipe = Some(Reader::new(pipe));
        Ok(())
    }

    /// The next message; `None` when the coordinator has closed the stream.
    ///
    /// # Errors
    /// How the stream broke.
    pub(crate) async fn next(&mut self) -> Result<Option<FromCoordinator>, String> {
        let of_stream = |status: tonic::Status| status.message().to_owned();
        let Some(pipe) = &mut self.pipe else { return self.stream.message().await.map_err(of_stream) };
        if self.ended.is_none() {
            let message = tokio::select! {
                biased;
                message = pipe.next() => message,
                ended = self.stream.message() => {
                    let ended = ended.map_err(of_stream).and_then(|message| match message {
                        Some(_) => Err("the coordinator sent a message beside the pipe".to_owned()),
                        None => Ok(()),
                    });
                    self.ended = Some(ended);
                    timeout(STREAM_GRACE, pipe.next()).await.unwrap_or(Ok(None))
                }
            };
            match message {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => {}
                Err(error) => return Err(format!("the coordinator's pipe: {error}")),
            }
        } else if let Ok(Ok(Some(message))) = timeout(STREAM_GRACE, pipe.next()).await {
            return Ok(Some(message));
        }
        match self.ended.take() {
            Some(ended) => ended.map(|()| None),
            // A coordinator that ends closes both.
            None => match timeout(STREAM_GRACE, self.stream.message()).await {
                Ok(Err(status)) => Err(of_stream(status)),
                Ok(Ok(_)) | Err(_) => Ok(None),
            },
        }
    }
}
