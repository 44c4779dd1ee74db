//! The gRPC service: one task for each connection, which checks what arrives and hands it to the driver.
//!
//! 1. A connection has [`HELLO_TIMEOUT`] to send its hello.
//! 2. It may send what [`proto::inbound`] accepts, and control messages at the rate that [`pending`] sets.
//! 3. Its task ends with the peer's stream, or when the driver drops its [`Outbox`].

use crate::mailbox::Input;
use crate::net::accept::{self, Limits};
use crate::net::listener::Listeners;
use crate::net::outbox::{self, Outbox, Outgoing, Queue};
use crate::net::pending::{self, ConnectionState, Excess};
use crate::net::same_user;
use crate::net::shared_memory::{self, SharedChannel, Slots};
use common::protocol::coordinator::{Disconnect, ProtocolError};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use host::shared_memory::{Address, View};
use host::trace::{self, Track};
use proto::inbound::{Announced, WorkerDecoder};
use proto::message::{CoordinatorMessage, Hello, ReceivedMessage, Sharing, WorkerMessage};
use proto::setup::Setups;
use proto::tensor::{CHUNK_VALUES, PLACED_VALUES};
use proto::values::Buffers;
use proto::wire::chunk::Place;
use proto::wire::cluster_server::{Cluster, ClusterServer};
use proto::wire::{FromCoordinator, FromWorker, from_worker};
use proto::{FRAME_BYTES, MESSAGE_BYTES_MAX, MESSAGES_AT_ONCE, STILL_ARRIVING, WINDOW_BYTES, WireError};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

/// Longest time from opening a stream to the hello on it.
const HELLO_TIMEOUT: Duration = pending::HANDSHAKE_TIMEOUT;
/// Time for a worker to read its last message and go, after the driver has closed its stream.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Gradients of this size or more wait for the gradient budget before they arrive. Smaller ones need no
/// limit.
const ANNOUNCED_BYTES: usize = 4 * 1024 * 1024;
/// Interval of the signs of life for a stream that waits for the budget: well below any timeout for silence.
const STILL_WAITING: Duration = Duration::from_millis(100);
/// Most streams of a connection. A worker needs one, and dials again for another.
const STREAMS_MAX: u32 = 1;
/// Small HTTP/2 frames that any message may cause, besides those for the chunks of a tensor.
const FRAMES_IN_ANSWER: usize = 16;
/// Silence on a connection after which HTTP/2 pings the other side.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Serves until `until` is closed, then waits for open connections to end. Where there is a local socket,
/// only workers that connect to it may have a name in `reserved`.
///
/// # Errors
/// When a listener fails.
pub(crate) async fn serve(
    listeners: Listeners,
    reserved: BTreeSet<String>,
    setups: Setups,
    inbox: mpsc::Sender<Input>,
    limits: Limits,
    until: watch::Receiver<()>,
) -> Result<(), tonic::transport::Error> {
    let limits = Arc::new(limits);
    let service = Service {
        limits: Arc::clone(&limits),
        setups,
        reserved: Arc::new(if listeners.unix.is_some() { reserved } else { BTreeSet::new() }),
        buffers: Buffers::default(),
        slots: Arc::new(Slots::new()),
        inbox,
        connections: Arc::new(AtomicU64::new(0)),
    };
    let local_service = Service { reserved: Arc::default(), ..service.clone() };
    let closed = |mut until: watch::Receiver<()>| async move { while until.changed().await.is_ok() {} };
    let until_too = until.clone();
    let tcp = async {
        match listeners.tcp {
            None => Ok(()),
            Some(listener) => {
                let accepted = TcpListenerStream::new(listener).inspect_ok(host::tcp::prepare);
                let incoming = accept::accepted(accepted, Arc::clone(&limits));
                router(service).serve_with_incoming_shutdown(incoming, closed(until_too)).await
            }
        }
    };
    let local = async {
        match listeners.unix {
            None => Ok(()),
            Some(listener) => {
                let accepted = same_user::of_this_user(UnixListenerStream::new(listener));
                let incoming = accept::accepted(accepted, Arc::clone(&limits));
                router(local_service).serve_with_incoming_shutdown(incoming, closed(until)).await
            }
        }
    };
    tokio::try_join!(tcp, local).map(|_| ())
}

