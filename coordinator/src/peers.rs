//! Who is on the other end of which connection, and what each has been sent. Decides nothing.

use crate::server::{Outbox, Outgoing};
use common::ids::{Incarnation, Rank};
use proto::message::CoordinatorMessage;
use proto::parameters::EncodedParameters;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The connection of a member or of a spare.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its name.
    pub(crate) name: String,
    /// Its slot; a spare has none.
    pub(crate) rank: Option<Rank>,
    pub(crate) connection: u64,
    outbox: Outbox,
    /// The parameters that it has.
    version: Option<u64>,
    /// It has been said that it is late.
    late: bool,
}

/// All connections that have said hello.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    /// Waiting for a verdict on their hello.
    joining: BTreeMap<u64, (String, Outbox)>,
    /// Members and spares.
    peers: BTreeMap<Incarnation, Peer>,
    by_connection: BTreeMap<u64, Incarnation>,
}

impl Peers {
    /// Remembers a connection until it is admitted or refused.
    pub(crate) fn greet(&mut self, connection: u64, name: String, outbox: Outbox) {
        self.joining.insert(connection, (name, outbox));
    }

    /// Makes a greeted connection a spare. Returns its name.
    pub(crate) fn keep(&mut self, connection: u64, incarnation: Incarnation) -> Option<String> {
        let (name, outbox) = self.joining.remove(&connection)?;
        let peer = Peer { name: name.clone(), rank: None, connection, outbox, version: None, late: false };
        self.peers.insert(incarnation, peer);
        self.by_connection.insert(connection, incarnation);
        Some(name)
    }

    /// Makes a greeted connection, or a spare, a member. Returns its name.
    pub(crate) fn admit(&mut self, connection: u64, incarnation: Incarnation, rank: Rank) -> Option<String> {
        // `None` where it was a spare already.
        let _ = self.keep(connection, incarnation);
        let peer = self.peers.get_mut(&incarnation)?;
        peer.rank = Some(rank);
        Some(peer.name.clone())
    }

    /// Refuses a greeted connection, for now or for ever. Returns its name.
    pub(crate) fn refuse(&mut self, connection: u64, reason: String, retry: bool) -> Option<String> {
        let (name, outbox) = self.joining.remove(&connection)?;
        // It is given up either way.
        let _ = outbox.send(Outgoing::Message(CoordinatorMessage::Refused { reason, retry }));
        Some(name)
    }

    /// The member or spare on a connection.
    pub(crate) fn on(&self, connection: u64) -> Option<Incarnation> {
        self.by_connection.get(&connection).copied()
    }

    /// A member or spare.
    pub(crate) fn get(&self, who: Incarnation) -> Option<&Peer> {
        self.peers.get(&who)
    }

    /// Notes that a member is late; whether that is the first time.
    pub(crate) fn is_news_that_late(&mut self, who: Incarnation) -> bool {
        self.peers.get_mut(&who).is_some_and(|peer| !std::mem::replace(&mut peer.late, true))
    }

    /// Queues a message for a member.
    ///
    /// # Errors
    /// Why the member is to be given up.
    pub(crate) fn send(&self, to: Incarnation, message: CoordinatorMessage) -> Result<(), String> {
        self.peers.get(&to).map_or(Ok(()), |peer| peer.outbox.send(Outgoing::Message(message)))
    }

    /// Queues parameters for a member that does not have them.
    ///
    /// # Errors
    /// Why the member is to be given up.
    pub(crate) fn send_parameters(
        &mut self,
        to: Incarnation,
        parameters: &Arc<EncodedParameters>,
    ) -> Result<(), String> {
        match self.peers.get_mut(&to) {
            Some(peer) if peer.version != Some(parameters.version()) => {
                peer.version = Some(parameters.version());
                peer.outbox.send(Outgoing::Parameters(Arc::clone(parameters)))
            }
            _ => Ok(()),
        }
    }

    /// All members and spares.
    pub(crate) fn all(&self) -> Vec<Incarnation> {
        self.peers.keys().copied().collect()
    }

    /// Queues a message for every member and spare; returns those that are to be given up, and why.
    pub(crate) fn send_all(&self, message: &CoordinatorMessage) -> Vec<(Incarnation, String)> {
        let send = |(&to, _): (&Incarnation, &Peer)| Some((to, self.send(to, message.clone()).err()?));
        self.peers.iter().filter_map(send).collect()
    }

    /// Ends a member's or spare's stream with a last message.
    pub(crate) fn close(&mut self, who: Incarnation, last: CoordinatorMessage) -> Option<Peer> {
        let peer = self.peers.remove(&who)?;
        self.by_connection.remove(&peer.connection);
        // It may be gone already.
        let _ = peer.outbox.send(Outgoing::Message(last));
        Some(peer)
    }
}
