//! A simulated worker process: the driver of its machine, and threads whose leaves take time.
//!
//! Like the real driver it takes messages of its present connection only. A leaf in progress is finished even
//! if nobody needs it any more.

use super::Sabotage;
use super::identity::Identity;
use super::invariants::{Observation, Violation};
use super::message::{Body, Down, Task, Up, Wake};
use super::plan::{Fault, Plan, Spoiled};
use super::trainer::{Basis, Value};
use super::world::World;
use common::ids::{Incarnation, ParamsId, Round, SetupId};
use common::protocol::worker::{Action, Event, Exit, Pulse, Timing, Worker};
use common::reduce::tree::{Inserted, Node, Reduction, Tree};
use common::selftest::NumericsDigest;
use std::collections::{BTreeMap, VecDeque};

/// Factor by which a slow machine's leaf takes longer than a fast one's.
const SLOW_TIMES: u64 = 10;
/// Factor by which a slowed worker's leaf takes longer than a fast one's.
pub(crate) const SLOWED_TIMES: u64 = 20;
/// Time after which a worker that gave up is started again.
const RESTART_US: u64 = 500_000;

struct Piece {
    incarnation: Incarnation,
    round: Round,
    node: Node,
    basis: Basis,
    reduction: Option<Reduction<Value>>,
}

pub(crate) struct SimulatedWorker {
    id: usize,
    pub(crate) name: String,
    pub(crate) identity: Identity,
    threads: u32,
    numerics: NumericsDigest,
    /// Approximate times for a leaf, usually and while slowed.
    leaf_us: u64,
    slowed_leaf_us: u64,
    /// Whether workers are slowed in this run.
    is_ever_slowed: bool,
    /// How many times as long the leaves of each run take.
    leaf_times: Vec<u64>,
    pulse: Pulse,
    machine: Worker,
    pub(crate) connection: Option<usize>,
    /// The newest parameters of each setup that it was sent.
    tasks: BTreeMap<SetupId, Option<Task>>,
    /// The run of the piece that has just arrived.
    arrived: SetupId,
    pieces: Vec<Piece>,
    /// Leaves that wait for a thread.
    queue: VecDeque<(usize, u32)>,
    busy: u32,
    finished: BTreeMap<(Round, Node), Value>,
    pub(crate) slowed: bool,
    /// How, and how many of, its next answers are spoiled.
    pub(crate) spoil: Option<(Spoiled, u32)>,
    /// Whether its arithmetic has a fault.
    pub(crate) miscomputes: bool,
    /// Whether it leaves as soon as it is admitted.
    pub(crate) leaves: bool,
    pub(crate) frozen: bool,
    /// Events that arrived while it was frozen.
    pub(crate) stash: Vec<Wake>,
    /// Whether its compute threads are stopped: it sends heartbeats, reads, and never answers.
    pub(crate) deaf: bool,
    /// Leaves that its stopped threads had in progress.
    pub(crate) held: Vec<Wake>,
    pub(crate) tick_us: Option<u64>,
    /// Whether the process has ended.
    pub(crate) over: bool,
}

impl SimulatedWorker {
    pub(crate) fn new(
        world: &mut World,
        plan: &Plan,
        id: usize,
        name: String,
        numerics: NumericsDigest,
    ) -> Self {
        let timing = Timing {
            join_timeout_us: plan.join_timeout_us,
            give_up_us: plan.give_up_us,
            idle_exit_us: None,
            jitter_seed: u64::from(world.random.bits32()),
        };
        let is_slow = world.random.below(4) == 0;
        Self {
            id,
            name,
            identity: Identity::new(id, plan.has_keys),
            threads: 1 + world.random.below(4),
            numerics,
            leaf_us: u64::from(plan.leaf_us) * if is_slow { SLOW_TIMES } else { 1 },
            slowed_leaf_us: u64::from(plan.leaf_us) * SLOWED_TIMES,
            is_ever_slowed: plan.faults.iter().any(|(_, fault)| matches!(fault, Fault::Slow { .. })),
            leaf_times: plan.runs.iter().map(|run| run.leaf_times).collect(),
            pulse: plan.pulse,
            machine: Worker::new(world.now_us, timing),
            connection: None,
            tasks: BTreeMap::new(),
            arrived: SetupId(0),
            pieces: Vec::new(),
            queue: VecDeque::new(),
            busy: 0,
            finished: BTreeMap::new(),
            slowed: false,
            spoil: None,
            miscomputes: false,
            leaves: false,
            frozen: false,
            stash: Vec::new(),
            deaf: false,
            held: Vec::new(),
            tick_us: Some(world.now_us),
            over: false,
        }
    }

