//! What one worker sends: checks every message and hands it to the driver, on whatever way it came.
//!
//! 1. It may send what [`proto::inbound`] accepts, and control messages at the rate that [`pending`] sets.
//! 2. Large gradients wait for room in the gradient budget.
//! 3. The agreement on shared memory and pipes is settled here.
//!
//! [`pending`]: super::pending

use super::outbox::{Outgoing, Queue};
use super::pending::{ConnectionState, Excess};
use super::pipes::Offered;
use super::shared_memory::{self, SharedChannel, Slots};
use crate::mailbox::Input;
use common::protocol::coordinator::{Disconnect, ProtocolError};
use host::shared_memory::{Address, View};
use host::trace;
use proto::inbound::{Announced, WorkerDecoder};
use proto::message::{CoordinatorMessage, ReceivedMessage, Sharing, WorkerMessage};
use proto::tensor::{CHUNK_VALUES, PLACED_VALUES};
use proto::wire::chunk::Place;
use proto::wire::{FromWorker, from_worker};
use proto::{STILL_ARRIVING, WireError};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Gradients of this size or more wait for the gradient budget before they arrive. Smaller ones need no
/// limit.
const ANNOUNCED_BYTES: usize = 4 * 1024 * 1024;
/// Interval of the signs of life for a stream that waits for the budget: well below any timeout for silence.
const STILL_WAITING: Duration = Duration::from_millis(100);

/// What is shared with a worker of this machine.
pub(super) struct Shared {
    process: NonZeroU32,
    slots: Arc<Slots>,
    channel: Arc<SharedChannel>,
    /// Whether its memory is open here.
    is_open: bool,
    /// Whether ours is open there.
    is_open_there: bool,
    /// Pipes, from the offer until the worker has opened them.
    offered: Option<Offered>,
    /// Whether pipes were offered, or can't be.
    is_settled: bool,
}

impl Shared {
    pub(super) fn with(process: NonZeroU32, slots: Arc<Slots>, channel: Arc<SharedChannel>) -> Self {
        Self {
            process,
            slots,
            channel,
            is_open: false,
            is_open_there: false,
            offered: None,
            is_settled: false,
        }
    }
}

/// The worker's messages, on their way to the driver.
pub(super) struct Incoming {
    pub(super) connection: u64,
    pub(super) decoder: WorkerDecoder,
    pub(super) inbox: mpsc::Sender<Input>,
    /// `None` for a worker of another machine.
    pub(super) shared: Option<Shared>,
    pub(super) state: Arc<ConnectionState>,
    /// Queue of messages to the worker, for the agreement on what is shared.
    pub(super) queue: Arc<Queue>,
    /// When the driver was last told something.
    told: Instant,
    /// Whether a gradient is arriving that had to wait for the budget.
    is_large: bool,
}

impl Incoming {
    pub(super) fn new(
        connection: u64,
        decoder: WorkerDecoder,
        inbox: mpsc::Sender<Input>,
        shared: Option<Shared>,
        state: Arc<ConnectionState>,
        queue: Arc<Queue>,
    ) -> Self {
        Self { connection, decoder, inbox, shared, state, queue, told: Instant::now(), is_large: false }
    }

    /// Whether a large gradient is arriving.
    pub(super) fn is_large(&self) -> bool {
        self.is_large
    }

    /// Takes one message. Returns a pipe if the messages that follow come there.
    ///
    /// # Errors
    /// When nothing more may be read: the last input of the connection.
    pub(super) async fn take(&mut self, wire: FromWorker) -> Result<Option<OwnedFd>, Input> {
        let connection = self.connection;
        let message = self.decode(wire);
        let message = message.map_err(|error| Input::Invalid { connection, what: malformed(&error) })?;
        if let Some(gradient) = self.decoder.announced() {
            self.wait_for_budget(gradient).await;
            return Ok(None);
        }
        // A heartbeat may come in the middle of a gradient.
        self.is_large &= !matches!(message, Some(WorkerMessage::Answer(_)));
        if message.is_some() {
            self.state
                .spend_message()
                .map_err(|excess| Input::Invalid { connection, what: flood(&excess) })?;
        }
        self.offer_pipes();
        if let Some(WorkerMessage::Heartbeat(usage)) = message {
            self.state.note_usage(usage);
        }
        match message {
            Some(WorkerMessage::Sharing(step)) => return Ok(self.share(step)),
            // A worker that was heard a moment ago needs no further sign of life.
            Some(WorkerMessage::Heartbeat(_)) | None if self.told.elapsed() < STILL_ARRIVING => {
                return Ok(None);
            }
            _ => {}
        }
        if self.decoder.released() {
            self.answer(Sharing::Released);
        }
        self.told = Instant::now();
        let input = Input::Message { connection, message };
        let is_over = self.inbox.send(input).await.is_err();
        if is_over { Err(Input::Ended { connection, why: Disconnect::RunOver }) } else { Ok(None) }
    }

