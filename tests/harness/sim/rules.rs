//! The real rules with an ear to them, and with a saboteur's mistakes in what they return.

use super::Sabotage;
use common::ids::Round;
use common::protocol::coordinator::{Action, Coordinator, Event, Member, Piece, Purpose, Verdict};
use common::reduce::tree::Node;
use coordinator::cluster::Rules;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Delay of a saboteur's clock.
const CLOCK_LATE_US: u64 = 100_000;

/// An event that the rules have taken, and the actions that they have returned.
pub(crate) type Ruled = (Event, Vec<Action>);

#[derive(Debug)]
pub(crate) struct SimulatedRules {
    machine: Coordinator,
    sabotage: Option<Sabotage>,
    /// A saboteur's list of who has called which leaf not finite in which round.
    accusers: BTreeSet<(Round, u32, String)>,
    /// A saboteur's list of the first answer to each piece.
    first: BTreeMap<(Round, Node), (String, u32)>,
    /// What has happened since it was last asked for.
    ruled: RefCell<Vec<Ruled>>,
}

impl SimulatedRules {
    pub(crate) fn new(machine: Coordinator, sabotage: Option<Sabotage>) -> Self {
        Self {
            machine,
            sabotage,
            accusers: BTreeSet::new(),
            first: BTreeMap::new(),
            ruled: RefCell::default(),
        }
    }

    /// What has happened since it was last asked for.
    pub(crate) fn take_ruled(&self) -> Vec<Ruled> {
        self.ruled.take()
    }

    fn has(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    /// What a saboteur makes of the first answers that are not finite, and of the first two that differ.
    fn accused(&mut self, event: &Event) -> Option<Action> {
        let needed = match (self.has(Sabotage::BelieveOne), self.has(Sabotage::NoThirdOpinion)) {
            (true, _) => 1,
            (_, true) => 2,
            _ => return None,
        };
        let &Event::Result { from, round, node, verdict } = event else { return None };
        let (_, member) = self.machine.members().find(|&(who, member)| {
            who == from && member.pieces().any(|piece| piece == Piece { round, node })
        })?;
        let name = member.name.clone();
        match verdict {
            Verdict::NonFinite { .. } if node.level == 0 => {
                self.accusers.insert((round, node.index, name));
                let of_leaf =
                    self.accusers.iter().filter(|(at, leaf, _)| (*at, *leaf) == (round, node.index));
                let workers: Vec<String> = of_leaf.map(|(.., name)| name.clone()).collect();
                (workers.len() == needed).then_some(Action::NonFinite { round, leaf: node.index, workers })
            }
            Verdict::Finite { checksum } if needed == 2 => {
                let first = self.first.entry((round, node)).or_insert((name.clone(), checksum));
                let workers = vec![first.0.clone(), name];
                (first.1 != checksum).then_some(Action::Disputed { round, node, workers })
            }
            _ => None,
        }
    }
}

impl Rules for SimulatedRules {
    fn on_event(&mut self, now_us: u64, event: Event) -> Vec<Action> {
        if event == Event::Tick && self.has(Sabotage::NoTicks) {
            return Vec::new();
        }
        let is_late = event == Event::Tick && self.has(Sabotage::LateClock);
        let accused = self.accused(&event);
        let clock_us = if is_late { now_us.saturating_sub(CLOCK_LATE_US) } else { now_us };
        let mut actions = self.machine.on_event(clock_us, event.clone());
        actions.extend(accused);
        self.spoil(&mut actions);
        self.ruled.borrow_mut().push((event, actions.clone()));
        actions
    }

    fn machine(&self) -> &Coordinator {
        &self.machine
    }
}

impl SimulatedRules {
    fn spoil(&self, actions: &mut Vec<Action>) {
        if self.has(Sabotage::CopyToDeaf) {
            let at_work = |(_, member): &(_, &Member)| member.pieces().next().is_some();
            for action in actions.iter_mut() {
                if let Action::Grant { to, purpose: Purpose::Backup, .. } = action {
                    let mut others = self.machine.members().filter(|(who, _)| who != to);
                    *to = others.find(at_work).map_or(*to, |(who, _)| who);
                }
            }
        }
        if self.has(Sabotage::ForgetSpares)
            && let Some(at) = actions.iter().position(|action| matches!(action, Action::Removed { .. }))
        {
            let is_welcome = |action: &Action| matches!(action, Action::Welcome { .. });
            actions.extract_if(at.., |action| is_welcome(action)).for_each(drop);
        }
        if self.has(Sabotage::LoseCopies) {
            actions.retain(|action| !matches!(action, Action::Grant { purpose: Purpose::Backup, .. }));
        }
        if self.has(Sabotage::LoseGrant)
            && let Some(lost) = actions.iter().position(|action| matches!(action, Action::Grant { .. }))
        {
            actions.remove(lost);
        }
        if self.has(Sabotage::Hoard) {
            let mut grants = actions.iter_mut().filter_map(|action| match action {
                Action::Grant { to, .. } => Some(to),
                _ => None,
            });
            let hoarder = grants.next().copied();
            grants.for_each(|to| *to = hoarder.unwrap_or(*to));
        }
        if self.has(Sabotage::KeepReturned) {
            for action in actions {
                if let Action::Removed { returned, .. } = action {
                    returned.clear();
                }
            }
        }
    }
}
