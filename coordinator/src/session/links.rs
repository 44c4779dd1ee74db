//! The driver's end of the connections: what waits to be sent, and gradients that wait to be read.

use crate::cluster::LinkUsage;
use crate::net::outbox::{Outbox, Outgoing, SendError};
use proto::message::Usage;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// The driver's end of one connection.
#[derive(Debug)]
struct Link {
    outbox: Outbox,
    /// A gradient waits to be read until this is dropped.
    waiting: Option<oneshot::Sender<()>>,
}

/// The driver's ends of all connections that have said hello and are not closed.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<u64, Link>);

impl Links {
    pub(super) fn open(&mut self, connection: u64, outbox: Outbox) {
        self.0.insert(connection, Link { outbox, waiting: None });
    }

    /// The worker on this connection has been admitted, as a member or a spare.
    pub(super) fn accept(&mut self, connection: u64) {
        self.0.get_mut(&connection).into_iter().for_each(|link| link.outbox.accept());
    }

    /// Queues something to be sent.
    ///
    /// # Errors
    /// Why the worker is to be given up.
    pub(super) fn send(&self, connection: u64, outgoing: Outgoing) -> Result<(), SendError> {
        self.0.get(&connection).map_or(Ok(()), |link| link.outbox.send(outgoing))
    }

    /// Queues a last message, and closes the connection behind it.
    pub(super) fn close(&mut self, connection: u64, last: Outgoing) {
        if let Some(link) = self.0.remove(&connection) {
            // It may be gone already.
            let _ = link.outbox.send(last);
        }
    }

    /// Keeps a gradient waiting until [`enter`](Self::enter).
    pub(super) fn wait(&mut self, connection: u64, enter: oneshot::Sender<()>) {
        // Without its link `enter` is dropped here, and the gradient is read at once.
        if let Some(link) = self.0.get_mut(&connection) {
            link.waiting = Some(enter);
        }
    }

    /// Has the waiting gradient read.
    pub(super) fn enter(&mut self, connection: u64) {
        self.0.get_mut(&connection).into_iter().for_each(|link| link.waiting = None);
    }

    /// Bytes of gradients that have come on a connection.
    pub(super) fn arrived(&self, connection: u64) -> u64 {
        self.0.get(&connection).map_or(0, |link| link.outbox.arrived())
    }

    /// What the worker on a connection uses, and the bytes that have come and gone on it.
    pub(super) fn usage(&self, connection: u64) -> Option<LinkUsage> {
        let outbox = &self.0.get(&connection)?.outbox;
        let Usage { cpu_us, resident_bytes } = outbox.usage();
        let [received_bytes, sent_bytes] = [outbox.arrived(), outbox.sent()];
        Some(LinkUsage { cpu_us, resident_bytes, received_bytes, sent_bytes })
    }

    /// Connections that took no byte for `timeout_us`, though more waits to be sent, and for how long. To be
    /// asked every `look_us`.
    pub(super) fn not_reading(&mut self, now_us: u64, look_us: u64, timeout_us: u64) -> Vec<(u64, u64)> {
        let looks = self
            .0
            .iter_mut()
            .map(|(&connection, link)| (connection, link.outbox.stalled_us(now_us, look_us)));
        looks.filter(|&(_, still_us)| still_us >= timeout_us).collect()
    }
}
