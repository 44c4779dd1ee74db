//! The runs of a search on its session: each begins under a key, and they end in any order.
//!
//! What happens to the workers is logged once for all of them. What a run came to is told to whoever asks for
//! the next end.

use crate::RunError;
use crate::cluster::Farewell;
use crate::dataset::Dataset;
use crate::net::listener::Sockets;
use crate::observe::console::Console;
use crate::observe::reporter::invitation;
use crate::observe::shared::{SharedLog, Told};
use crate::run::{PreparedRun, Summary};
use crate::session::{ClusterOptions, Session};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use host::logging::LogFormat;
use host::reachable::to_connect_to;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What became of the run under a key.
type Ended<K> = (K, Result<Summary, RunError>);

/// Runs in progress, and the session on which they are.
pub(crate) struct Runs<K> {
    session: Session,
    data: Arc<Dataset>,
    console: Console,
    log_format: LogFormat,
    told: Told,
    running: FuturesUnordered<BoxFuture<'static, Ended<K>>>,
    /// Asks each run to stop.
    asks: BTreeMap<K, watch::Sender<u32>>,
}

impl<K: Ord + Copy + Send + 'static> Runs<K> {
    /// Opens a session for runs on that data.
    ///
    /// # Errors
    /// When a thread or a worker can't be started.
    pub(crate) fn open(
        sockets: Sockets,
        cluster: &ClusterOptions,
        data: Arc<Dataset>,
        console: &Console,
        log_format: LogFormat,
    ) -> Result<Self, RunError> {
        Ok(Self {
            session: Session::open_on(sockets, cluster, console)?,
            data,
            console: console.clone(),
            log_format,
            told: Told::default(),
            running: FuturesUnordered::new(),
            asks: BTreeMap::new(),
        })
    }

    /// Says how workers can join.
    pub(crate) fn invite(&self) {
        let connect = self.session.address().map_or_else(Vec::new, to_connect_to);
        let address = self.session.address().map(|address| address.to_string());
        let token_file = self.session.token_file().map(|path| path.display().to_string());
        self.console.line(&invitation(address.as_deref(), &connect, token_file.as_deref()));
    }

    /// Runs in progress.
    pub(crate) fn len(&self) -> usize {
        self.asks.len()
    }

    /// Whether a run is in progress under that key.
    pub(crate) fn has(&self, key: K) -> bool {
        self.asks.contains_key(&key)
    }

    /// Prepares a run on a thread that may block, and starts it.
    ///
    /// # Errors
    /// When it can't be prepared or started.
    pub(crate) async fn start(
        &mut self,
        key: K,
        prepare: impl FnOnce(&Dataset) -> Result<PreparedRun, RunError> + Send + 'static,
    ) -> Result<(), RunError> {
        let data = Arc::clone(&self.data);
        let prepared = tokio::task::spawn_blocking(move || prepare(&data)).await;
        let mut run = prepared.unwrap_or_else(|error| Err(RunError::Internal(error.to_string())))?;
        run.observe("log", SharedLog::new(self.console.clone(), self.log_format, self.told.clone()));
        let (ask, asked) = watch::channel(0);
        let running = self.session.start(run, asked).await?;
        self.asks.insert(key, ask);
        self.running.push(Box::pin(async move { (key, running.ended().await) }));
        Ok(())
    }

    /// Waits for the next run to end, and returns what it came to; `None` if none is in progress.
    pub(crate) async fn ended(&mut self) -> Option<Ended<K>> {
        let (key, result) = self.running.next().await?;
        self.asks.remove(&key);
        Some((key, result))
    }

    /// Asks a run to write a checkpoint and end.
    pub(crate) fn stop(&self, key: K) {
        if let Some(ask) = self.asks.get(&key) {
            ask.send_replace(1);
        }
    }

    /// Asks all runs to write a checkpoint and end.
    pub(crate) fn stop_all(&self) {
        self.asks.keys().for_each(|&key| self.stop(key));
    }

    /// Ends the session, with a last word to its workers.
    pub(crate) async fn close(self, last: Farewell) {
        self.session.close(last).await;
    }
}
