//! The gRPC service: what each connection gets when its stream is opened.

use crate::mailbox::Input;
use crate::net::accept::{self, Limits};
use crate::net::access::Access;
use crate::net::handshakes;
use crate::net::incoming::{Incoming, Shared};
use crate::net::listener::Listeners;
use crate::net::outbox::{Outbox, Queue, Taker};
use crate::net::pending::{self, ConnectionState};
use crate::net::pipes::PipeTasks;
use crate::net::reader::Reader;
use crate::net::same_user;
use crate::net::sending::Sending;
use crate::net::shared_memory::{SharedChannel, Slots};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use proto::inbound::WorkerDecoder;
use proto::setup::Setups;
use proto::values::Buffers;
use proto::wire::cluster_server::{Cluster, ClusterServer};
use proto::wire::{FromCoordinator, FromWorker};
use proto::{FRAME_BYTES, MESSAGE_BYTES_MAX, WINDOW_BYTES};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};

/// Most streams of a connection. A worker needs one, and dials again for another.
const STREAMS_MAX: u32 = 1;
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
    pipes: PipeTasks,
    limits: Limits,
    until: watch::Receiver<()>,
) -> Result<(), tonic::transport::Error> {
    let limits = Arc::new(limits);
    let service = Service {
        limits: Arc::clone(&limits),
        access: listeners.access.clone(),
        setups,
        reserved: Arc::new(if listeners.unix.is_some() { reserved } else { BTreeSet::new() }),
        buffers: Buffers::default(),
        slots: Arc::new(Slots::new()),
        inbox,
        pipes,
        connections: Arc::new(AtomicU64::new(0)),
    };
    let local_service = Service { reserved: Arc::default(), ..service.clone() };
    let closed = |mut until: watch::Receiver<()>| async move { while until.changed().await.is_ok() {} };
    let until_too = until.clone();
    let tcp = async {
        let Some(listener) = listeners.tcp else { return Ok(()) };
        let accepted = TcpListenerStream::new(listener).inspect_ok(host::tcp::prepare);
        let limits = Arc::clone(&limits);
        let router = router(service);
        if let Some(access) = listeners.access {
            let incoming = handshakes::passed(accepted, limits, access);
            router.serve_with_incoming_shutdown(incoming, closed(until_too)).await
        } else {
            let incoming = accept::accepted(accepted, limits);
            router.serve_with_incoming_shutdown(incoming, closed(until_too)).await
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
    access: Option<Arc<Access>>,
    setups: Setups,
    /// Names that this listener's workers may not have.
    reserved: Arc<BTreeSet<String>>,
    /// Buffers for the gradients of all connections.
    buffers: Buffers,
    slots: Arc<Slots>,
    inbox: mpsc::Sender<Input>,
    pipes: PipeTasks,
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
        let shared = state
            .process()
            .map(|process| Shared::with(process, Arc::clone(&self.slots), Arc::clone(&channel)));
        let decoder = WorkerDecoder::new(self.setups.clone(), self.buffers.clone());
        let incoming = Incoming::new(
            connection,
            decoder,
            self.inbox.clone(),
            shared,
            Arc::clone(&state),
            Arc::clone(&queue),
        );
        let reader = Reader {
            reserved: Arc::clone(&self.reserved),
            wire: request.into_inner(),
            incoming,
            limits: Arc::clone(&self.limits),
            access: self.access.clone(),
            pipes: self.pipes.clone(),
        };
        let outbox = Outbox::new(Arc::clone(&queue), Arc::clone(&state), open);
        // It ends with the peer's stream, or with the outbox, which the driver owns once the hello has
        // arrived.
        tokio::spawn(reader.run(outbox, closed));
        let sending = Sending::new(connection, Taker::of(queue), channel, state, self.setups.clone());
        Ok(Response::new(sending.stream(self.pipes.clone())))
    }
}
