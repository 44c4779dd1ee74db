//! Which worker is on which connection, and what each has been sent. Decides nothing.

use common::ids::{Incarnation, ParamsId, Rank, SetupId};
use std::collections::BTreeMap;

/// Times that an answer to a piece may be announced. A message that arrives twice is no offence: the task
/// may, and so may each answer.
const ANNOUNCEMENTS: usize = 4;

/// A member or a spare, as its connection goes.
#[derive(Debug)]
pub(super) struct ConnectedWorker {
    pub(super) name: String,
    /// Slot of a member; a spare has none.
    pub(super) rank: Option<Rank>,
    pub(super) connection: u64,
    /// Whether an answer of this worker was of use.
    pub(super) has_helped: bool,
    /// Setups that it was sent, each with the newest parameters that it was sent of it.
    sent: BTreeMap<SetupId, Option<ParamsId>>,
    /// Announcements that may still come of answers to earlier rounds.
    late_answers: u32,
    /// Whether it has been told of that this worker is late.
    is_told_late: bool,
}

/// All connections that have said hello.
#[derive(Debug, Default)]
pub(super) struct Connections {
    /// Connections that wait for a verdict on their hello, with their names.
    joining: BTreeMap<u64, String>,
    workers: BTreeMap<Incarnation, ConnectedWorker>,
    by_connection: BTreeMap<u64, Incarnation>,
}

impl Connections {
    /// Remembers a connection until it is admitted or refused.
    pub(super) fn greet(&mut self, connection: u64, name: String) {
        self.joining.insert(connection, name);
    }

    /// Makes a greeted connection a spare. Returns its name.
    pub(super) fn keep(&mut self, connection: u64, incarnation: Incarnation) -> Option<String> {
        let name = self.joining.remove(&connection)?;
        let worker = ConnectedWorker {
            name: name.clone(),
            rank: None,
            connection,
            has_helped: false,
            sent: BTreeMap::new(),
            late_answers: 0,
            is_told_late: false,
        };
        self.workers.insert(incarnation, worker);
        self.by_connection.insert(connection, incarnation);
        Some(name)
    }

    /// Makes a greeted connection, or a spare, a member. Returns its name.
    pub(super) fn admit(&mut self, connection: u64, incarnation: Incarnation, rank: Rank) -> Option<String> {
        // `None` where it was a spare already.
        let _ = self.keep(connection, incarnation);
        let worker = self.workers.get_mut(&incarnation)?;
        worker.rank = Some(rank);
        Some(worker.name.clone())
    }

    /// Forgets a greeted connection that is refused. Returns its name.
    pub(super) fn refuse(&mut self, connection: u64) -> Option<String> {
        self.joining.remove(&connection)
    }

    /// The member or spare on a connection.
    pub(super) fn on(&self, connection: u64) -> Option<Incarnation> {
        self.by_connection.get(&connection).copied()
    }

    /// The connection of a member or spare.
    pub(super) fn of(&self, who: Incarnation) -> Option<u64> {
        self.workers.get(&who).map(|worker| worker.connection)
    }

    /// A member or spare.
    pub(super) fn get(&self, who: Incarnation) -> Option<&ConnectedWorker> {
        self.workers.get(&who)
    }

    /// Notes that a member is late. Returns whether that is news.
    pub(super) fn is_news_that_late(&mut self, who: Incarnation) -> bool {
        self.workers.get_mut(&who).is_some_and(|worker| !std::mem::replace(&mut worker.is_told_late, true))
    }

    /// Notes that a member is sent a setup. Returns whether it lacked it.
    pub(super) fn lacks_setup(&mut self, who: Incarnation, setup: SetupId) -> bool {
        let Some(worker) = self.workers.get_mut(&who) else { return false };
        let lacks = !worker.sent.contains_key(&setup);
        worker.sent.entry(setup).or_default();
        lacks
    }

    /// Notes that a member is sent parameters of a setup. Returns whether it lacked them.
    pub(super) fn lacks_parameters(&mut self, who: Incarnation, setup: SetupId, id: ParamsId) -> bool {
        let Some(worker) = self.workers.get_mut(&who) else { return false };
        worker.sent.insert(setup, Some(id)).flatten() != Some(id)
    }

    /// Forgets that workers were sent a setup. Returns the connections of those that were.
    pub(super) fn forget_setup(&mut self, setup: SetupId) -> Vec<u64> {
        let sent = self.workers.values_mut().filter_map(|worker| {
            worker.sent.remove(&setup)?;
            Some(worker.connection)
        });
        sent.collect()
    }

    /// Notes that a round ends while a member holds so many pieces of it, and has answered so many.
    pub(super) fn round_ends(&mut self, who: Incarnation, held: usize, answered: usize) {
        if let Some(worker) = self.workers.get_mut(&who) {
            let may_come = ANNOUNCEMENTS * held + (ANNOUNCEMENTS - 1) * answered;
            worker.late_answers = worker.late_answers.saturating_add(may_come as u32);
        }
    }

    /// Notes that a member announces an answer to an earlier round. Returns whether it had a piece of one.
    pub(super) fn takes_late_answer(&mut self, who: Incarnation) -> bool {
        let Some(worker) = self.workers.get_mut(&who) else { return false };
        let may = worker.late_answers > 0;
        worker.late_answers = worker.late_answers.saturating_sub(1);
        may
    }

    /// Notes that an answer of this member was of use.
    pub(super) fn helped(&mut self, who: Incarnation) {
        self.workers.get_mut(&who).into_iter().for_each(|worker| worker.has_helped = true);
    }

    /// Connections of all members and spares.
    pub(super) fn all(&self) -> Vec<u64> {
        self.workers.values().map(|worker| worker.connection).collect()
    }

    /// Forgets a member or spare.
    pub(super) fn remove(&mut self, who: Incarnation) -> Option<ConnectedWorker> {
        let worker = self.workers.remove(&who)?;
        self.by_connection.remove(&worker.connection);
        Some(worker)
    }
}