    /// Longest time of a leaf of any run.
    pub(crate) fn leaf_us_max(&self) -> u64 {
        let usual_us = if self.is_ever_slowed { self.slowed_leaf_us } else { self.leaf_us };
        let times = self.leaf_times.iter().max().copied().unwrap_or(1);
        usual_us * times * 3 / 2
    }

    pub(crate) fn receive(
        &mut self,
        world: &mut World,
        connection: usize,
        message: Down,
    ) -> Result<(), Violation> {
        if self.connection != Some(connection) {
            return Ok(());
        }
        let event = match message {
            Down::Welcome(incarnation) => Event::Welcome(incarnation, self.pulse),
            Down::Spare => Event::Spare(self.pulse),
            Down::Refused { retry: true } => Event::Lost("refused for now".into()),
            Down::Refused { retry: false } => Event::Refused("refused".into()),
            Down::Heartbeat => Event::Heard,
            Down::Setup(run) => {
                self.tasks.insert(run, None);
                Event::Heard
            }
            Down::Forget(run) => {
                self.tasks.remove(&run);
                Event::RunOver(run)
            }
            Down::Parameters(task) => match self.tasks.get_mut(&task.run) {
                Some(newest) => {
                    *newest = Some(task);
                    Event::Heard
                }
                None => {
                    world.report.count("parameters without their setup");
                    Event::Lost(format!("parameters of setup {}, which is not known", task.run))
                }
            },
            Down::Grant(round, node, run, parameters) => self.given(world, round, node, run, parameters),
            Down::Dropped => Event::Lost("dropped".into()),
            Down::Ended => Event::Lost("the stream ended".into()),
        };
        let is_in = matches!(event, Event::Welcome(..) | Event::Spare(_));
        self.feed(world, event)?;
        if self.leaves && is_in {
            world.report.count("worker left at its welcome");
            return self.feed(world, Event::Leave);
        }
        Ok(())
    }

    /// A piece has arrived; it needs these parameters.
    fn given(
        &mut self,
        world: &mut World,
        round: Round,
        node: Node,
        run: SetupId,
        parameters: ParamsId,
    ) -> Event {
        let fits = self.tasks.get(&run).copied().flatten().is_some_and(|task| {
            let is_ignored = world.has(Sabotage::IgnoreVersions);
            task.step == parameters.0 || is_ignored && Tree::new(task.leaves).contains(node)
        });
        if fits {
            self.arrived = run;
            return Event::Grant(run, round, node);
        }
        world.report.count("piece without its parameters");
        Event::Lost(format!("piece {node} needs parameters {parameters} of setup {run}"))
    }

    pub(crate) fn leaf_done(&mut self, world: &mut World, piece: usize, leaf: u32) -> Result<(), Violation> {
        self.busy -= 1;
        let work = &mut self.pieces[piece];
        let mut value = Value::of_leaf(work.basis, leaf);
        if self.miscomputes {
            world.report.count("miscomputed leaf");
            value = value.miscomputed(self.id);
        }
        if leaf == 0 && world.has(Sabotage::LoseLeaf) {
            value.leaves.fill(u32::MAX);
        }
        let reduction = work.reduction.as_mut().expect("a piece is complete with its last leaf only");
        if reduction.insert(Node::leaf(leaf), value, |_, left, right| left.add(right)) == Inserted::Complete {
            let value = work.reduction.take().and_then(Reduction::into_result);
            let incarnation = work.incarnation;
            let round = work.round;
            let node = work.node;
            self.finished.insert((round, node), value.expect("the reduction is complete"));
            self.feed(world, Event::Computed(incarnation, round, node))?;
        }
        self.start_leaves(world);
        Ok(())
    }

    pub(crate) fn feed(&mut self, world: &mut World, event: Event) -> Result<(), Violation> {
        let actions = self.machine.on_event(world.now_us, event.clone());
        world.note(|| format!("{}: {event:?} -> {actions:?}", self.name));
        self.tick_us = world.timer_us(self.machine.next_deadline_us());
        world.saw(&Observation::Worked { event: &event, machine: &self.machine })?;
        for action in actions {
            self.act(world, action)?;
        }
        Ok(())
    }

