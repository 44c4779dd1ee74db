//! What is sent to one worker: on its gRPC stream, and on a pipe once both sides have switched to pipes.

use super::outbox::{Outgoing, Taker};
use super::pending::ConnectionState;
use super::pipes::{self, PipeTasks};
use super::shared_memory::SharedChannel;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use host::trace::{self, Track};
use proto::MESSAGES_AT_ONCE;
use proto::message::Sharing;
use proto::setup::Setups;
use proto::tensor::CHUNK_VALUES;
use proto::wire::FromCoordinator;
use std::io;
use std::sync::Arc;
use tokio::task::JoinSet;
use tonic::Status;

/// Small HTTP/2 frames that any message may cause, besides those for the chunks of a tensor.
const FRAMES_IN_ANSWER: usize = 16;

/// The messages to a worker, as they are taken from its queue and encoded.
pub(super) struct Sending {
    queue: Taker,
    channel: Arc<SharedChannel>,
    state: Arc<ConnectionState>,
    setups: Setups,
    row: Track,
}

/// The way that messages take.
enum Way {
    Stream(Sending),
    /// The task that writes to the pipe.
    Pipe(JoinSet<io::Result<()>>),
}

impl Sending {
    pub(super) fn new(
        connection: u64,
        queue: Taker,
        channel: Arc<SharedChannel>,
        state: Arc<ConnectionState>,
        setups: Setups,
    ) -> Self {
        let row = Track::new(&format!("connection {connection}, out"));
        Self { queue, channel, state, setups, row }
    }

    pub(super) fn state(&self) -> Arc<ConnectionState> {
        Arc::clone(&self.state)
    }

    /// Waits for the next message; `None` when no more can come.
    pub(super) async fn next(&mut self) -> Option<Outgoing> {
        self.queue.next().await
    }

    /// Whether another message waits.
    pub(super) fn has_more(&self) -> bool {
        self.queue.has_more()
    }

    /// The wire messages of a message, encoded as they are asked for.
    pub(super) fn encode(&self, outgoing: Outgoing) -> impl Iterator<Item = FromCoordinator> + use<> {
        let chunks = self.setups.elements_max().div_ceil(CHUNK_VALUES);
        self.state.earn((chunks + FRAMES_IN_ANSWER) as u32);
        // Dropped when the last one has been taken.
        let sending = self.row.span("send");
        trace::each("encode", self.channel.encode(outgoing)).inspect(move |_| _ = &sending)
    }

    /// The gRPC stream, which ends when the driver has dropped the outbox. `tasks` is for the pipe.
    pub(super) fn stream(self, tasks: PipeTasks) -> BoxStream<'static, Result<FromCoordinator, Status>> {
        let messages = stream::unfold(Way::Stream(self), move |way| next(way, tasks.clone()));
        messages.flatten().map(Ok).boxed()
    }
}

async fn next(way: Way, tasks: PipeTasks) -> Option<(impl Stream<Item = FromCoordinator>, Way)> {
    let mut sending = match way {
        Way::Stream(sending) => sending,
        Way::Pipe(mut writing) => {
            // How it ended shows in the queue.
            let _ = writing.join_next().await;
            return None;
        }
    };
    let outgoing = sending.next().await?;
    let pipe = outgoing.is(Sharing::Switched).then(|| sending.channel.take_pipe()).flatten();
    let messages = host::paced(sending.encode(outgoing), MESSAGES_AT_ONCE);
    let way = match pipe {
        Some(end) => Way::Pipe(tasks.spawn(pipes::write(end, sending))),
        None => Way::Stream(sending),
    };
    Some((messages, way))
}
