//! The gRPC side: one task a connection, which checks what arrives and hands it to the driver.
//!
//! Decides nothing but this: a connection has [`HELLO_TIMEOUT`] to introduce itself, and what it may send is what
//! [`proto::inbound`] accepts. A task ends when its peer's stream does, or when the driver drops its [`Outbox`].

use crate::doors::Listeners;
use crate::driver::Input;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use proto::inbound::WorkerDecoder;
use proto::message::{CoordinatorMessage, EncodedParameters, Hello, WorkerMessage};
use proto::values::Buffers;
use proto::wire::cluster_server::{Cluster, ClusterServer};
use proto::wire::{FromCoordinator, FromWorker};
use proto::{FRAME_BYTES, MESSAGE_BYTES_MAX, WINDOW_BYTES, outbound};
use shell::trace::{self, Track};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

/// From opening a stream to having said hello on it.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages that wait for one worker; one that lets more pile up is not reading.
const OUTBOX_MESSAGES: usize = 256;
/// A worker needs one stream; a few more do no harm.
const STREAMS_MAX: u32 = 4;
/// Silence on a connection after which HTTP/2 asks whether the other side is there.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Something to send.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// For this worker.
    Message(CoordinatorMessage),
    /// For all: encoded once.
    Parameters(Arc<EncodedParameters>),
}

/// The driver's end of a connection. Dropping it ends the stream after what was queued.
#[derive(Debug)]
pub(crate) struct Outbox {
    messages: mpsc::Sender<Outgoing>,
    /// Dropped with the outbox: the task that reads sees it.
    _open: oneshot::Sender<Infallible>,
}

impl Outbox {
    /// Queues a message.
    ///
    /// # Errors
    /// Why the worker is to be given up.
    pub(crate) fn send(&self, message: Outgoing) -> Result<(), String> {
        self.messages.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => "it does not read what it is sent".to_owned(),
            mpsc::error::TrySendError::Closed(_) => "its stream is closed".to_owned(),
        })
    }
}

/// Serves until `until` is closed, then waits for open connections to end.
///
/// # Errors
/// When a listener fails.
pub(crate) async fn serve(
    listeners: Listeners,
    elements: usize,
    inbox: mpsc::Sender<Input>,
    until: watch::Receiver<()>,
) -> Result<(), tonic::transport::Error> {
    let service =
        Arc::new(Service { elements, buffers: Buffers::default(), inbox, connections: AtomicU64::new(0) });
    let service = ClusterServer::from_arc(service).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let closed = |mut until: watch::Receiver<()>| async move { while until.changed().await.is_ok() {} };
    let tcp = TcpIncoming::from(listeners.tcp).with_nodelay(Some(true));
    let tcp = router(service.clone()).serve_with_incoming_shutdown(tcp, closed(until.clone()));
    let local = async {
        match listeners.short {
            None => Ok(()),
            Some(listener) => {
                let incoming = UnixListenerStream::new(listener);
                router(service).serve_with_incoming_shutdown(incoming, closed(until)).await
            }
        }
    };
    tokio::try_join!(tcp, local).map(|_| ())
}

fn router(service: ClusterServer<Service>) -> Router {
    Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .max_frame_size(Some(FRAME_BYTES))
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(service)
}

struct Service {
    /// Parameters of the model: the size of a gradient.
    elements: usize,
    /// Of all connections' gradients.
    buffers: Buffers,
    inbox: mpsc::Sender<Input>,
    connections: AtomicU64,
}

#[tonic::async_trait]
impl Cluster for Service {
    type JoinStream = BoxStream<'static, Result<FromCoordinator, Status>>;

    async fn join(
        &self,
        request: Request<Streaming<FromWorker>>,
    ) -> Result<Response<Self::JoinStream>, Status> {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed);
        let (messages, outgoing) = mpsc::channel(OUTBOX_MESSAGES);
        let (open, closed) = oneshot::channel();
        let outbox = Outbox { messages, _open: open };
        let decoder = WorkerDecoder::new(self.elements, self.buffers.clone());
        let reader = Reader { connection, decoder, wire: request.into_inner(), inbox: self.inbox.clone() };
        // Ends with the peer's stream or with the outbox, which the driver owns from the hello on.
        tokio::spawn(reader.run(outbox, closed));
        let row = Track::new(&format!("connection {connection}, out"));
        let wire = ReceiverStream::new(outgoing).flat_map(move |outgoing| {
            // Dropped when HTTP/2 has taken all of it.
            let sending = row.span("send");
            stream::iter(encode(outgoing)).map(move |wire| {
                let _in_progress = &sending;
                Ok(wire)
            })
        });
        Ok(Response::new(wire.boxed()))
    }
}

fn encode(outgoing: Outgoing) -> Vec<FromCoordinator> {
    let _span = trace::span("encode");
    match outgoing {
        Outgoing::Message(message) => outbound::from_coordinator(message),
        Outgoing::Parameters(parameters) => outbound::parameters(&parameters),
    }
}

struct Reader {
    connection: u64,
    decoder: WorkerDecoder,
    wire: Streaming<FromWorker>,
    inbox: mpsc::Sender<Input>,
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
                tracing::warn!(connection, reason, "refused a connection");
                // Whether or not it reads this, it is over.
                let _ = outbox.send(Outgoing::Message(CoordinatorMessage::Refused { reason, retry: false }));
                return;
            }
            Ok(Err(None)) => return,
            Err(_) => {
                tracing::warn!(connection, "closed a connection that said nothing");
                return;
            }
        }
        let end = tokio::select! {
            end = self.forward() => end,
            _ = closed => return,
        };
        // The receiver is gone only when the run is over.
        let _ = self.inbox.send(end).await;
    }

    /// The first message.
    ///
    /// # Errors
    /// Why it is no hello, or nothing when there is nobody to tell.
    async fn hello(&mut self) -> Result<Hello, Option<String>> {
        let Ok(Some(wire)) = self.wire.message().await else { return Err(None) };
        match self.decoder.decode(wire) {
            Ok(Some(WorkerMessage::Hello(hello))) => Ok(hello),
            Ok(_) => Err(Some("the first message must be a hello".to_owned())),
            Err(error) => Err(Some(error.to_string())),
        }
    }

    /// Hands everything to the driver until the stream ends; returns the last thing to hand.
    async fn forward(&mut self) -> Input {
        let connection = self.connection;
        loop {
            let input = match self.wire.message().await {
                Ok(Some(wire)) => match trace::within("decode", || self.decoder.decode(wire)) {
                    Ok(message) => Input::Message { connection, message },
                    Err(error) => return Input::Invalid { connection, what: error.to_string() },
                },
                Ok(None) => return Input::Ended { connection, why: "it closed its stream".to_owned() },
                Err(status) => return Input::Ended { connection, why: status.message().to_owned() },
            };
            if self.inbox.send(input).await.is_err() {
                return Input::Ended { connection, why: "the run is over".to_owned() };
            }
        }
    }
}