fn router(service: Service) -> Router {
    let service = ClusterServer::new(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(Some(FRAME_BYTES))
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(pending::HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(service)
}

#[derive(Clone)]
struct Service {
    limits: Arc<Limits>,
    setups: Setups,
    /// Names that this listener's workers may not have.
    reserved: Arc<BTreeSet<String>>,
    /// Buffers for the gradients of all connections.
    buffers: Buffers,
    slots: Arc<Slots>,
    inbox: mpsc::Sender<Input>,
    connections: Arc<AtomicU64>,
}

#[tonic::async_trait]
impl Cluster for Service {
    type JoinStream = BoxStream<'static, Result<FromCoordinator, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<FromWorker>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let state = request.extensions().get::<Arc<ConnectionState>>().map(Arc::clone).unwrap_or_default();
        let queue = Arc::new(Queue::default());
        let (open, closed) = oneshot::channel();
        let channel = Arc::new(SharedChannel::new(Arc::clone(&self.slots)));
        let reader = Reader {
            connection,
            reserved: Arc::clone(&self.reserved),
            decoder: WorkerDecoder::new(self.setups.clone(), self.buffers.clone()),
            wire: request.into_inner(),
            inbox: self.inbox.clone(),
            sharing: state.process().map(|process| (process, Arc::clone(&self.slots), Arc::clone(&channel))),
            limits: Arc::clone(&self.limits),
            state: Arc::clone(&state),
            queue: Arc::clone(&queue),
        };
        let outbox = Outbox::new(Arc::clone(&queue), Arc::clone(&state), open);
        // It ends with the peer's stream, or with the outbox, which the driver owns once the hello has
        // arrived.
        tokio::spawn(reader.run(outbox, closed));
        let setups = self.setups.clone();
        let row = Track::new(&format!("connection {connection}, out"));
        let wire = outbox::stream(queue).flat_map(move |item| {
            let chunks = setups.elements_max().div_ceil(CHUNK_VALUES);
            state.earn((chunks + FRAMES_IN_ANSWER) as u32);
            // Dropped when HTTP/2 has taken the whole message.
            let sending = row.span("send");
            let wire = trace::each("encode", channel.encode(item));
            host::paced(wire, MESSAGES_AT_ONCE).map(move |wire| {
                let _in_progress = &sending;
                Ok(wire)
            })
        });
        Ok(Response::new(wire.boxed()))
    }
}

/// A name that only a worker on the local socket may have.
#[derive(Debug, thiserror::Error)]
#[error(
    "the name {0} is kept for a worker that this coordinator starts itself; give this one another with --name"
)]
struct Reserved(String);

struct Reader {
    connection: u64,
    reserved: Arc<BTreeSet<String>>,
    decoder: WorkerDecoder,
    wire: Streaming<FromWorker>,
    inbox: mpsc::Sender<Input>,
    /// The worker's process and the shared memory, for a worker of this machine.
    sharing: Option<(NonZeroU32, Arc<Slots>, Arc<SharedChannel>)>,
    limits: Arc<Limits>,
    state: Arc<ConnectionState>,
    /// Queue of messages to the worker, for the agreement on shared memory.
    queue: Arc<Queue>,
}

impl Reader {
    async fn run(mut self, outbox: Outbox, closed: oneshot::Receiver<Infallible>) {
        let connection = self.connection;
        match tokio::time::timeout(HELLO_TIMEOUT, self.hello()).await {
            Ok(Ok(hello)) => {
                if self.inbox.send(Input::Hello { connection, hello, outbox }).await.is_err() {
                    return;
                }
            }
            Ok(Err(Some(reason))) => {
                self.limits.note(|left_out| {
                    tracing::warn!(connection, reason, left_out, "refused a connection");
                });
                // The connection is over, whether or not the worker reads this.
                let _ = outbox.send(Outgoing::Message(CoordinatorMessage::Refused { reason, retry: false }));
                return;
            }
            Ok(Err(None)) => return,
            Err(_) => {
                self.limits.note(|left_out| {
                    tracing::warn!(connection, left_out, "closed a connection that sent no hello");
                });
                return;
            }
        }
        let end = tokio::select! {
            end = self.forward() => end,
            _ = closed => return self.drain().await,
        };
        // The receiver is gone only when the run is over: then a last message is on its way.
        if self.inbox.send(end).await.is_err() {
            self.drain().await;
        }
    }

    /// Reads and ignores everything until the worker closes its side. If bytes were unread when this side
    /// closed, the connection would be reset, and the worker's system might discard the last message.
    async fn drain(self) {
        let mut wire = self.wire;
        let rest = async { while let Ok(Some(_)) = wire.message().await {} };
        // A worker that goes on sending is cut off.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, rest).await;
    }

