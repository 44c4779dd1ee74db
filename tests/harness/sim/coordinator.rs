//! A simulated coordinator process: the real cluster, driven on the virtual clock.
//!
//! Decides nothing but when messages travel, when runs start and when their next rounds begin. A gradient may
//! be announced before it is read, as large ones are; then all that follows it on its connection waits too.

mod shown;

use super::Sabotage;
use super::identity::Identity;
use super::invariants::{Observation, Violation};
use super::message::{Body, Down, Up, Wake};
use super::plan::{Plan, Start};
use super::rules::SimulatedRules;
use super::trainer::Value;
use super::training::{Checkpoint, Training};
use super::value::SimulatedValue;
use super::world::World;
use common::ids::{Incarnation, ParamsId, Process, Round, SetupId, Step};
use common::protocol::coordinator::{
    AnswerKind, Audit, Coordinator, Disconnect, Limits, Numerics, ProtocolError, Refusal,
};
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
    /// Every run, numbered by its setup.
    trainings: Vec<Training>,
    /// The run of each round.
    rounds: BTreeMap<Round, SetupId>,
    pub(crate) tick_us: Option<u64>,
}

impl SimCoordinator {
    pub(crate) fn start(
        world: &mut World,
        plan: &Plan,
        life: u64,
        saved: &[Checkpoint],
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
        world.saw(&Observation::Born)?;
        let machine = Coordinator::new(limits, Incarnation(life << 32));
        let rules = SimulatedRules::new(machine, world.sabotage);
        world.after(0, Wake::Beat(life));
        let trainings = saved.iter().enumerate();
        let trainings = trainings.map(|(run, &saved)| Training::new(plan, SetupId(run as u32), saved));
        let mut coordinator = Self {
            life,
            cluster: Cluster::new(world.now_us, rules, &limits),
            links: BTreeMap::new(),
            announces: plan.announces,
            trainings: trainings.collect(),
            rounds: BTreeMap::new(),
            tick_us: None,
        };
        coordinator.perform(world, None)?;
        coordinator.start_runs(world);
        Ok(coordinator)
    }

    /// Starts the runs whose time has come, and sets a time for those that wait for one.
    fn start_runs(&mut self, world: &mut World) {
        for at in 0..self.trainings.len() {
            let are_others_over = self.trainings[..at].iter().all(Training::is_done);
            let Training { run, start, has_begun, .. } = self.trainings[at];
            if has_begun || self.trainings[at].is_done() {
                continue;
            }
            let delay_us = match start {
                Start::AtOnce => 0,
                Start::After { us } => us,
                Start::AfterTheOthers if are_others_over => 0,
                Start::AfterTheOthers => continue,
            };
            self.trainings[at].has_begun = true;
            world.after(delay_us, Wake::Begin(self.life, run));
        }
    }

    /// Whether every run is over.
    pub(crate) fn is_done(&self) -> bool {
        self.trainings.iter().all(Training::is_done)
    }

    /// The last checkpoint of each run.
    pub(crate) fn saved(&self) -> Vec<Checkpoint> {
        self.trainings.iter().map(|training| training.saved).collect()
    }

    fn training(&mut self, run: SetupId) -> &mut Training {
        &mut self.trainings[run.0 as usize]
    }

