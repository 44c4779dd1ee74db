//! A simulated coordinator process: the shell around its machine.
//!
//! Decides which connection is which member, when parameters travel, and when the next round begins.

use super::Sabotage;
use super::invariants::{Observation, Violation};
use super::message::{Body, Down, Up, Wake};
use super::plan::Plan;
use super::trainer::{USUAL, Value};
use super::training::{Checkpoint, Training};
use super::world::World;
use common::ids::{Incarnation, Instance, Round};
use common::protocol::coordinator::{
    Action, Audit, Cause, Coordinator, Disconnect, Event, Limits, Member, Numerics, ProtocolError, Purpose,
    Refusal, Verdict,
};
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;
use std::collections::{BTreeMap, BTreeSet};

/// From one step to the next, at most: the optimizer.
const APPLY_US: u32 = 5_000;

#[derive(Default)]
struct Link {
    /// Of the member or spare.
    member: Option<Incarnation>,
    /// The round whose parameters were sent last.
    told: Option<Round>,
}

pub(crate) struct SimCoordinator {
    life: u64,
    machine: Coordinator,
    links: BTreeMap<usize, Link>,
    link_of: BTreeMap<Incarnation, usize>,
    heartbeat_us: u64,
    pub(crate) training: Training,
    rounds: u64,
    /// A saboteur's: who has called which leaf not finite in which round.
    accusers: BTreeSet<(Round, u32, String)>,
    /// A saboteur's: the first answer to each piece.
    first: BTreeMap<(Round, Node), (String, u32)>,
    pub(crate) tick_us: Option<u64>,
}

impl SimCoordinator {
    pub(crate) fn start(
        world: &mut World,
        plan: &Plan,
        life: u64,
        saved: Checkpoint,
    ) -> Result<Self, Violation> {
        let over = u32::from(world.has(Sabotage::Overbook));
        let rule = match world.has(Sabotage::IgnoreNumerics) {
            true => Numerics::Relaxed,
            false => plan.limits.numerics,
        };
        let audit = if world.has(Sabotage::SkipAudits) { Audit::NONE } else { plan.limits.audit };
        let mut limits = Limits { max: plan.limits.max + over, numerics: rule, audit, ..plan.limits };
        if world.has(Sabotage::KeepDeaf) {
            (limits.answer_timeout_us, limits.answer_timeout_us_min) = (u64::MAX, u64::MAX);
        }
        world.note(|| format!("coordinator: life {life} from {saved:?}"));
        world.saw(&Observation::Born { from: saved })?;
        let numerics = saved.numerics.filter(|_| !world.has(Sabotage::ForgetArithmetic));
        world.after(0, Wake::Begin(life));
        world.after(0, Wake::Beat(life));
        Ok(Self {
            life,
            machine: Coordinator::new(limits, Incarnation(life << 32)).resumed_with(numerics),
            links: BTreeMap::new(),
            link_of: BTreeMap::new(),
            heartbeat_us: plan.pulse.heartbeat_us,
            training: Training::new(plan, saved),
            rounds: 0,
            accusers: BTreeSet::new(),
            first: BTreeMap::new(),
            tick_us: None,
        })
    }

    pub(crate) fn is_life(&self, life: u64) -> bool {
        self.life == life
    }

