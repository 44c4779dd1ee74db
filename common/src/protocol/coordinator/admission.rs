//! Admission of workers: who becomes a member, who a spare, who is refused.
//!
//! 1. A process is known by the key that its connection has proved and its instance, the random number of its
//!    hello. A second connection of the same process replaces the first, which may be half open. Who claims
//!    another worker's instance without its key is another process: it replaces nothing. Workers that share a
//!    token have the same key, and so do connections without one: there the instance alone tells, which is
//!    random and told to nobody.
//! 2. A name is a label for people. While one process has a name, another with that name is refused for now,
//!    whatever its key. It gets the name when the first is gone.
//! 3. What a process does is counted against it alone, never against its name, or against another process of
//!    the same instance. `keys` says when it is counted against the key.

use super::opinions::Witness;
use super::{Action, Cause, Coordinator, Limits, Member, Numerics, Refusal};
use crate::ids::{Incarnation, Network, Process, Rank};
use crate::selftest::NumericsDigest;
use std::collections::{BTreeMap, BTreeSet};

/// A worker that asks for a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Newcomer {
    pub(super) connection: u64,
    pub(super) name: String,
    pub(super) process: Process,
    pub(super) address: Option<Network>,
    pub(super) threads: u32,
    pub(super) numerics: NumericsDigest,
}

impl Newcomer {
    pub(super) fn witness(&self) -> Witness {
        let Self { name, process, address, numerics, .. } = self;
        Witness { name: name.clone(), process: *process, address: *address, numerics: *numerics }
    }
}

/// A worker that waits for a place. It already has the incarnation that it will have as a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spare {
    pub(super) newcomer: Newcomer,
    pub(super) last_heard_us: u64,
}

impl Coordinator {
    pub(super) fn join(&mut self, now_us: u64, newcomer: Newcomer, actions: &mut Vec<Action>) {
        let connection = newcomer.connection;
        let refuse = |refusal| Action::Refuse { connection, refusal };
        if let Some(refusal) = self.objection(&newcomer) {
            actions.push(refuse(refusal));
            return;
        }
        let name = newcomer.name.clone();
        let process = newcomer.process;
        if let Some(differs) = self.differs(newcomer.numerics) {
            actions.push(Action::OtherNumerics { name, differs });
        }
        let earlier = self.connected().find(|&(_, _, other)| other == process).map(|(who, ..)| who);
        if let Some(earlier) = earlier {
            self.remove(earlier, Cause::Replaced, actions);
        }
        let Limits { max, spares: spares_max, .. } = self.limits;
        let has_place = self.has_place();
        let ahead = self.spares.len() as u32;
        if !has_place && ahead >= spares_max {
            actions.push(refuse(Refusal::Full { max, spares: spares_max }));
            return;
        }
        let incarnation = Incarnation(self.next_incarnation);
        self.next_incarnation += 1;
        if has_place {
            self.admit(now_us, incarnation, newcomer, actions);
        } else {
            self.spares.insert(incarnation, Spare { newcomer, last_heard_us: now_us });
            actions.push(Action::Spare { connection, incarnation, ahead });
        }
    }

    /// The reason to refuse a newcomer, however many places are free.
    fn objection(&self, newcomer: &Newcomer) -> Option<Refusal> {
        let Newcomer { name, process, numerics, .. } = newcomer;
        if self.offences.is_quarantined(*process) {
            return Some(Refusal::Quarantined { name: name.clone() });
        }
        if self.miscomputers.has(*process) {
            return Some(Refusal::Miscomputes);
        }
        if self.keys.is_quarantined(process.key) {
            return Some(Refusal::KeyQuarantined);
        }
        if self.limits.numerics == Numerics::Strict
            && let Some(differs) = self.differs(*numerics)
        {
            return Some(Refusal::Numerics(differs));
        }
        let is_taken = self.connected().any(|(_, taken, by)| taken == name && by != *process);
        is_taken.then(|| Refusal::NameTaken { name: name.clone() })
    }

    /// Every member and spare, with its name and its process.
    fn connected(&self) -> impl Iterator<Item = (Incarnation, &String, Process)> {
        let members = self.members.iter().map(|(&who, member)| (who, &member.name, member.process));
        let spares = self.spares.iter().map(|(&who, spare)| (who, &spare.newcomer));
        members.chain(spares.map(|(who, spare)| (who, &spare.name, spare.process)))
    }

    /// Admits spares, the oldest first, while places are free.
    pub(super) fn fill_places(&mut self, actions: &mut Vec<Action>) {
        while self.has_place()
            && let Some((incarnation, Spare { newcomer, last_heard_us })) = self.spares.pop_first()
        {
            self.admit(last_heard_us, incarnation, newcomer, actions);
        }
    }

    fn has_place(&self) -> bool {
        (self.members.len() as u32) < self.limits.max
    }

    /// Gives a newcomer a place; one must be free.
    fn admit(
        &mut self,
        last_heard_us: u64,
        incarnation: Incarnation,
        newcomer: Newcomer,
        actions: &mut Vec<Action>,
    ) {
        let Newcomer { connection, name, process, address, threads, numerics } = newcomer;
        let taken: BTreeSet<u32> = self.members.values().map(|member| member.rank.0).collect();
        let rank = Rank((0..self.limits.max).find(|rank| !taken.contains(rank)).unwrap_or(self.limits.max));
        let member = Member {
            name,
            process,
            address,
            rank,
            threads: threads.max(1),
            numerics,
            last_heard_us,
            speeds: BTreeMap::new(),
            owes: None,
            pieces: BTreeMap::new(),
            prefetched: None,
            answered: BTreeSet::new(),
        };
        self.members.insert(incarnation, member);
        actions.push(Action::Welcome { connection, incarnation, rank });
    }
}