    fn decode(&mut self, wire: FromWorker) -> Result<Option<ReceivedMessage>, WireError> {
        if let Some(from_worker::Message::Chunk(chunk)) = &wire.message {
            let is_placed = matches!(chunk.place, Some(Place::At(_)));
            let values = if is_placed { PLACED_VALUES } else { CHUNK_VALUES };
            self.state.note_chunk(values * size_of::<f32>());
        }
        trace::within("decode", || self.decoder.decode(wire))
    }

    /// Stops reading until the budget has room for the next gradient. Meanwhile its sender counts as alive.
    async fn wait_for_budget(&mut self, Announced { round, node, bytes }: Announced) {
        if bytes < ANNOUNCED_BYTES {
            return;
        }
        self.is_large = true;
        let connection = self.connection;
        let (enter, mut entered) = oneshot::channel();
        // The driver is gone only when the run is over: then the call returns at once.
        let _ = self.inbox.send(Input::Announced { connection, round, node, enter }).await;
        while tokio::time::timeout(STILL_WAITING, &mut entered).await.is_err() {
            let _ = self.inbox.send(Input::Message { connection, message: None }).await;
        }
    }

    /// Handles one step of the agreement on what is shared. A worker on another machine or process namespace
    /// has nothing to share. Returns the pipe to read from now on.
    fn share(&mut self, step: Sharing) -> Option<OwnedFd> {
        let shared = self.shared.as_mut()?;
        match step {
            Sharing::Opened => {
                shared.channel.open();
                shared.is_open_there = true;
                self.offer_pipes();
            }
            Sharing::Released => shared.channel.release(),
            Sharing::Offer { descriptor, token } => {
                let own = shared.slots.address();
                match View::open(shared.process, Address { descriptor, token }) {
                    Ok(view) => {
                        shared.is_open = true;
                        self.decoder.reads(Box::new(move |at, bytes| view.read(at, bytes)));
                        self.answer(Sharing::Opened);
                    }
                    Err(error) => tracing::debug!(self.connection, %error, "can't open a worker's memory"),
                }
                if let Some(own) = own {
                    self.answer(shared_memory::offer(own));
                }
            }
            // Only coordinators offer pipes.
            Sharing::Pipes { .. } => {}
            Sharing::Switched => {
                let Offered { own, .. } = shared.offered.take()?;
                shared.channel.set_pipe(own.writes);
                self.answer(Sharing::Switched);
                return Some(own.reads);
            }
        }
        None
    }

    /// Offers pipes once, to a worker that has been admitted and shares memory in both directions.
    fn offer_pipes(&mut self) {
        let is_accepted = self.state.is_accepted();
        let Some(shared) = &mut self.shared else { return };
        if shared.is_settled || !is_accepted || !shared.is_open || !shared.is_open_there {
            return;
        }
        shared.is_settled = true;
        match Offered::create() {
            Ok((offered, offer)) => {
                shared.offered = Some(offered);
                self.answer(offer);
            }
            Err(error) => tracing::debug!(self.connection, %error, "no pipes; messages stay on the stream"),
        }
    }

    fn answer(&self, step: Sharing) {
        // It fails if the stream is over or nobody reads it, which the driver notices.
        let _ = self.queue.push(Outgoing::Message(CoordinatorMessage::Sharing(step)));
    }
}

pub(super) fn flood(excess: &Excess) -> ProtocolError {
    ProtocolError::Flood { what: excess.to_string() }
}

fn malformed(error: &WireError) -> ProtocolError {
    ProtocolError::Malformed { what: error.to_string() }
}