    fn act(&mut self, world: &mut World, action: Action) -> Result<(), Violation> {
        match action {
            Action::Dial => {
                let connection = world.network.dial(self.id);
                self.connection = Some(connection);
                let identity = self.identity;
                world.saw(&Observation::Dialled { connection, name: &self.name, identity })?;
                let name = self.name.clone();
                let threads = self.threads;
                let numerics = self.numerics;
                self.send(world, Up::Hello { name, identity, threads, numerics });
            }
            Action::Heartbeat => self.send(world, Up::Heartbeat),
            Action::Compute(incarnation, round, node)
                if world.has(Sabotage::RelabelStale) && self.finished.contains_key(&(round, node)) =>
            {
                self.feed(world, Event::Computed(incarnation, round, node))?;
            }
            Action::Compute(incarnation, round, node) => self.compute(world, incarnation, round, node),
            Action::Forget(_) if world.has(Sabotage::ForgetOtherRuns) => self.queue.clear(),
            Action::Forget(round) => self.queue.retain(|&(piece, _)| self.pieces[piece].round != round),
            Action::Reset(_) => self.close(world),
            Action::Send(round, node) => {
                let value =
                    self.finished.remove(&(round, node)).expect("what was computed is kept until now");
                self.answer(world, round, node, value)?;
            }
            Action::Drop(round, node) if !world.has(Sabotage::RelabelStale) => {
                self.finished.remove(&(round, node));
            }
            Action::Drop(..) => {}
            Action::Goodbye => self.send(world, Up::Goodbye),
            Action::Exit(why) => {
                self.over = true;
                self.close(world);
                match why {
                    Exit::GaveUp { .. } => {
                        world.report.count("worker gave up");
                        world.after(RESTART_US, Wake::StartWorker(self.name.clone()));
                    }
                    // The operator replaces the machine by another one.
                    Exit::Refused(_) => world.after(RESTART_US, Wake::StartNewcomer),
                    Exit::Left | Exit::Finished | Exit::Idle { .. } => {}
                }
            }
        }
        Ok(())
    }

    fn compute(&mut self, world: &mut World, incarnation: Incarnation, round: Round, node: Node) {
        let mut task = self.tasks[&self.arrived].expect("parameters come before pieces");
        if world.has(Sabotage::MixRuns) {
            let mut others = self.tasks.values().flatten().filter(|other| other.leaves == task.leaves);
            task = others.next_back().copied().unwrap_or(task);
        }
        let connection = self.connection.expect("a piece comes on a connection");
        let tree = Tree::new(task.leaves);
        let reduction = Some(Reduction::new(tree, node));
        let basis = Basis { connection, task };
        self.queue.extend(tree.leaves_below(node).map(|leaf| (self.pieces.len(), leaf)));
        self.pieces.push(Piece { incarnation, round, node, basis, reduction });
        self.start_leaves(world);
    }

    fn start_leaves(&mut self, world: &mut World) {
        while self.busy < self.threads
            && let Some((piece, leaf)) = self.queue.pop_front()
        {
            self.busy += 1;
            let times = self.leaf_times[self.pieces[piece].basis.task.run.0 as usize];
            let usual_us = times * if self.slowed { self.slowed_leaf_us } else { self.leaf_us };
            let delay_us = usual_us / 2 + u64::from(world.random.below(usual_us as u32));
            world.after(delay_us, Wake::LeafDone { worker: self.id, piece, leaf });
        }
    }

    fn answer(&mut self, world: &mut World, round: Round, node: Node, value: Value) -> Result<(), Violation> {
        let spoil = self.spoil.map(|(how, _)| how);
        self.spoil = self.spoil.and_then(|(how, left)| (left > 1).then_some((how, left - 1)));
        if let (Some(_), Some(connection)) = (spoil, self.connection) {
            world.saw(&Observation::Spoiled { connection })?;
        }
        let leaves = value.leaves.len() as u32;
        let setup = value.basis.task.run;
        let message = match spoil {
            None => Up::Answer { setup, round, node, body: Body::Value(value) },
            Some(Spoiled::Garbage) => {
                world.report.count("invalid answer");
                Up::Answer { setup, round, node, body: Body::Garbage }
            }
            Some(Spoiled::Unasked) => {
                world.report.count("unasked answer");
                Up::Answer { setup, round, node: node.parent(), body: Body::Value(value) }
            }
            Some(Spoiled::NonFinite) => {
                world.report.count("non-finite answer");
                // Independent of the attempt: a computation that fails always fails alike.
                let checksum = self.id as u32;
                Up::Answer { setup, round, node, body: Body::NonFinite { checksum, leaves } }
            }
            Some(Spoiled::NonFiniteAlike) => {
                world.report.count("non-finite answer, as others'");
                Up::Answer { setup, round, node, body: Body::NonFinite { checksum: u32::MAX, leaves } }
            }
            Some(Spoiled::Huge) => {
                world.report.count("huge answer");
                Up::Answer { setup, round, node, body: Body::Value(value.huge(self.id)) }
            }
            Some(Spoiled::HugeAlike) => {
                world.report.count("huge answer, as others'");
                Up::Answer { setup, round, node, body: Body::Value(value.huge(usize::MAX)) }
            }
        };
        self.send(world, message);
        Ok(())
    }

    fn send(&self, world: &mut World, message: Up) {
        if let Some(connection) = self.connection {
            world.up(connection, message);
        }
    }

    fn close(&mut self, world: &mut World) {
        self.send(world, Up::Ended);
        self.connection = None;
        self.tasks.clear();
        self.queue.clear();
    }
}
