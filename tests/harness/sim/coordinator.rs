//! A simulated coordinator process: the real cluster, driven on the virtual clock.
//!
//! Decides nothing but when messages travel and when the next round begins. A gradient may be announced
//! before it is read, as large ones are; then all that follows it on its connection waits too.

use super::Sabotage;
use super::invariants::{Observation, Violation};
use super::message::{Body, Down, Up, Wake};
use super::plan::Plan;
use super::rules::{Ruled, SimulatedRules};
use super::trainer::Value;
use super::training::{Checkpoint, Training};
use super::value::SimulatedValue;
use super::world::World;
use common::ids::{Incarnation, Instance, ParamsId, SetupId};
use common::protocol::coordinator::{
    Action, AnswerKind, Audit, Cause, Coordinator, Disconnect, Limits, Numerics, ProtocolError, Purpose,
    Refusal,
};
use common::selftest::NumericsDigest;
use coordinator::cluster::{Cluster, Farewell, Introduction, Message, Output, RoundPlan};
use std::collections::{BTreeMap, VecDeque};

/// Longest time from one step to the next: the optimizer.
const APPLY_US: u32 = 5_000;

/// A connection as the coordinator's process sees it.
#[derive(Default)]
struct Link {
    member: Option<Incarnation>,
    /// Messages that wait behind an announced gradient, which is the first of them.
    held: VecDeque<Up>,
}