    /// What the operator's next machines must compute with.
    pub(crate) fn numerics(&self) -> Option<NumericsDigest> {
        self.machine.numerics()
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = usize> {
        self.links.keys().copied()
    }

    pub(crate) fn receive(
        &mut self,
        world: &mut World,
        connection: usize,
        message: Up,
    ) -> Result<(), Violation> {
        if let Up::Hello { name, instance, threads, numerics } = message {
            self.links.insert(connection, Link::default());
            let instance = match world.sabotage {
                Some(Sabotage::ForgetInstances) => Instance(connection as u64),
                Some(Sabotage::TrustNames) => {
                    Instance(name.bytes().fold(0, |number, byte| number << 8 | u64::from(byte)))
                }
                _ => instance,
            };
            return self.feed(
                world,
                Event::Join { connection: connection as u64, name, instance, threads, numerics },
                None,
            );
        }
        let Some(from) = self.links.get(&connection).and_then(|link| link.member) else {
            // A connection of an earlier life, or one that was refused.
            world.down(connection, Down::Ended);
            return Ok(());
        };
        match message {
            Up::Hello { .. } => Ok(()),
            Up::Heartbeat => self.feed(world, Event::Heard(from), None),
            Up::Goodbye => self.feed(world, Event::Leave(from), None),
            Up::Ended => self.feed(world, Event::Gone(from, Disconnect::Closed), None),
            Up::Answer { body: Body::Garbage, .. } => {
                self.feed(world, Event::Invalid(from, ProtocolError::SecondHello), None)
            }
            Up::Answer { round, node, body } => {
                let (verdict, value) = match body {
                    Body::Value(value) => (verdict(world, &value), Some(value)),
                    Body::NonFinite { checksum } => (Verdict::NonFinite { checksum }, None),
                    Body::Garbage => return Ok(()),
                };
                if let Some(value) = value.as_ref().filter(|value| !self.fits(round, node, value)) {
                    let samples =
                        ProtocolError::Samples { node, expected: 0, got: value.leaves.len() as u64 };
                    return self.feed(world, Event::Invalid(from, samples), None);
                }
                let from = self.attribute(world, from);
                self.feed(world, Event::Result { from, round, node, verdict }, value)
            }
        }
    }

    /// Whether an answer to this round has as many samples as its piece: the real shell looks at no more either.
    fn fits(&self, round: Round, node: Node, value: &Value) -> bool {
        let is_current = round.0 + 1 == self.rounds;
        let below = self.training.tree().filter(|_| is_current).map(|tree| tree.leaves_below(node));
        below.is_none_or(|below| below.len() == value.leaves.len())
    }

    fn attribute(&self, world: &World, from: Incarnation) -> Incarnation {
        let other = self.machine.members().map(|(member, _)| member).find(|&member| member != from);
        other.filter(|_| world.has(Sabotage::Misattribute)).unwrap_or(from)
    }

    pub(crate) fn tick(&mut self, world: &mut World) -> Result<(), Violation> {
        self.feed(world, Event::Tick, None)
    }

    pub(crate) fn beat(&mut self, world: &mut World) {
        for &connection in self.link_of.values() {
            world.down(connection, Down::Heartbeat);
        }
        world.after(self.heartbeat_us, Wake::Beat(self.life));
    }

    pub(crate) fn begin(&mut self, world: &mut World) -> Result<(), Violation> {
        let round = Round(self.rounds);
        self.rounds += 1;
        self.training.begin();
        self.feed(world, Event::Begin { round, leaves: self.training.task().leaves }, None)
    }

    fn feed(&mut self, world: &mut World, event: Event, value: Option<Value>) -> Result<(), Violation> {
        let late_us = if world.has(Sabotage::LateClock) && event == Event::Tick { 100_000 } else { 0 };
        let accused = self.accused(world, &event);
        let mut actions = self.machine.on_event(world.now_us.saturating_sub(late_us), event.clone());
        actions.extend(accused);
        world.note(|| format!("coordinator: {event:?} -> {actions:?}"));
        sabotage(world, &self.machine, &mut actions);
        self.tick_us = match world.has(Sabotage::NoTicks) {
            true => None,
            false => world.timer_us(self.machine.next_deadline_us()),
        };
        world.saw(&Observation::Ruled { event: &event, actions: &actions, machine: &self.machine })?;
        let mut value = value;
        for action in actions {
            self.act(world, action, &mut value)?;
        }
        Ok(())
    }

    /// What a saboteur makes of the first answers that are not finite, and of the first two that differ.
    fn accused(&mut self, world: &World, event: &Event) -> Option<Action> {
        let needed = match (world.has(Sabotage::BelieveOne), world.has(Sabotage::NoThirdOpinion)) {
            (true, _) => 1,
            (_, true) => 2,
            _ => return None,
        };
        let &Event::Result { from, round, node, verdict } = event else { return None };
        let (_, member) = self
            .machine
            .members()
            .find(|&(who, member)| who == from && member.pieces().any(|piece| piece == node))?;
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

    fn act(&mut self, world: &mut World, action: Action, value: &mut Option<Value>) -> Result<(), Violation> {
        match action {
            Action::Welcome { .. } | Action::Spare { .. } | Action::Refuse { .. } => {
                self.answer_newcomer(world, action)
            }
            Action::Grant { to, round, node, purpose } => {
                match purpose {
                    Purpose::Primary => {}
                    Purpose::Backup => world.report.count("copy"),
                    Purpose::Audit => world.report.count("audit"),
                    Purpose::Opinion => world.report.count("opinion asked"),
                }
                let connection = self.link_of[&to];
                let link = self.links.entry(connection).or_default();
                if link.told.replace(round) != Some(round) {
                    world.down(connection, Down::Parameters(self.training.task()));
                }
                world.down(connection, Down::Grant(round, node, self.training.task().step));
            }
            Action::Accept { from, node } => {
                let value = value.take().expect("a finite answer has a value");
                let connection = self.link_of[&from];
                let task = self.training.task();
                world.saw(&Observation::Accepted { connection, value: &value, task })?;
                self.training.add(world, node, value)?;
                if world.has(Sabotage::CommitEarly) {
                    self.training.commit(world, self.machine.numerics())?;
                }
            }
            Action::Removed { member, cause, .. } => {
                match cause {
                    Cause::Numerics(_) => world.report.count("worker of other numerics removed"),
                    Cause::NoAnswer { .. } => world.report.count("deaf worker dropped"),
                    _ => {}
                }
                if let Some(connection) = self.link_of.remove(&member) {
                    world.down(connection, Down::Dropped);
                    world.down(connection, Down::Ended);
                }
            }
            Action::Complete(_) => {
                self.training.commit(world, self.machine.numerics())?;
                if !self.training.is_done() {
                    let delay_us = u64::from(world.random.below(APPLY_US));
                    world.after(delay_us, Wake::Begin(self.life));
                }
            }
            Action::Discard { from } if !self.link_of.contains_key(&from) => {
                world.report.count("late answer of a dropped member");
            }
            Action::OtherNumerics { .. } => world.report.count("worker of other numerics let in"),
            Action::Discard { .. } | Action::Waiting { .. } | Action::Quarantined { .. } => {}
            Action::AuditWaits => world.report.count("nobody to audit"),
            Action::Anew { .. } => {
                world.report.count("miscomputing worker found");
                let delay_us = u64::from(world.random.below(APPLY_US));
                world.after(delay_us, Wake::Begin(self.life));
            }
            Action::Disputed { .. } => {
                world.report.count("workers differ");
                self.training.stop();
            }
            Action::Doubted { .. } => world.report.count("answer out of line"),
            Action::Confirmed { .. } => world.report.count("answer out of line, given twice"),
            Action::NonFinite { .. } => {
                world.report.count("leaf called not finite");
                self.training.stop();
            }
        }
        Ok(())
    }

    fn answer_newcomer(&mut self, world: &mut World, action: Action) {
        match action {
            Action::Welcome { connection, incarnation, .. } => {
                let connection = connection as usize;
                self.links.insert(connection, Link { member: Some(incarnation), told: None });
                if self.link_of.insert(incarnation, connection).is_some() {
                    world.report.count("spare taken in");
                }
                world.down(connection, Down::Welcome(incarnation));
            }
            Action::Spare { connection, incarnation, .. } => {
                world.report.count("spare");
                let connection = connection as usize;
                self.links.insert(connection, Link { member: Some(incarnation), told: None });
                self.link_of.insert(incarnation, connection);
                world.down(connection, Down::Spare);
            }
            Action::Refuse { connection, refusal } => {
                world.report.count(match refusal {
                    Refusal::Full { .. } => "newcomer above the maximum",
                    Refusal::Numerics { .. } => "worker of other numerics refused",
                    Refusal::NameTaken { .. } => "worker under a taken name refused",
                    Refusal::Quarantined { .. } => "quarantined worker refused",
                    Refusal::Miscomputes => "miscomputing worker refused",
                });
                world.down(connection as usize, Down::Refused { retry: refusal.may_retry() });
                world.down(connection as usize, Down::Ended);
            }
            _ => {}
        }
    }
}

/// What the real shell takes from the bytes.
fn verdict(world: &World, value: &Value) -> Verdict {
    let checksum = if world.has(Sabotage::EqualChecksums) { 0 } else { value.checksum() };
    match value.peak > USUAL && !world.has(Sabotage::IgnoreTheLine) {
        true => Verdict::OutOfLine { checksum },
        false => Verdict::Finite { checksum },
    }
}

fn sabotage(world: &World, machine: &Coordinator, actions: &mut Vec<Action>) {
    if world.has(Sabotage::CopyToDeaf) {
        let at_work = |(_, member): &(_, &Member)| member.pieces().next().is_some();
        for action in actions.iter_mut() {
            if let Action::Grant { to, purpose: Purpose::Backup, .. } = action {
                let mut others = machine.members().filter(|(who, _)| who != to);
                *to = others.find(at_work).map_or(*to, |(who, _)| who);
            }
        }
    }
    if world.has(Sabotage::ForgetSpares)
        && let Some(at) = actions.iter().position(|action| matches!(action, Action::Removed { .. }))
    {
        let is_welcome = |action: &Action| matches!(action, Action::Welcome { .. });
        actions.extract_if(at.., |action| is_welcome(action)).for_each(drop);
    }
    if world.has(Sabotage::LoseCopies) {
        actions.retain(|action| !matches!(action, Action::Grant { purpose: Purpose::Backup, .. }));
    }
    if world.has(Sabotage::LoseGrant)
        && let Some(lost) = actions.iter().position(|action| matches!(action, Action::Grant { .. }))
    {
        actions.remove(lost);
    }
    if world.has(Sabotage::Hoard) {
        let mut grants = actions.iter_mut().filter_map(|action| match action {
            Action::Grant { to, .. } => Some(to),
            _ => None,
        });
        let hoarder = grants.next().copied();
        grants.for_each(|to| *to = hoarder.unwrap_or(*to));
    }
    if world.has(Sabotage::KeepReturned) {
        for action in actions {
            if let Action::Removed { returned, .. } = action {
                returned.clear();
            }
        }
    }
}
