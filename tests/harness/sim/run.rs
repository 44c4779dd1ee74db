//! One simulated world: passes each event to its process, heals the world at its time, and ends with the last
//! step of the last run.

use super::coordinator::SimCoordinator;
use super::invariants::{Able, Observation, Violation};
use super::message::{Down, Wake};
use super::network::{Break, Conditions};
use super::plan::Plan;
use super::training::Checkpoint;
use super::worker::SimulatedWorker;
use super::world::World;
use super::{Report, Sabotage};
use common::ids::SetupId;
use common::protocol::worker::Event;
use common::selftest::NumericsDigest;
use std::collections::{BTreeSet, VecDeque};

pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) world: World,
    pub(crate) coordinator: Option<SimCoordinator>,
    /// Last checkpoint of each run of a dead coordinator.
    pub(crate) saved: Vec<Checkpoint>,
    lives: u64,
    pub(crate) workers: Vec<SimulatedWorker>,
    names: u32,
    /// Workers that nothing keeps from answering.
    able: Vec<Able>,
}

impl Run {
    pub(crate) fn new(plan: Plan, sabotage: Option<Sabotage>) -> Self {
        let mut world = World::new(&plan, sabotage);
        world.after(0, Wake::StartCoordinator);
        for &(at_us, fault) in &plan.faults {
            world.events.enter(at_us, Wake::Fault(fault));
        }
        world.events.enter(plan.heal_us, Wake::Heal);
        let workers = plan.workers;
        let saved = (0..plan.runs.len() as u32).map(|run| Checkpoint::none(SetupId(run))).collect();
        let mut run = Self {
            plan,
            world,
            coordinator: None,
            saved,
            lives: 0,
            workers: Vec::new(),
            names: 0,
            able: Vec::new(),
        };
        if run.plan.visitor {
            run.start_visitor();
        }
        (0..workers).for_each(|_| run.start_newcomer());
        run
    }

    /// Keeps the last lines of the run's trace.
    pub(crate) fn traced(mut self) -> Self {
        self.world.trace = Some(VecDeque::new());
        self
    }

    pub(crate) fn finish(mut self) -> Result<Report, Violation> {
        let end = loop {
            if self.coordinator.as_ref().is_some_and(|coordinator| coordinator.is_done()) {
                break Ok(());
            }
            if let Err(violation) = self.step() {
                break Err(violation);
            }
        };
        let Self { mut world, .. } = self;
        if let Err(mut violation) = end {
            for line in world.trace.into_iter().flatten() {
                violation.trace.push_str(&line);
                violation.trace.push('\n');
            }
            return Err(violation);
        }
        world.report.runs = 1;
        world.report.virtual_us = world.now_us;
        (world.report.events, world.report.slowest_percent) = world.watch.usage(world.now_us);
        Ok(world.report)
    }

    /// Advances to the next event or deadline.
    fn step(&mut self) -> Result<(), Violation> {
        let ticks = self.workers.iter().enumerate().filter(|(_, worker)| !worker.frozen && !worker.over);
        let ticks = ticks.filter_map(|(id, worker)| Some((worker.tick_us?, Some(id))));
        let coordinator =
            self.coordinator.as_ref().and_then(|coordinator| Some((coordinator.tick_us?, None)));
        let tick = ticks.chain(coordinator).min();
        let wake_us = self.world.events.next_us();
        let Some(next_us) = tick.map(|(at_us, _)| at_us).into_iter().chain(wake_us).min() else {
            return Err(Violation::new("the_run_ends", "nothing will ever happen again"));
        };
        // The deadline of a worker that was frozen lies in the past.
        self.world.now_us = self.world.now_us.max(next_us);
        self.note_able();
        self.world.watch.saw(self.world.now_us, &Observation::Woke { able: &self.able })?;
        match tick {
            Some((at_us, who)) if wake_us.is_none_or(|wake_us| at_us < wake_us) => match who {
                Some(id) => self.workers[id].feed(&mut self.world, Event::Tick),
                None => {
                    self.coordinator.as_mut().map_or(Ok(()), |coordinator| coordinator.tick(&mut self.world))
                }
            },
            _ => {
                let wake = self.world.events.pop();
                wake.map_or(Ok(()), |wake| self.handle(wake))
            }
        }
    }

    /// Reports which workers are able to answer.
    fn note_able(&mut self) {
        let Self { world, workers, able, coordinator, .. } = self;
        let is_able = |connection: usize| {
            let worker = &workers[world.network.worker(connection)];
            let is_well = !worker.over && !worker.frozen && !worker.deaf && worker.spoil.is_none();
            is_well && worker.connection == Some(connection) && world.network.is_whole(connection)
        };
        able.retain(|able| coordinator.is_some() && is_able(able.connection));
        let connections = workers.iter().filter_map(|worker| worker.connection);
        for connection in connections.filter(|&connection| coordinator.is_some() && is_able(connection)) {
            if !able.iter().any(|known| known.connection == connection) {
                let leaf_us = workers[world.network.worker(connection)].leaf_us_max();
                able.push(Able { connection, since_us: world.now_us, leaf_us });
            }
        }
    }

