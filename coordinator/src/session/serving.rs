//! The task that serves a session's connections.

use crate::cluster::Farewell;
use crate::local::Local;
use crate::mailbox::Input;
use crate::net::listener::Listeners;
use crate::net::pipes::PipeTasks;
use crate::net::{accept, server};
use crate::session::ClusterOptions;
use proto::setup::Setups;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};

/// For open connections to end after the driver has.
const SERVER_GRACE: Duration = Duration::from_secs(3);

/// The task that serves connections.
pub(super) struct Server {
    /// Dropped when no further connection is to be served.
    until: watch::Sender<()>,
    serving: AbortHandle,
    watching: JoinHandle<()>,
}

impl Server {
    /// Serves no further connection, and waits for the end of those that are open while `meanwhile` is done.
    pub(super) async fn end(self, meanwhile: impl Future<Output = ()>) {
        let Self { until, serving, mut watching } = self;
        drop(until);
        meanwhile.await;
        if tokio::time::timeout(SERVER_GRACE, &mut watching).await.is_err() {
            serving.abort();
        }
    }
}

/// Serves connections. If that fails the driver is told.
pub(super) fn serve(
    listeners: Listeners,
    address: &str,
    options: &ClusterOptions,
    setups: Setups,
    inbox: &mpsc::Sender<Input>,
    pipes: PipeTasks,
) -> Server {
    let address = address.to_owned();
    let (until, is_over) = watch::channel(());
    let names = options.local.as_ref().map(Local::names).unwrap_or_default();
    let limits = accept::Limits::new(options.limits.max, options.limits.spares, names.len() as u32);
    let served = server::serve(listeners, names, setups, inbox.clone(), pipes, limits, is_over);
    let serving = tokio::spawn(served);
    let abort = serving.abort_handle();
    tokio::spawn(close_if_dropped(until.subscribe(), inbox.downgrade()));
    let inbox = inbox.downgrade();
    let watching = tokio::spawn(async move {
        let what = serving.await.map_or_else(|error| error.to_string(), |result| format!("{result:?}"));
        if let Some(inbox) = inbox.upgrade() {
            // The receiver is gone when the session is over, and the server was to end.
            let _ = inbox.send(Input::ServerFailed { address, what }).await;
        }
    });
    Server { until, serving: abort, watching }
}

/// Ends the driver of a session that was dropped: the connections wait for it, and it for them.
async fn close_if_dropped(mut until: watch::Receiver<()>, inbox: mpsc::WeakSender<Input>) {
    while until.changed().await.is_ok() {}
    if let Some(inbox) = inbox.upgrade() {
        // If the session was closed the receiver is gone.
        let _ = inbox.send(Input::Close(Farewell::Failed)).await;
    }
}
