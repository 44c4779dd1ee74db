//! Who is on the other end of which connection, and what each has been sent. Decides nothing.

use crate::net::outbox::{Outbox, Outgoing, SendError};
use common::ids::{Incarnation, ParamsId, Rank};
use proto::message::CoordinatorMessage;
use proto::parameters::EncodedParameters;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The connection of a member or of a spare.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Its name.
    pub(crate) name: String,
    /// Its slot; a spare has none.
    pub(crate) rank: Option<Rank>,
    pub(crate) connection: u64,
    outbox: Outbox,
    /// The newest parameters that it was sent.
    parameters: Option<ParamsId>,
    /// Pieces that it had when their round ended: as many answers may still come.
    late_answers: u32,
    /// An answer of its was of use.
    has_helped: bool,
    /// It has been said that it is late.
    late: bool,
}

impl Connection {
    /// Whether an answer of its was of use.
    pub(crate) fn has_helped(&self) -> bool {
        self.has_helped
    }
}

/// All connections that have said hello.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Waiting for a verdict on their hello.
    joining: BTreeMap<u64, (String, Outbox)>,
    /// Members and spares.
    connections: BTreeMap<Incarnation, Connection>,
    by_connection: BTreeMap<u64, Incarnation>,
}

impl Connections {
    /// Remembers a connection until it is admitted or refused.
    pub(crate) fn greet(&mut self, connection: u64, name: String, outbox: Outbox) {
        self.joining.insert(connection, (name, outbox));
    }

    /// Makes a greeted connection a spare. Returns its name.
    pub(crate) fn keep(&mut self, connection: u64, incarnation: Incarnation) -> Option<String> {
        let (name, mut outbox) = self.joining.remove(&connection)?;
        outbox.accept();
        let peer = Connection {
            name: name.clone(),
            rank: None,
            connection,
            outbox,
            parameters: None,
            late_answers: 0,
            has_helped: false,
            late: false,
        };
        self.connections.insert(incarnation, peer);
        self.by_connection.insert(connection, incarnation);
        Some(name)
    }

    /// Makes a greeted connection, or a spare, a member. Returns its name.
    pub(crate) fn admit(&mut self, connection: u64, incarnation: Incarnation, rank: Rank) -> Option<String> {
        // `None` where it was a spare already.
        let _ = self.keep(connection, incarnation);
        let peer = self.connections.get_mut(&incarnation)?;
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
    pub(crate) fn get(&self, who: Incarnation) -> Option<&Connection> {
        self.connections.get(&who)
    }

    /// Notes that a member is late; whether that is the first time.
    pub(crate) fn is_news_that_late(&mut self, who: Incarnation) -> bool {
        self.connections.get_mut(&who).is_some_and(|peer| !std::mem::replace(&mut peer.late, true))
    }

    /// Queues a message for a member.
    ///
    /// # Errors
    /// Why the member is to be given up.
    pub(crate) fn send(&self, to: Incarnation, message: CoordinatorMessage) -> Result<(), SendError> {
        self.connections.get(&to).map_or(Ok(()), |peer| peer.outbox.send(Outgoing::Message(message)))
    }

    /// Queues parameters for a member that does not have them.
    ///
    /// # Errors
    /// Why the member is to be given up.
    pub(crate) fn send_parameters(
        &mut self,
        to: Incarnation,
        parameters: &Arc<EncodedParameters>,
    ) -> Result<(), SendError> {
        match self.connections.get_mut(&to) {
            Some(peer) if peer.parameters != Some(parameters.id()) => {
                peer.parameters = Some(parameters.id());
                peer.outbox.send(Outgoing::Parameters(Arc::clone(parameters)))
            }
            _ => Ok(()),
        }
    }

    /// A round ends while a member has so many pieces of it.
    pub(crate) fn round_ends(&mut self, who: Incarnation, pieces: u32) {
        if let Some(peer) = self.connections.get_mut(&who) {
            peer.late_answers = peer.late_answers.saturating_add(pieces);
        }
    }

    /// A member announces an answer to an earlier round; whether it had a piece of one.
    pub(crate) fn takes_late_answer(&mut self, who: Incarnation) -> bool {
        let Some(peer) = self.connections.get_mut(&who) else { return false };
        let may = peer.late_answers > 0;
        peer.late_answers = peer.late_answers.saturating_sub(1);
        may
    }

    /// An answer of this member was of use.
    pub(crate) fn helped(&mut self, who: Incarnation) {
        if let Some(peer) = self.connections.get_mut(&who) {
            peer.has_helped = true;
        }
    }

    /// Bytes of gradients that have come on a connection.
    pub(crate) fn arrived(&self, connection: u64) -> u64 {
        self.on(connection).and_then(|who| self.connections.get(&who)).map_or(0, |peer| peer.outbox.arrived())
    }

    /// Those to whose connections no byte could be handed for `timeout_us`, though more waits, and for how long.
    pub(crate) fn not_reading(
        &mut self,
        now_us: u64,
        look_us: u64,
        timeout_us: u64,
    ) -> Vec<(Incarnation, u64)> {
        let looks =
            self.connections.iter_mut().map(|(&who, peer)| (who, peer.outbox.stalled_us(now_us, look_us)));
        looks.filter(|&(_, still_us)| still_us >= timeout_us).collect()
    }

    /// All members and spares.
    pub(crate) fn all(&self) -> Vec<Incarnation> {
        self.connections.keys().copied().collect()
    }

    /// Queues a message for every member and spare; returns those that are to be given up, and why.
    pub(crate) fn send_all(&self, message: &CoordinatorMessage) -> Vec<(Incarnation, SendError)> {
        let send = |(&to, _): (&Incarnation, &Connection)| Some((to, self.send(to, message.clone()).err()?));
        self.connections.iter().filter_map(send).collect()
    }

    /// Ends a member's or spare's stream with a last message.
    pub(crate) fn close(&mut self, who: Incarnation, last: CoordinatorMessage) -> Option<Connection> {
        let peer = self.connections.remove(&who)?;
        self.by_connection.remove(&peer.connection);
        // It may be gone already.
        let _ = peer.outbox.send(Outgoing::Message(last));
        Some(peer)
    }
}