    pub(crate) fn is_life(&self, life: u64) -> bool {
        self.life == life
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
        if self.is_done() {
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
        if self.is_done() {
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
            Up::Hello { name, identity, threads, numerics } => {
                self.links.insert(connection, Link::default());
                let Identity { process, address } = identity.as_seen(world.sabotage, on, &name);
                let Process { key, instance } = process;
                let hello = Introduction { name, key, instance, address, threads, numerics };
                self.cluster.hello(now_us, on, hello);
            }
            Up::Heartbeat => self.cluster.heard(now_us, on, false),
            Up::Goodbye => self.cluster.left(now_us, on),
            Up::Ended => self.cluster.ended(now_us, on, Disconnect::Closed),
            Up::Answer { body: Body::Garbage, .. } => {
                self.cluster.invalid(now_us, on, ProtocolError::SecondHello);
            }
            Up::Answer { setup, round, node, body } => {
                let answer = SimulatedValue::of(setup, body, world.sabotage);
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

    /// Begins the next round of a run, or begins the one in progress anew.
    pub(crate) fn begin(&mut self, world: &mut World, run: SetupId) -> Result<(), Violation> {
        if self.training(run).is_done() {
            return Ok(());
        }
        let task = self.training(run).task();
        self.cluster.at_step(run, Step(task.step));
        let plan = RoundPlan {
            setup: run,
            parameters: ParamsId(task.step),
            samples: vec![1; task.leaves as usize],
            kind: AnswerKind::Gradient,
        };
        let is_alone = self.rounds.values().all(|&other| other == run);
        let round = self.cluster.begin(world.now_us, plan);
        self.rounds.insert(round, run);
        if !is_alone {
            world.report.count("round of another run");
        }
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
                Output::Tell { .. } | Output::Joined { .. } => {}
                Output::Added { inserted, .. } => world.saw(&Observation::Added(inserted))?,
                Output::Complete { run, sum, .. } => self.complete(world, run, sum.value)?,
                Output::Anew { run, .. } => {
                    world.report.count("miscomputing worker found");
                    self.begin_soon(world, run);
                }
                Output::Disputed { run, .. } => {
                    world.report.count("workers differ");
                    self.stop(world, run)?;
                }
                Output::NonFinite { run, .. } => {
                    world.report.count("leaf called not finite");
                    self.stop(world, run)?;
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

    fn complete(&mut self, world: &mut World, run: SetupId, root: Option<Value>) -> Result<(), Violation> {
        self.training(run).commit(world, root)?;
        if self.training(run).is_done() {
            return self.end_run(world, run);
        }
        self.begin_soon(world, run);
        Ok(())
    }

    /// Stops a run for a fault that was found.
    fn stop(&mut self, world: &mut World, run: SetupId) -> Result<(), Violation> {
        self.training(run).stop();
        self.end_run(world, run)
    }

    fn end_run(&mut self, world: &mut World, run: SetupId) -> Result<(), Violation> {
        self.start_runs(world);
        if !self.is_done() {
            world.report.count("run over before another");
            self.cluster.end_run(world.now_us, run);
            self.perform(world, None)?;
        }
        Ok(())
    }

    fn begin_soon(&self, world: &mut World, run: SetupId) {
        let delay_us = u64::from(world.random.below(APPLY_US));
        world.after(delay_us, Wake::Begin(self.life, run));
    }

    fn send(&mut self, world: &mut World, connection: usize, message: &Message) {
        let down = match *message {
            Message::Welcome { incarnation, .. } => {
                let link = self.links.entry(connection).or_default();
                if link.member.replace(incarnation).is_some() {
                    world.report.count("spare taken in");
                }
                Down::Welcome(incarnation)
            }
            Message::Spare { incarnation, .. } => {
                world.report.count("spare");
                self.links.entry(connection).or_default().member = Some(incarnation);
                Down::Spare
            }
            Message::Setup(_) if world.has(Sabotage::LoseSetup) => return,
            Message::Setup(run) => Down::Setup(run),
            Message::Forget(run) => Down::Forget(run),
            Message::Parameters(..) if world.has(Sabotage::LoseParameters) => return,
            Message::Parameters(run, _) => Down::Parameters(self.training(run).task()),
            Message::Piece { round, node, setup, parameters } => Down::Grant(round, node, setup, parameters),
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
                    Refusal::KeyQuarantined => "worker with a quarantined key refused",
                });
                world.down(connection, Down::Refused { retry: refusal.may_retry() });
            }
            _ => world.down(connection, Down::Dropped),
        }
        world.down(connection, Down::Ended);
        self.links.get_mut(&connection).into_iter().for_each(|link| link.held.clear());
    }
}
