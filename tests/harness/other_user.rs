//! A client of the same machine that dials a local coordinator's Unix socket and sends any message.

use hyper_util::rt::TokioIo;
use proto::wire::cluster_client::ClusterClient;
use proto::wire::{FromCoordinator, FromWorker};
use rustix::thread::set_thread_res_uid;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// Timeout of everything that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most messages that wait to be sent.
const OUTBOX: usize = 16;

/// Name of the Unix socket on which the process listens, if it does.
#[must_use]
pub fn socket_of(process: u32) -> Option<String> {
    let sockets = std::fs::read_to_string("/proc/net/unix").ok()?;
    let beginning = format!("@lockstep-{process}-");
    let mut paths = sockets.lines().filter_map(|line| line.split_whitespace().nth(7));
    paths.find(|path| path.starts_with(&beginning)).map(|path| path[1..].to_owned())
}

/// Acts as another user, if this process may: only root may.
///
/// # Panics
/// When `act` panics.
pub fn as_user<T: Send>(user: u32, act: impl FnOnce() -> T + Send) -> Option<T> {
    let become_user = || {
        let same = None::<rustix::thread::Uid>;
        // It changes the user of this thread alone, which ends afterwards.
        set_thread_res_uid(same, rustix::thread::Uid::from_raw(user), same).ok()?;
        Some(act())
    };
    std::thread::scope(|scope| scope.spawn(become_user).join().expect("no panic"))
}

/// A stream to a coordinator on which any message can be sent.
pub struct Neighbour {
    said: mpsc::Sender<FromWorker>,
    heard: Streaming<FromCoordinator>,
}

impl Neighbour {
    /// Dials the socket of this name.
    ///
    /// # Panics
    /// When the coordinator does not accept the stream.
    pub async fn dial(name: &str) -> Self {
        let name = name.to_owned();
        let open = move |_| {
            let stream = host::local_socket::connect(&name);
            async move { stream.map(TokioIo::new) }
        };
        let endpoint = Endpoint::from_static("http://localhost").connect_timeout(PATIENCE);
        let channel = endpoint.connect_with_connector(tower::service_fn(open)).await.expect("a connection");
        let (said, messages) = mpsc::channel(OUTBOX);
        let response = ClusterClient::new(channel).join(ReceiverStream::new(messages)).await;
        Self { said, heard: response.expect("a stream").into_inner() }
    }

    /// Sends a message, which may fail.
    pub async fn say(&self, message: FromWorker) {
        // If the stream has ended, `hear` returns it.
        let _ = self.said.send(message).await;
    }

    /// The next message, or `None` at the end of the stream.
    ///
    /// # Panics
    /// When nothing comes for long.
    pub async fn hear(&mut self) -> Option<FromCoordinator> {
        let message = tokio::time::timeout(PATIENCE, self.heard.message()).await;
        message.expect("a word or an end").ok().flatten()
    }
}

/// Polls `look` until it returns a value.
///
/// # Panics
/// When it returns none in time.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
