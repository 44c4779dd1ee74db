//! Injection of faults. A fault that finds no target is not counted.

use super::invariants::{Observation, Violation};
use super::message::{Trouble, Wake};
use super::network::{Break, Partition};
use super::plan::Fault;
use super::run::Run;
use common::protocol::worker::Event;

impl Run {
    pub(crate) fn inject(&mut self, fault: Fault) -> Result<(), Violation> {
        self.world.note(|| format!("fault: {fault:?}"));
        match fault {
            Fault::Crash { who, how, back } => self.crash_one(who, how, back),
            Fault::Cut { who, how } => self.cut(who, how),
            Fault::Freeze { who, for_us } => {
                if let Some(id) = self.pick(who).filter(|&id| !self.workers[id].frozen) {
                    self.workers[id].frozen = true;
                    self.world.after(for_us, Wake::Thaw(id));
                    self.world.report.count("worker frozen");
                }
            }
            // Counted when the answer is sent.
            Fault::Spoil { who, how, answers } => {
                let struck = self.pick(who);
                let other = struck.filter(|_| how.is_alike()).map(|first| self.kin(first));
                let struck = struck.into_iter().chain(other);
                struck.for_each(|id| self.workers[id].spoil = Some((how, answers)));
            }
            Fault::Miscompute { who } => {
                if let Some(id) = self.pick(who) {
                    self.workers[id].miscomputes = true;
                    self.world.saw(&Observation::Miscomputes { name: &self.workers[id].name })?;
                }
            }
            Fault::Leave { who } => {
                if let Some(id) = self.pick(who).filter(|&id| !self.workers[id].frozen) {
                    self.world.report.count("worker left");
                    self.workers[id].feed(&mut self.world, Event::Leave)?;
                }
            }
            Fault::Newcomer => {
                self.start_newcomer();
                self.world.report.count("newcomer");
            }
            Fault::Impostor { who } => {
                if let Some(victim) = self.pick(who) {
                    self.start_impostor(victim);
                }
            }
            Fault::Slow { who, for_us } => {
                if let Some(id) = self.pick(who) {
                    self.workers[id].slowed = true;
                    self.world.after(for_us, Wake::Recover(id));
                    self.world.report.count("worker slowed");
                }
            }
            Fault::Deafen { who, workers, for_us } => self.deafen(who, workers, for_us),
            Fault::Lag { by_us, for_us } => {
                self.world.network.conditions.lag_us = by_us;
                self.world.after(for_us, Wake::Calm(Trouble::Lag));
                self.world.report.count("network slowed");
            }
            Fault::Repeat { for_us } => {
                self.world.network.conditions.repeats = true;
                self.world.after(for_us, Wake::Calm(Trouble::Repeats));
                self.world.report.count("network repeats messages");
            }
            Fault::Reorder { for_us } => {
                self.world.network.conditions.reorders = true;
                self.world.after(for_us, Wake::Calm(Trouble::Disorder));
                self.world.report.count("network reorders messages");
            }
            Fault::Partition { workers, loses, for_us } => self.partition(workers, loses, for_us),
            Fault::CoordinatorCrash { how, down_us } => self.crash_coordinator(how, down_us),
        }
        Ok(())
    }

    /// Starts a worker that claims another one's name or, for every second, only its process.
    fn start_impostor(&mut self, victim: usize) {
        let id = self.workers.len();
        let steals = self.plan.has_keys;
        match steals && id.is_multiple_of(2) {
            true => self.start_newcomer(),
            false => self.start_worker(self.workers[victim].name.clone()),
        }
        self.world.report.count("impostor");
        if steals {
            self.workers[id].identity = self.workers[victim].identity.stolen_by(id);
            self.world.report.count("impostor that claims a process");
        }
    }

    /// Makes a number of workers deaf, beginning with `who`.
    fn deafen(&mut self, who: u32, workers: u32, for_us: Option<u64>) {
        let picked = (0..workers).filter_map(|next| self.pick(who.wrapping_add(next)));
        let picked: Vec<usize> = picked.filter(|&id| !self.workers[id].deaf).collect();
        if picked.len() > 1 {
            self.world.report.count("several workers deaf at once");
        }
        for id in picked {
            self.workers[id].deaf = true;
            self.world.report.count("worker deaf");
            for_us.into_iter().for_each(|for_us| self.world.after(for_us, Wake::Hear(id)));
        }
    }

    /// The live worker with number `who`, modulo their number.
    fn pick(&self, who: u32) -> Option<usize> {
        let alive: Vec<usize> = (0..self.workers.len()).filter(|&id| !self.workers[id].over).collect();
        alive.get(who as usize % alive.len().max(1)).copied()
    }

    /// The next live worker of the same origin, or the next at all.
    fn kin(&self, of: usize) -> usize {
        let alive = |id: &usize| !self.workers[*id].over;
        let next = || (of + 1..self.workers.len()).chain(0..of).filter(alive);
        let is_kin = |&id: &usize| !self.workers[id].identity.is_elsewhere(&self.workers[of].identity);
        next().find(is_kin).or(next().next()).unwrap_or(of)
    }

    /// Kills a worker's process.
    pub(crate) fn crash(&mut self, id: usize, how: Break) {
        self.workers[id].over = true;
        if let Some(connection) = self.workers[id].connection.take() {
            self.world.cut(connection, how);
        }
    }

    fn crash_one(&mut self, who: u32, how: Break, back: Option<(u64, bool)>) {
        let Some(id) = self.pick(who) else { return };
        self.crash(id, how);
        let worker = &self.workers[id];
        match back {
            Some((after_us, true)) => {
                self.world.after(after_us, Wake::StartWorker(worker.name.clone()));
                self.world.report.count("worker crashed, back under its name");
            }
            Some((after_us, false)) => {
                self.world.after(after_us, Wake::StartWorker(format!("{}'", worker.name)));
                self.world.report.count("worker crashed, back under another name");
            }
            None => self.world.report.count("worker crashed for good"),
        }
    }

    fn cut(&mut self, who: u32, how: Break) {
        let Some(connection) = self.pick(who).and_then(|id| self.workers[id].connection) else { return };
        self.world.cut(connection, how);
        self.world.report.count(match how {
            Break::Reset => "connection cut, both learn",
            Break::Silent => "connection dead, nobody learns",
            Break::SilentUp => "connection half open, upwards dead",
            Break::SilentDown => "connection half open, downwards dead",
        });
    }

    fn partition(&mut self, workers: u32, loses: bool, for_us: u64) {
        let partition = Partition { workers, until_us: self.world.now_us + for_us, loses };
        self.world.network.conditions.partition = Some(partition);
        self.world.after(for_us, Wake::Calm(Trouble::Partition));
        if !loses {
            self.world.report.count("workers cut off, messages late");
            return;
        }
        self.world.report.count("workers cut off, messages lost");
        let cut_off =
            self.workers.iter().enumerate().filter(|(id, worker)| !worker.over && partition.holds(*id));
        for connection in cut_off.filter_map(|(_, worker)| worker.connection) {
            self.world.cut(connection, Break::Silent);
        }
    }

    fn crash_coordinator(&mut self, how: Break, down_us: u64) {
        let Some(coordinator) = self.coordinator.take() else { return };
        self.saved = coordinator.saved();
        coordinator.connections().for_each(|connection| self.world.cut(connection, how));
        self.world.after(down_us, Wake::StartCoordinator);
        self.world.report.count("coordinator crashed");
    }
}
