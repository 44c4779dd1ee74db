//! Runs that diverge one after the other on two workers: each is recognised soon, and no worker is dropped
//! for it, whatever the order of events.

use super::*;
use crate::rng::Stream;
use std::collections::{BTreeMap, VecDeque};

/// Runs that diverge at the same time.
const AT_A_TIME: u32 = 2;
/// Runs of one simulation.
const RUNS: u32 = 12;
/// Leaves of a round.
const LEAVES: u32 = 4;
/// Longest time of a round that is not finite: that of the slowest leaves.
const SOON_US: u64 = 30_000_000;
/// Simulations, each with another order of events.
const SEEDS: u64 = 500;

/// A worker as its process goes.
#[derive(Default)]
struct Process {
    member: Option<Incarnation>,
    /// When it dials, while it is no member.
    dials_us: u64,
    /// What it computes, and when the first is done.
    pieces: VecDeque<(Round, Node)>,
    done_us: u64,
}

struct World {
    machine: Coordinator,
    now_us: u64,
    chance: Stream,
    workers: [Process; 2],
    /// The round of each run, which is its step, and when it began.
    runs: BTreeMap<SetupId, (Round, u32, u64)>,
    next_round: u64,
    next_run: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let limits = Limits { start: 2, max: 2, may_diverge: true, ..LIMITS };
        let mut world = Self {
            machine: Coordinator::new(limits, Incarnation(1)),
            now_us: 0,
            chance: Stream::new(seed, "diverging", &[]),
            workers: Default::default(),
            runs: BTreeMap::new(),
            next_round: 0,
            next_run: 0,
        };
        (0..AT_A_TIME).for_each(|_| world.begin_run());
        world
    }

    /// Time for a piece, now and then a long one.
    fn piece_us(&mut self) -> u64 {
        let us = 200 + u64::from(self.chance.below(20_000));
        if self.chance.below(8) == 0 { us * 150 } else { us }
    }

    fn begin_run(&mut self) {
        if self.next_run < RUNS {
            let run = SetupId(self.next_run);
            self.next_run += 1;
            self.begin_round(run, 0);
        }
    }

    fn begin_round(&mut self, run: SetupId, step: u32) {
        let round = Round(self.next_round);
        self.next_round += 1;
        self.runs.insert(run, (round, step, self.now_us));
        self.feed(Event::Begin { run, round, leaves: LEAVES });
    }

    fn feed(&mut self, event: Event) {
        let actions = self.machine.on_event(self.now_us, event);
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Welcome { connection, incarnation, .. } => {
                self.workers[connection as usize].member = Some(incarnation);
            }
            Action::Grant { to, round, node, .. } => {
                let us = self.piece_us();
                let now_us = self.now_us;
                let worker = self.workers.iter_mut().find(|worker| worker.member == Some(to)).unwrap();
                if worker.pieces.is_empty() {
                    worker.done_us = now_us + us;
                }
                worker.pieces.push_back((round, node));
            }
            Action::Complete(round) => {
                let (run, step) = self.of(round);
                self.begin_round(run, step + 1);
            }
            Action::NonFinite { round, .. } => {
                let (run, _) = self.of(round);
                self.runs.remove(&run);
                // Workers forget it.
                for worker in &mut self.workers {
                    worker.pieces.retain(|&(at, _)| at != round);
                }
                self.feed(Event::End(run));
                self.begin_run();
            }
            Action::Removed { .. } | Action::Disputed { .. } | Action::Refuse { .. } => panic!("{action:?}"),
            _ => {}
        }
    }

    /// Each leaf of a later step is finite, out of line or not finite; the first is not.
    fn verdict(&self, round: Round, node: Node) -> Verdict {
        let checksum = node.index << 8 | u32::from(node.level);
        let step = self.runs.values().find(|(open, ..)| *open == round).map_or(1, |run| run.1);
        let leaves = node.index << node.level..(node.index + 1) << node.level;
        let kind = |leaf: u32| match (step, leaf) {
            (0, _) => 0,
            (_, 3) => 2,
            (step, leaf) => Stream::new(round.0 * 7 + u64::from(step), "kind", &[leaf.into()]).below(3),
        };
        match leaves.map(kind).max() {
            Some(2) => Verdict::NonFinite { checksum },
            Some(1) => Verdict::OutOfLine { checksum },
            _ => Verdict::Finite { checksum },
        }
    }

    fn of(&self, round: Round) -> (SetupId, u32) {
        let found = self.runs.iter().find(|(_, (at, ..))| *at == round);
        let (&run, &(_, step, _)) = found.unwrap();
        (run, step)
    }

    /// Goes to the next thing that happens, and lets it.
    fn step(&mut self) {
        let due = |worker: &Process| match worker.member {
            None => worker.dials_us,
            Some(_) if worker.pieces.is_empty() => u64::MAX,
            Some(_) => worker.done_us,
        };
        let dues = [due(&self.workers[0]), due(&self.workers[1])];
        let tick_us = self.machine.next_deadline_us().unwrap_or(u64::MAX);
        let at = usize::from(dues[1] < dues[0]);
        if tick_us < dues[at] {
            self.now_us = self.now_us.max(tick_us);
            return self.feed(Event::Tick);
        }
        assert!(dues[at] < u64::MAX, "nothing happens any more at {}", self.now_us);
        self.now_us = self.now_us.max(dues[at]);
        // Heartbeats.
        for who in [0, 1].map(|at: usize| self.workers[at].member).into_iter().flatten() {
            self.feed(Event::Heard(who));
        }
        match self.workers[at].member {
            None => {
                let name = ["one", "two"][at].to_owned();
                let instance = instance(&name);
                let numerics = NumericsDigest(7);
                let connection = at as u64;
                let (key, address) = (None, None);
                self.feed(Event::Join { connection, name, key, instance, address, threads: 1, numerics });
            }
            Some(from) => {
                let us = self.piece_us();
                let Some((round, node)) = self.workers[at].pieces.pop_front() else { return };
                self.workers[at].done_us = self.now_us + us;
                let verdict = self.verdict(round, node);
                self.feed(Event::Result { from, round, node, verdict });
            }
        }
    }
}

#[test]
fn runs_that_diverge_are_recognised_soon_and_cost_no_worker_whatever_the_order() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        while !world.runs.is_empty() {
            world.step();
            let late = world
                .runs
                .values()
                .find(|(_, step, began_us)| *step > 0 && world.now_us > began_us + SOON_US);
            assert!(late.is_none(), "seed {seed}: {late:?} at {}", world.now_us);
        }
    }
}