    /// Reads the first message.
    ///
    /// # Errors
    /// When it is no hello: the reason, or nothing when the stream has ended.
    async fn hello(&mut self) -> Result<Hello, Option<String>> {
        let Ok(Some(wire)) = self.wire.message().await else { return Err(None) };
        match self.decoder.decode(wire) {
            Ok(Some(WorkerMessage::Hello(hello))) if self.reserved.contains(&hello.name) => {
                Err(Some(Reserved(hello.name).to_string()))
            }
            Ok(Some(WorkerMessage::Hello(hello))) => Ok(hello),
            Ok(_) => Err(Some("the first message must be a hello".to_owned())),
            Err(error) => Err(Some(error.to_string())),
        }
    }

    /// Hands every message to the driver until the stream ends. Returns the last input.
    async fn forward(&mut self) -> Input {
        let connection = self.connection;
        let mut told = Instant::now();
        loop {
            let input = match self.wire.message().await {
                Ok(Some(wire)) => match self.decode(wire) {
                    Ok(None) if let Some(gradient) = self.decoder.announced() => {
                        self.wait_for_budget(gradient).await;
                        continue;
                    }
                    Ok(Some(_)) if let Err(excess) = self.state.spend_message() => {
                        return Input::Invalid { connection, what: flood(&excess) };
                    }
                    Ok(Some(WorkerMessage::Sharing(step))) => {
                        self.share(step);
                        continue;
                    }
                    // A worker that was heard a moment ago needs no further sign of life.
                    Ok(Some(WorkerMessage::Heartbeat)) if told.elapsed() < STILL_ARRIVING => continue,
                    Ok(None) if told.elapsed() < STILL_ARRIVING => continue,
                    Ok(message) => Input::Message { connection, message },
                    Err(error) => return Input::Invalid { connection, what: malformed(&error) },
                },
                Ok(None) => return Input::Ended { connection, why: Disconnect::Closed },
                Err(status) => {
                    return match self.state.excess() {
                        Some(excess) => Input::Invalid { connection, what: flood(&excess) },
                        None => Input::Ended { connection, why: broken(&status) },
                    };
                }
            };
            if self.decoder.released() {
                self.answer(Sharing::Released);
            }
            told = Instant::now();
            if self.inbox.send(input).await.is_err() {
                return Input::Ended { connection, why: Disconnect::RunOver };
            }
        }
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
    async fn wait_for_budget(&self, Announced { round, node, bytes }: Announced) {
        if bytes < ANNOUNCED_BYTES {
            return;
        }
        let connection = self.connection;
        let (enter, mut entered) = oneshot::channel();
        // The driver is gone only when the run is over: then the call returns at once.
        let _ = self.inbox.send(Input::Announced { connection, round, node, enter }).await;
        while tokio::time::timeout(STILL_WAITING, &mut entered).await.is_err() {
            let _ = self.inbox.send(Input::Message { connection, message: None }).await;
        }
    }

    /// Handles one step of the agreement on shared memory. A worker on another machine or process namespace
    /// has none.
    fn share(&mut self, step: Sharing) {
        let Some((process, slots, channel)) = &self.sharing else { return };
        match step {
            Sharing::Opened => channel.open(),
            Sharing::Released => channel.release(),
            Sharing::Offer { descriptor, token } => {
                let own = slots.address();
                match View::open(*process, Address { descriptor, token }) {
                    Ok(view) => {
                        self.decoder.reads(Box::new(move |at, bytes| view.read(at, bytes)));
                        self.answer(Sharing::Opened);
                    }
                    Err(error) => tracing::debug!(self.connection, %error, "can't open a worker's memory"),
                }
                if let Some(own) = own {
                    self.answer(shared_memory::offer(own));
                }
            }
        }
    }

    fn answer(&self, step: Sharing) {
        // It fails if the stream is over or nobody reads it, which the driver notices.
        let _ = self.queue.push(Outgoing::Message(CoordinatorMessage::Sharing(step)));
    }
}

fn flood(excess: &Excess) -> ProtocolError {
    ProtocolError::Flood { what: excess.to_string() }
}

fn malformed(error: &WireError) -> ProtocolError {
    ProtocolError::Malformed { what: error.to_string() }
}

fn broken(status: &Status) -> Disconnect {
    Disconnect::Broken { what: status.message().to_owned() }
}