pub(crate) struct SimCoordinator {
    life: u64,
    cluster: Cluster<SimulatedValue, SimulatedRules>,
    links: BTreeMap<usize, Link>,
    announces: bool,
    pub(crate) training: Training,
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
            limits.answer_timeout_us = u64::MAX;
            limits.answer_timeout_us_min = u64::MAX;
        }
        world.note(|| format!("coordinator: life {life} from {saved:?}"));
        world.saw(&Observation::Born { from: saved })?;
        let numerics = saved.numerics.filter(|_| !world.has(Sabotage::ForgetArithmetic));
        let machine = Coordinator::new(limits, Incarnation(life << 32)).resumed_with(numerics);
        let rules = SimulatedRules::new(machine, world.sabotage);
        world.after(0, Wake::Begin(life));
        world.after(0, Wake::Beat(life));
        Ok(Self {
            life,
            cluster: Cluster::new(world.now_us, rules, &limits, common::ids::Step(saved.step)),
            links: BTreeMap::new(),
            announces: plan.announces,
            training: Training::new(plan, saved),
            tick_us: None,
        })
    }

    pub(crate) fn is_life(&self, life: u64) -> bool {
        self.life == life
    }

    /// The arithmetic with which the operator's next machines must compute.
    pub(crate) fn numerics(&self) -> Option<NumericsDigest> {
        self.cluster.machine().numerics()
    }

    pub(crate) fn connections(&self) -> impl Iterator<Item = usize> {
        self.links.keys().copied()
    }

    /// A message has arrived.
    pub(crate) fn receive(
        &mut self,
        world: &mut World,
        connection: usize,
        message: Up,
    ) -> Result<(), Violation> {
        if self.training.is_done() {
            return Ok(());
        }
        if let Some(link) = self.links.get_mut(&connection).filter(|link| !link.held.is_empty()) {
            link.held.push_back(message);
            return Ok(());
        }
        if self.announces
            && let Up::Answer { round, node, .. } = &message
        {
            let waits = self.cluster.announced(world.now_us, connection as u64, *round, *node);
            if waits {
                self.links.entry(connection).or_default().held.push_back(message);
                self.perform(world, None)?;
                return self.admit(world);
            }
            self.perform(world, None)?;
        }
        self.take(world, connection, message)
    }

    /// Reads a message; a coordinator whose run is over reads no more.
    fn take(&mut self, world: &mut World, connection: usize, message: Up) -> Result<(), Violation> {
        if self.training.is_done() {
            return Ok(());
        }
        let now_us = world.now_us;
        let on = connection as u64;
        if self.cluster.on(on).is_none() && !matches!(message, Up::Hello { .. }) {
            // A connection of an earlier life, or one that was refused or dropped.
            if matches!(message, Up::Answer { .. }) {
                world.report.count("late answer of a dropped member");
            }
            world.down(connection, Down::Ended);
            return Ok(());
        }
        let mut value = None;
        match message {
            Up::Hello { name, instance, threads, numerics } => {
                self.links.insert(connection, Link::default());
                let instance = match world.sabotage {
                    Some(Sabotage::ForgetInstances) => Instance(on),
                    Some(Sabotage::TrustNames) => {
                        Instance(name.bytes().fold(0, |number, byte| number << 8 | u64::from(byte)))
                    }
                    _ => instance,
                };
                self.cluster.hello(now_us, on, Introduction { name, instance, threads, numerics });
            }
            Up::Heartbeat => self.cluster.heard(now_us, on, false),
            Up::Goodbye => self.cluster.left(now_us, on),
            Up::Ended => self.cluster.ended(now_us, on, Disconnect::Closed),
            Up::Answer { body: Body::Garbage, .. } => {
                self.cluster.invalid(now_us, on, ProtocolError::SecondHello);
            }
            Up::Answer { round, node, body } => {
                let answer = SimulatedValue::of(body, world.sabotage);
                value = answer.value.clone();
                let from = self.attribute(world, connection);
                let of = self.cluster.on(from).expect("looked up above");
                self.cluster.answer(now_us, from, of, round, node, answer);
            }
        }
        self.perform(world, value)?;
        self.admit(world)
    }

    /// The connection of whom a saboteur takes the sender for.
    fn attribute(&self, world: &World, connection: usize) -> u64 {
        let others = self.links.keys().copied().filter(|&other| other != connection);
        let mut members = others.filter(|&other| self.cluster.on(other as u64).is_some());
        members.find(|_| world.has(Sabotage::Misattribute)).unwrap_or(connection) as u64
    }

    pub(crate) fn tick(&mut self, world: &mut World) -> Result<(), Violation> {
        self.cluster.tick(world.now_us);
        self.perform(world, None)?;
        self.admit(world)
    }

    pub(crate) fn beat(&mut self, world: &mut World) -> Result<(), Violation> {
        world.after(self.cluster.heartbeat_us(), Wake::Beat(self.life));
        // A stream that waits for the gradient budget counts as alive.
        let waiting = self.links.iter().filter(|(_, link)| !link.held.is_empty());
        for connection in waiting.map(|(&connection, _)| connection as u64).collect::<Vec<_>>() {
            self.cluster.heard(world.now_us, connection, true);
            self.perform(world, None)?;
        }
        self.tick(world)
    }

    pub(crate) fn begin(&mut self, world: &mut World) -> Result<(), Violation> {
        let task = self.training.task();
        self.cluster.at_step(common::ids::Step(task.step));
        let plan = RoundPlan {
            setup: SetupId(0),
            parameters: ParamsId(task.step),
            samples: vec![1; task.leaves as usize],
            kind: AnswerKind::Gradient,
        };
        self.cluster.begin(world.now_us, plan);
        self.perform(world, None)?;
        self.admit(world)
    }

    /// Has gradients read as far as the budget allows, and what waits behind them.
    fn admit(&mut self, world: &mut World) -> Result<(), Violation> {
        self.cluster.admit_gradients(world.now_us, |_| 0);
        self.perform(world, None)
    }

    /// Shows what the rules have done to the invariants, and does what the cluster asks for. `value` is the
    /// answer that the rules have judged, if they have.
    fn perform(&mut self, world: &mut World, value: Option<Value>) -> Result<(), Violation> {
        for (event, actions) in self.cluster.rules().take_ruled() {
            self.show(world, (event, actions), value.as_ref())?;
        }
        self.tick_us = match world.has(Sabotage::NoTicks) {
            true => None,
            false => world.timer_us(self.cluster.machine().next_deadline_us()),
        };
        let mut entered = Vec::new();
        while let Some(output) = self.cluster.next_output() {
            match output {
                Output::Send { connection, message } => self.send(world, connection as usize, &message),
                Output::Close { connection, last } => self.close(world, connection as usize, &last),
                Output::Enter { .. } if world.has(Sabotage::LoseEntrance) => {}
                Output::Enter { connection } => entered.push(connection as usize),
                Output::Tell(_) | Output::Joined { .. } => {}
                Output::Added { inserted, .. } => world.saw(&Observation::Added(inserted))?,
                Output::Complete { sum, .. } => self.complete(world, sum.value)?,
                Output::Anew { .. } => {
                    world.report.count("miscomputing worker found");
                    self.begin_soon(world);
                }
                Output::Disputed { .. } => {
                    world.report.count("workers differ");
                    self.training.stop();
                }
                Output::NonFinite { .. } => {
                    world.report.count("leaf called not finite");
                    self.training.stop();
                }
            }
        }
        entered.into_iter().try_for_each(|connection| self.enter(world, connection))
    }

    /// Reads an announced gradient, and what has come behind it up to the next one.
    fn enter(&mut self, world: &mut World, connection: usize) -> Result<(), Violation> {
        let held = self.links.get_mut(&connection).map(|link| std::mem::take(&mut link.held));
        let mut held = held.unwrap_or_default();
        if let Some(gradient) = held.pop_front() {
            world.report.count("gradient announced");
            self.take(world, connection, gradient)?;
        }
        held.into_iter().try_for_each(|message| self.receive(world, connection, message))
    }

    fn complete(&mut self, world: &mut World, root: Option<Value>) -> Result<(), Violation> {
        self.training.commit(world, self.numerics(), root)?;
        if !self.training.is_done() {
            self.begin_soon(world);
        }
        Ok(())
    }

    fn begin_soon(&self, world: &mut World) {
        let delay_us = u64::from(world.random.below(APPLY_US));
        world.after(delay_us, Wake::Begin(self.life));
    }

    fn send(&mut self, world: &mut World, connection: usize, message: &Message) {
        let link = self.links.entry(connection).or_default();
        let down = match *message {
            Message::Welcome { incarnation, .. } => {
                if link.member.replace(incarnation).is_some() {
                    world.report.count("spare taken in");
                }
                Down::Welcome(incarnation)
            }
            Message::Spare { incarnation, .. } => {
                world.report.count("spare");
                link.member = Some(incarnation);
                Down::Spare
            }
            // There is one setup, which all workers know.
            Message::Setup(_) => return,
            Message::Parameters(_) if world.has(Sabotage::LoseParameters) => return,
            Message::Parameters(_) => Down::Parameters(self.training.task()),
            Message::Piece { round, node, parameters, .. } => Down::Grant(round, node, parameters.0),
            Message::Heartbeat => Down::Heartbeat,
        };
        world.down(connection, down);
    }

    fn close(&mut self, world: &mut World, connection: usize, last: &Farewell) {
        match last {
            Farewell::Refused(refusal) => {
                world.report.count(match refusal {
                    Refusal::Full { .. } => "newcomer above the maximum",
                    Refusal::Numerics { .. } => "worker of other numerics refused",
                    Refusal::NameTaken { .. } => "worker under a taken name refused",
                    Refusal::Quarantined { .. } => "quarantined worker refused",
                    Refusal::Miscomputes => "miscomputing worker refused",
                });
                world.down(connection, Down::Refused { retry: refusal.may_retry() });
            }
            _ => world.down(connection, Down::Dropped),
        }
        world.down(connection, Down::Ended);
        self.links.get_mut(&connection).into_iter().for_each(|link| link.held.clear());
    }

    /// Shows the invariants one event of the rules with its actions, and counts what is notable.
    fn show(
        &mut self,
        world: &mut World,
        (event, actions): Ruled,
        value: Option<&Value>,
    ) -> Result<(), Violation> {
        world.note(|| format!("coordinator: {event:?} -> {actions:?}"));
        let machine = self.cluster.machine();
        world.saw(&Observation::Ruled { event: &event, actions: &actions, machine })?;
        for action in &actions {
            if let Some(kind) = notable(action) {
                world.report.count(kind);
            }
            if let (Action::Accept { from, .. }, Some(value)) = (action, value) {
                let is_it = |(_, link): &(&usize, &Link)| link.member == Some(*from);
                let connection = self.links.iter().find(is_it).map(|(&connection, _)| connection);
                let connection = connection.expect("only members' answers are accepted");
                let task = self.training.task();
                world.saw(&Observation::Accepted { connection, value, task })?;
                self.training.accepted(world, value);
                if world.has(Sabotage::CommitEarly) {
                    self.training.commit(world, self.cluster.machine().numerics(), None)?;
                }
            }
        }
        Ok(())
    }
}

/// What a report counts an action as.
fn notable(action: &Action) -> Option<&'static str> {
    match action {
        Action::Grant { purpose: Purpose::Backup, .. } => Some("copy"),
        Action::Grant { purpose: Purpose::Audit, .. } => Some("audit"),
        Action::Grant { purpose: Purpose::Opinion, .. } => Some("opinion asked"),
        Action::Removed { cause: Cause::Numerics(_), .. } => Some("worker of other numerics removed"),
        Action::Removed { cause: Cause::NoAnswer { .. }, .. } => Some("deaf worker dropped"),
        Action::OtherNumerics { .. } => Some("worker of other numerics let in"),
        Action::AuditWaits => Some("nobody to audit"),
        Action::Doubted { .. } => Some("answer out of line"),
        Action::Confirmed { .. } => Some("answer out of line, given twice"),
        _ => None,
    }
}
