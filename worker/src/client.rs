//! A stream to the coordinator: dials, forwards checked messages, and reports how it ended.
//!
//! Decides nothing: the machine decides when to dial, and what follows when a stream breaks.

use crate::addresses::Addresses;
use crate::mailbox::Input;
use crate::pipes::{self, PipeSlot, Receiving, Sending};
use crate::plain::PlainStream;
use crate::shared_memory::SharedChannel;
use host::pipes::Ends;
use host::{address, dial, trace};
use hyper_util::rt::TokioIo;
use proto::inbound::CoordinatorDecoder;
use proto::message::{CoordinatorMessage, Sharing, WorkerMessage};
use proto::wire::cluster_client::ClusterClient;
use proto::{FRAME_BYTES, MESSAGE_BYTES_MAX, STILL_ARRIVING, WINDOW_BYTES};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tracing::debug;
use trust::refusal::WorkerRefusal;
use trust::tls;
use trust::tls::WorkerStream;

/// Timeout of the TCP connection, from the look-up of the coordinator's name on, and then of the TLS
/// handshake. The machine bounds the whole time until a welcome.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which a worker dials again though the coordinator does not know its token: it may have been made
/// a moment ago, and coordinators look every second.
const TOKEN_GRACE: Duration = Duration::from_secs(3);
/// Most answers that wait to be written: more than a coordinator asks for at the same time.
const OUTBOX_MESSAGES: usize = 256;
/// Why a stream is given up when its outbox is full.
const NOT_READING: &str = "the coordinator does not read this worker's answers";

/// The way to the coordinator.
#[derive(Clone)]
pub struct Way {
    /// Where the coordinator may be.
    pub addresses: Addresses,
    /// The worker's side of TLS, if it has a token. A Unix socket needs none.
    pub tls: Option<tls::Worker>,
    /// Since when the coordinator has not known the token.
    unknown_since: Arc<Mutex<Option<Instant>>>,
}

/// An open or opening stream. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    /// Number of the stream among this worker's: inputs of an older one are ignored.
    pub dial: u64,
    outbox: mpsc::Sender<WorkerMessage>,
    reader: JoinHandle<()>,
}

impl Connection {
    /// Dials and sends `hello`. Everything that arrives goes to `inbox`.
    #[must_use]
    pub fn open(dial: u64, way: &Way, hello: WorkerMessage, inbox: mpsc::Sender<Input>) -> Self {
        let (outbox, messages) = mpsc::channel(OUTBOX_MESSAGES);
        let reader = Reader { dial, way: way.clone(), inbox, answers: outbox.clone() };
        let reader = tokio::spawn(reader.run(hello, messages));
        Self { dial, outbox, reader }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// When the coordinator does not read what it asked for.
    pub fn send(&self, message: WorkerMessage) -> Result<(), String> {
        self.outbox.try_send(message).map_err(|_| NOT_READING.to_owned())
    }

    /// Waits until the queued messages have been handed to the network, at most `limit`.
    pub async fn flush(&self, limit: Duration) {
        // The queue has its whole capacity again once its last message has been taken.
        let _ = tokio::time::timeout(limit, self.outbox.reserve_many(OUTBOX_MESSAGES)).await;
        tokio::time::sleep(FLUSH_PAUSE.min(limit)).await;
    }
}

/// Time for a goodbye's last bytes to leave the process. If they are lost, the coordinator only misses the
/// reason.
const FLUSH_PAUSE: Duration = Duration::from_millis(50);

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

struct Reader {
    dial: u64,
    way: Way,
    inbox: mpsc::Sender<Input>,
    /// Queue of messages to the coordinator, for the agreement on shared memory.
    answers: mpsc::Sender<WorkerMessage>,
}

impl Reader {
    async fn run(self, hello: WorkerMessage, messages: mpsc::Receiver<WorkerMessage>) {
        let dial = self.dial;
        let last = match self.read(hello, messages).await {
            Ok(()) => Input::Ended { dial, why: "the coordinator closed the stream".to_owned() },
            Err(Lost::Broken(why)) => Input::Ended { dial, why },
            Err(Lost::Refused(reason)) => {
                let message = CoordinatorMessage::Refused { reason, retry: false };
                Input::Message { dial, message: Some(Box::new(message)) }
            }
        };
        // The inbox is closed only when the worker is ending.
        let _ = self.inbox.send(last).await;
    }

