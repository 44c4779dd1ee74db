//! A page about the run, for people and for Prometheus: `--http`.
//!
//! Reading order: [`view`](super::view) is what there is to see, [`history`](super::history) fills it with
//! what earlier starts have left, `stream` sends it to readers, `routes` has what is asked for, `prometheus`
//! one of the answers, and `page/` the files of the page, which need nothing from elsewhere.
//!
//! 1. It can't hold the run up: the view has a lock that is held for microseconds, and one thread of low
//!    priority serves all readers.
//! 2. Readers change nothing. How many there are, how long they take and what is kept for them is bounded;
//!    one that falls behind gets everything anew.
//! 3. Beyond loopback a reader needs the page token, by TLS (`crate::http::access`).
//! 4. Who asks under a name that is not this server's gets nothing (`crate::http::host_header`).

mod page;
mod prometheus;
mod routes;
mod stream;

use super::Observer;
use super::history::History;
use super::view::View;
use crate::http::access::Access;
use crate::http::connections::{self, Limits};
use crate::http::host_header::Names;
use crate::net::access::{AccessError, Trust};
use common::event::Event;
use host::clock::wall_seconds;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stream::Readers;
use tokio::sync::watch;
use tracing::warn;

/// Bounds of connections. A page keeps its stream for the grace, and then opens another one.
const LIMITS: Limits = Limits { connections: 128, grace: Duration::from_secs(600) };
/// Time for which the page stays after the end of the run, if somebody reads it and is to learn of the end.
const LINGER: Duration = Duration::from_millis(250);
/// Niceness of the thread that serves readers: workers on the same machine go before it.
const NICE: i32 = 10;

/// The view, as the observer and the server share it.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<View>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, View> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener that is open.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    bound: SocketAddr,
    listened_on: String,
}

/// A page that is served once the run is prepared, to those who may read it.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
    access: Access,
    names: Names,
}

/// The observer that keeps the view.
pub struct Web {
    shared: Arc<Shared>,
    readers: Readers,
    /// Dropped when no further request is to be answered.
    stop: watch::Sender<u32>,
    server: Option<std::thread::JoinHandle<()>>,
}

impl Listener {
    /// Listens at `HOST:PORT`.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub fn open(address: &str) -> std::io::Result<Self> {
        let (listener, bound) = crate::http::listen(address)?;
        Ok(Self { listener, bound, listened_on: address.to_owned() })
    }

    /// The page for those who may read it.
    ///
    /// # Errors
    /// When a token is needed, and can't be read or made.
    pub fn for_readers(self, trust: &Trust) -> Result<Page, AccessError> {
        let access = Access::open(&self.listened_on, self.bound, trust)?;
        Ok(Page { listener: self.listener, access, names: Names::of(&self.listened_on) })
    }
}

impl Page {
    /// Who may read it, and where it is.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Serves what earlier starts have left, and what happens from now on.
    ///
    /// # Errors
    /// When the server's thread can't be started.
    pub fn serve(self, history: &History) -> std::io::Result<Web> {
        let shared = Arc::new(Shared::default());
        history.read_into(&mut shared.lock());
        let (stop, stopped) = watch::channel(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let readers = Readers::new(Arc::clone(&shared));
        let theirs = (Arc::clone(&shared), readers.clone());
        let thread = std::thread::Builder::new().name("http".to_owned());
        let server = thread.spawn(move || runtime.block_on(self.answer(theirs.0, theirs.1, stopped)))?;
        Ok(Web { shared, readers, stop, server: Some(server) })
    }

    async fn answer(self, shared: Arc<Shared>, readers: Readers, stop: watch::Receiver<u32>) {
        // Where the system refuses, it competes like others.
        let _ = rustix::process::setpriority_process(None, NICE);
        let listener = match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => listener,
            Err(error) => return warn!(%error, "the page can't be served"),
        };
        tokio::spawn(readers.clone().tick());
        let router = routes::router(shared, readers, self.names);
        connections::serve(listener, router, &self.access, LIMITS, &Arc::new(()), stop).await;
    }
}

impl Observer for Web {
    fn observe(&mut self, event: &Event) {
        self.shared.lock().apply(wall_seconds(), event);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        if self.readers.are_there() {
            self.readers.end();
            std::thread::sleep(LINGER);
        }
        // Streams never end by themselves: the second request cuts them off.
        self.stop.send_replace(2);
        if let Some(server) = self.server.take() {
            // It panics with its thread alone.
            let _ = server.join();
        }
    }
}
