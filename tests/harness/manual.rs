//! A worker that computes nothing and sends single messages by hand, for what the real client cannot send.

use proto::inbound::CoordinatorDecoder;
use proto::message::{CoordinatorMessage, Usage, WorkerMessage};
use proto::outbound;
use proto::wire::cluster_client::ClusterClient;
use proto::wire::{FromWorker, from_worker};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Most messages that wait to be sent.
const OUTBOX: usize = 16;
/// Timeout for any one message.
const PATIENCE: Duration = Duration::from_secs(120);

/// A stream to a coordinator.
pub struct Manual {
    runtime: Runtime,
    outbox: mpsc::Sender<FromWorker>,
    stream: Streaming<proto::wire::FromCoordinator>,
    decoder: CoordinatorDecoder,
}

impl Manual {
    /// Connects, and sends a hello with this name.
    ///
    /// # Panics
    /// When nobody listens on the address.
    #[must_use]
    pub fn join(address: &str, name: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread");
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let hello = WorkerMessage::Hello(crate::scripted::hello(name));
        outbox.try_send(to_wire(hello).remove(0)).expect("room for one");
        let stream = runtime.block_on(async {
            let mut client =
                ClusterClient::connect(format!("http://{address}")).await.expect("a coordinator");
            client.join(ReceiverStream::new(messages)).await.expect("a stream").into_inner()
        });
        Self { runtime, outbox, stream, decoder: CoordinatorDecoder::default() }
    }

    /// Sends a message as it is.
    ///
    /// # Panics
    /// When the stream has ended.
    pub fn send(&self, message: from_worker::Message) {
        self.outbox.try_send(FromWorker { message: Some(message) }).expect("a stream that is read");
    }

    /// Sends a heartbeat, unless the stream has ended.
    pub fn beat(&self) {
        let _ = self.outbox.try_send(to_wire(WorkerMessage::Heartbeat(Usage::default())).remove(0));
    }

    /// The next message for which `pick` returns a value. Each message that arrives is followed by a
    /// heartbeat.
    ///
    /// # Errors
    /// Why the stream ended.
    ///
    /// # Panics
    /// When nothing arrives in time, or something invalid does.
    pub fn wait_for<T>(
        &mut self,
        mut pick: impl FnMut(CoordinatorMessage) -> Option<T>,
    ) -> Result<T, String> {
        loop {
            let next = async { tokio::time::timeout(PATIENCE, self.stream.message()).await };
            let next = self.runtime.block_on(next).expect("the coordinator beats");
            let wire = next.map_err(|status| status.message().to_owned())?.ok_or("the stream ended")?;
            let Some(message) = self.decoder.decode(wire).expect("an honest coordinator") else { continue };
            if let CoordinatorMessage::Dropped(reason) | CoordinatorMessage::Refused { reason, .. } = message
            {
                return Err(reason);
            }
            self.beat();
            if let Some(picked) = pick(message) {
                return Ok(picked);
            }
        }
    }
}

fn to_wire(message: WorkerMessage) -> Vec<FromWorker> {
    outbound::from_worker(message, |_, _| None).collect()
}
