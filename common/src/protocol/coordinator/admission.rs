//! Who is let in, and who is not.

use super::{Action, Cause, Coordinator, Member, Refusal};
use crate::ids::{Incarnation, Rank};
use std::collections::{BTreeMap, BTreeSet};

/// Who knocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Newcomer {
    pub(super) connection: u64,
    pub(super) name: String,
    pub(super) threads: u32,
}

impl Coordinator {
    pub(super) fn join(&mut self, now_us: u64, newcomer: Newcomer, actions: &mut Vec<Action>) {
        let connection = newcomer.connection;
        if self.offences.is_quarantined(&newcomer.name) {
            actions.push(Action::Refuse { connection, refusal: Refusal::Quarantined });
            return;
        }
        let earlier = self.members.iter().find(|(_, m)| m.name == newcomer.name).map(|(&i, _)| i);
        if let Some(earlier) = earlier {
            self.remove(earlier, Cause::Replaced, actions);
        }
        if self.members.len() as u32 >= self.limits.max {
            actions.push(Action::Refuse { connection, refusal: Refusal::Full { max: self.limits.max } });
            return;
        }
        let incarnation = Incarnation(self.next_incarnation);
        self.next_incarnation += 1;
        self.admit(now_us, incarnation, newcomer, actions);
    }

    /// Gives a place to a newcomer; there must be one.
    fn admit(
        &mut self,
        now_us: u64,
        incarnation: Incarnation,
        newcomer: Newcomer,
        actions: &mut Vec<Action>,
    ) {
        let Newcomer { connection, name, threads } = newcomer;
        let taken = |rank: &u32| self.members.values().any(|m| m.rank.0 == *rank);
        let rank = Rank((0..self.limits.max).find(|r| !taken(r)).unwrap_or(self.limits.max));
        let member = Member {
            name,
            rank,
            threads: threads.max(1),
            last_heard_us: now_us,
            leaf_us: None,
            pieces: BTreeMap::new(),
            answered: BTreeSet::new(),
        };
        self.members.insert(incarnation, member);
        actions.push(Action::Welcome { connection, incarnation, rank });
    }
}
