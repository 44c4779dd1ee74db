//! A process of the same machine that dials a local coordinator's Unix socket by its own means, and says what it likes.

use hyper_util::rt::TokioIo;
use proto::wire::cluster_client::ClusterClient;
use proto::wire::{FromCoordinator, FromWorker};
use rustix::thread::set_thread_res_uid;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Endpoint;

/// For anything that a neighbour waits for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Messages on their way to the coordinator.
const OUTBOX: usize = 16;

/// The name of the Unix socket that the process listens on, if it does.
#[must_use]
pub fn socket_of(process: u32) -> Option<String> {
    let sockets = std::fs::read_to_string("/proc/net/unix").ok()?;
    let beginning = format!("@lockstep-{process}-");
    let mut paths = sockets.lines().filter_map(|line| line.split_whitespace().nth(7));
    paths.find(|path| path.starts_with(&beginning)).map(|path| path[1..].to_owned())
}

/// Does something as another user, if this process may become one: only root may.
///
/// # Panics
/// When what is done does.
pub fn as_user<T: Send>(user: u32, act: impl FnOnce() -> T + Send) -> Option<T> {
    let become_user = || {
        let same = None::<rustix::thread::Uid>;
        // Of this thread alone, which ends with it.
        set_thread_res_uid(same, rustix::thread::Uid::from_raw(user), same).ok()?;
        Some(act())
    };
    std::thread::scope(|scope| scope.spawn(become_user).join().expect("no panic"))
}

/// A stream to a coordinator on which anything can be said.
pub struct Neighbour {
    said: mpsc::Sender<FromWorker>,
    heard: Streaming<FromCoordinator>,
}

impl Neighbour {
    /// Dials the socket of that name.
    ///
    /// # Panics
    /// When the coordinator does not take the stream.
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

    /// Says something; whether it is heard is another question.
    pub async fn say(&self, message: FromWorker) {
        // The stream may be over, which `hear` tells.
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

/// Looks again and again until there is something.
///
/// # Panics
/// When there is nothing for long.
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