    async fn read(&self, hello: WorkerMessage, messages: mpsc::Receiver<WorkerMessage>) -> Result<(), Lost> {
        let (channel, process) = self.way.connect(self.dial).await?;
        let shared = process.and_then(SharedChannel::create).map(Arc::new);
        let mut opened = Opened { coordinator: process, ..Opened::default() };
        let first = [Some(hello), shared.as_ref().map(|shared| shared.offer())];
        let sending = Sending::new(messages, shared.clone(), Arc::clone(&opened.to_write));
        let wire = sending.stream(first.into_iter().flatten().collect());
        let mut client = ClusterClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let response = client.join(wire).await.map_err(|status| describe(&status))?;
        let mut receiving = Receiving::from(response.into_inner());
        let mut decoder = CoordinatorDecoder::default();
        let mut told = Instant::now();
        while let Some(wire) = receiving.next().await? {
            let message = trace::within("decode", || decoder.decode(wire))
                .map_err(|error| format!("the coordinator sent {error}"))?;
            if decoder.released() {
                self.answer(Some(WorkerMessage::Sharing(Sharing::Released)))?;
            }
            if let Some(CoordinatorMessage::Sharing(step @ (Sharing::Pipes { .. } | Sharing::Switched))) =
                message
            {
                self.answer(opened.step(step, &mut receiving)?)?;
                continue;
            }
            if let Some(CoordinatorMessage::Sharing(step)) = message {
                self.answer(shared.as_ref().and_then(|shared| shared.share(step, &mut decoder)))?;
                continue;
            }
            if message.is_none() && told.elapsed() < STILL_ARRIVING {
                continue;
            }
            told = Instant::now();
            let input = Input::Message { dial: self.dial, message: message.map(Box::new) };
            if self.inbox.send(input).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn answer(&self, message: Option<WorkerMessage>) -> Result<(), String> {
        let sent = message.map_or(Ok(()), |message| self.answers.try_send(message));
        sent.map_err(|_| NOT_READING.to_owned())
    }
}

/// The pipes that are open and not yet in use.
#[derive(Default)]
struct Opened {
    /// Process id of the coordinator, if it is on this machine and can be identified.
    coordinator: Option<NonZeroU32>,
    to_read: Option<OwnedFd>,
    to_write: PipeSlot,
}

impl Opened {
    /// Handles one step of the agreement on pipes. Returns the answer to it.
    ///
    /// # Errors
    /// When the system can't read the pipe.
    fn step(&mut self, step: Sharing, receiving: &mut Receiving) -> Result<Option<WorkerMessage>, String> {
        match (step, self.coordinator) {
            (Sharing::Pipes { reads, writes }, Some(coordinator)) => {
                match pipes::open(coordinator, reads, writes) {
                    Ok(Ends { reads, writes }) => {
                        self.to_read = Some(reads);
                        *self.to_write.lock().unwrap_or_else(PoisonError::into_inner) = Some(writes);
                        return Ok(Some(WorkerMessage::Sharing(Sharing::Switched)));
                    }
                    Err(error) => debug!(%error, "can't open the coordinator's pipes"),
                }
            }
            (Sharing::Switched, _) => {
                if let Some(end) = self.to_read.take() {
                    receiving.switch(end)?;
                }
            }
            _ => {}
        }
        Ok(None)
    }
}

/// How a stream was lost.
enum Lost {
    /// Dialling again may help.
    Broken(String),
    /// The coordinator has proved who it is, and does not want this worker.
    Refused(String),
}

impl From<String> for Lost {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

impl Way {
    /// The way to one of these addresses; over TCP by TLS where there is a side of it.
    #[must_use]
    pub fn new(addresses: Addresses, tls: Option<tls::Worker>) -> Self {
        Self { addresses, tls, unknown_since: Arc::default() }
    }

    /// The way to an address without TLS.
    #[must_use]
    pub fn plain(address: &str) -> Self {
        Self::new(Addresses::one(address), None)
    }

    /// Proves to the coordinator that the worker has a token, and has the coordinator prove that it made it.
    async fn prove(&self, tls: &tls::Worker, stream: TcpStream) -> Result<WorkerStream<TcpStream>, Lost> {
        let proved = tokio::time::timeout(CONNECT_TIMEOUT, tls.connect(stream)).await;
        let proved = proved.map_err(|_| format!("the TLS handshake took more than {CONNECT_TIMEOUT:?}"))?;
        let mut unknown = self.unknown_since.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match &proved {
            Err(WorkerRefusal::UnknownToken) => *unknown.get_or_insert_with(Instant::now),
            _ => {
                *unknown = None;
                Instant::now()
            }
        };
        proved.map_err(|refusal| {
            let reason = refusal.to_string();
            if since.elapsed() < TOKEN_GRACE { Lost::Broken(reason) } else { Lost::Refused(reason) }
        })
    }

    /// A channel, and the coordinator's process if it is on this machine and can be identified.
    async fn connect(&self, dial: u64) -> Result<(Channel, Option<NonZeroU32>), Lost> {
        let address = &self.addresses.of_dial(dial).await?;
        debug!(address, dial, "dialling");
        let Some(name) = host::local_socket::name_of(address) else {
            let stream = dial::connect(address, CONNECT_TIMEOUT).await.map_err(|error| error.to_string())?;
            let authority = address::authority(address);
            let channel = match &self.tls {
                None => channel(&authority, PlainStream::new(stream)).await,
                Some(tls) => channel(&authority, self.prove(tls, stream).await?).await,
            };
            return Ok((channel?, None));
        };
        let stream = host::local_socket::connect(name).map_err(|error| error.to_string())?;
        // Any user can take the name first: the hello must not be sent before the other end's user is
        // verified.
        let process = host::local_socket::process_of_peer(&stream)
            .map_err(|error| format!("no coordinator of this user listens on {address}: {error}"))?;
        Ok((channel("localhost", stream).await?, process))
    }
}

/// A channel over an open connection to `authority`.
async fn channel<S>(authority: &str, stream: S) -> Result<Channel, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|error| format!("{authority} is not an address: {error}"))?
        .max_frame_size(FRAME_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    let mut stream = Some(TokioIo::new(stream));
    // One connection per dial: when it breaks, the machine decides what follows.
    let open = move |_| {
        let stream = stream.take().ok_or(std::io::ErrorKind::ConnectionReset);
        async move { stream.map_err(std::io::Error::from) }
    };
    let connected = endpoint.connect_with_connector(tower::service_fn(open)).await;
    connected.map_err(|error| describe(&error))
}

/// The innermost cause of a transport error. "transport error" alone says nothing.
fn describe(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_that_can_be_dialled_is_the_authority_of_a_uri() {
        for text in ["node_7.local.:29400", "127.0.0.1:1", "[::1]:29400", "[fe80::1%eth0]:29400"] {
            let dialled = address::to_dial(text).unwrap();
            assert_eq!(dialled, text);
            Endpoint::from_shared(format!("http://{}", address::authority(&dialled))).unwrap();
        }
    }
}