    fn handle(&mut self, wake: Wake) -> Result<(), Violation> {
        if !self.world.network.arrives(&wake) {
            return Ok(());
        }
        let world = &mut self.world;
        match wake {
            Wake::Up { connection, message, .. } => match &mut self.coordinator {
                Some(coordinator) => coordinator.receive(world, connection, message)?,
                None => world.down(connection, Down::Ended),
            },
            Wake::Down { connection, .. } => {
                let worker = world.network.worker(connection);
                self.pass_to(worker, wake)?;
            }
            Wake::LeafDone { worker, .. } => self.pass_to(worker, wake)?,
            Wake::Beat(life) => {
                if let Some(coordinator) =
                    self.coordinator.as_mut().filter(|coordinator| coordinator.is_life(life))
                {
                    coordinator.beat(world)?;
                }
            }
            Wake::Begin(life, run) => {
                if let Some(coordinator) =
                    self.coordinator.as_mut().filter(|coordinator| coordinator.is_life(life))
                {
                    coordinator.begin(world, run)?;
                }
            }
            Wake::Fault(fault) => self.inject(fault)?,
            Wake::Thaw(id) => self.thaw(id)?,
            Wake::Hear(id) => self.hear(id)?,
            Wake::Recover(id) => self.workers[id].slowed = false,
            Wake::Calm(trouble) => world.network.conditions.calm(trouble, world.now_us),
            Wake::StartWorker(name) => self.start_worker(name),
            Wake::StartNewcomer => self.start_newcomer(),
            Wake::StartCoordinator => self.start_coordinator()?,
            Wake::Heal => self.heal()?,
        }
        Ok(())
    }

    fn pass_to(&mut self, id: usize, wake: Wake) -> Result<(), Violation> {
        let worker = &mut self.workers[id];
        if worker.over {
            return Ok(());
        }
        if worker.frozen {
            worker.stash.push(wake);
            return Ok(());
        }
        if worker.deaf && matches!(wake, Wake::LeafDone { .. }) {
            worker.held.push(wake);
            return Ok(());
        }
        match wake {
            Wake::Down { connection, message, .. } => worker.receive(&mut self.world, connection, message),
            Wake::LeafDone { piece, leaf, .. } => worker.leaf_done(&mut self.world, piece, leaf),
            _ => Ok(()),
        }
    }

    /// Lets a frozen worker run on, with its deadline first or with the events that arrived meanwhile.
    fn thaw(&mut self, id: usize) -> Result<(), Violation> {
        let worker = &mut self.workers[id];
        if !worker.frozen || worker.over {
            return Ok(());
        }
        worker.frozen = false;
        let stash = std::mem::take(&mut worker.stash);
        if self.world.random.below(2) == 0 {
            worker.feed(&mut self.world, Event::Tick)?;
        }
        stash.into_iter().try_for_each(|wake| self.handle(wake))
    }

    /// Lets a deaf worker's threads run on with the leaves in progress.
    fn hear(&mut self, id: usize) -> Result<(), Violation> {
        let worker = &mut self.workers[id];
        worker.deaf = false;
        std::mem::take(&mut worker.held).into_iter().try_for_each(|wake| self.handle(wake))
    }

    pub(crate) fn start_newcomer(&mut self) {
        self.names += 1;
        self.start_worker(format!("w{}", self.names));
    }

    pub(crate) fn start_worker(&mut self, name: String) {
        // At last an operator brings machines that the run can admit: otherwise it would wait for ever.
        let fit = self.plan.limits.promised;
        let differs = self.world.now_us < self.plan.heal_us && self.world.random.below(8) == 0;
        self.start(name, NumericsDigest(fit.0 ^ u64::from(differs)));
    }

    fn start_visitor(&mut self) {
        self.start("visitor".to_owned(), NumericsDigest(self.plan.limits.promised.0 ^ 1));
        self.workers.last_mut().into_iter().for_each(|worker| worker.leaves = true);
    }

    fn start(&mut self, name: String, numerics: NumericsDigest) {
        let worker = SimulatedWorker::new(&mut self.world, &self.plan, self.workers.len(), name, numerics);
        self.workers.push(worker);
    }

    /// Ends all workers of one name but the first: they would wait for the name as long as it lives.
    fn end_impostors(&mut self) {
        let mut names = BTreeSet::new();
        for id in 0..self.workers.len() {
            if !self.workers[id].over && !names.insert(self.workers[id].name.clone()) {
                self.crash(id, Break::Reset);
            }
        }
    }

    fn start_coordinator(&mut self) -> Result<(), Violation> {
        if self.coordinator.is_none() {
            self.lives += 1;
            self.coordinator =
                Some(SimCoordinator::start(&mut self.world, &self.plan, self.lives, &self.saved)?);
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<(), Violation> {
        self.start_coordinator()?;
        self.world.network.conditions = Conditions::default();
        for id in 0..self.workers.len() {
            self.workers[id].spoil = None;
            self.workers[id].slowed = false;
            self.workers[id].leaves = false;
            self.thaw(id)?;
            self.hear(id)?;
        }
        self.end_impostors();
        let alive = self.workers.iter().filter(|worker| !worker.over).count() as u32;
        (alive..self.plan.limits.start).for_each(|_| self.start_newcomer());
        self.world.saw(&Observation::Healed)
    }
}
