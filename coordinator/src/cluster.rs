//! The cluster: which connection is which worker, what each has been sent, and the sums of the rounds in
//! progress.
//!
//! It stands between the rules (`common::protocol::coordinator`) and the outside, and does no I/O: each call
//! takes the time and one input, and leaves [`Output`]s to be carried out in order. A session's driver does
//! that with sockets and threads; the simulation does it on a virtual clock, with the same code in here. What
//! a run is (samples, optimizer, checkpoints) is not known here: a round is a number of leaves, and its sum
//! is a [`RoundValue`]. The cluster stands while runs come and go; several may have a round open at the same
//! time. A run is known by its setup's number.
//!
//! 1. A worker is sent a setup and parameters only if it lacks them, before the first piece that needs them.
//! 2. An answer is checked against the round before the rules judge it: who sent it, how many samples, what
//!    kind of value.
//! 3. Large gradients wait for the gradient budget (`gradient_budget`) if their sender was asked for them.
//! 4. What happens to a worker is told to each run, and what happens in a run to that one alone.
//! 5. Each call feeds the rules one event. What can't be sent comes back as [`Cluster::gone`].

mod actions;
mod answers;
pub(crate) mod connections;
pub(crate) mod gradient_budget;
mod output;
pub(crate) mod round;
mod run_state;
pub mod sum;
mod times;
mod usage;
mod value;

pub use output::{Farewell, Message, Output};
pub use times::RoundTimes;
pub use usage::LinkUsage;
pub use value::{Measure, RoundValue};

use common::event::Event as RunEvent;
use common::ids::{Incarnation, Instance, KeyId, Network, ParamsId, Round, SetupId, Step};
use common::protocol::coordinator::{
    Action, AnswerKind, Cause, Coordinator, Disconnect, Event, Limits, Piece, ProtocolError,
};
use common::selftest::NumericsDigest;
use connections::Connections;
use round::OpenRound;
use run_state::RunState;
use std::collections::{BTreeMap, VecDeque};

/// Heartbeats within the time after which silence means death.
pub(crate) const HEARTBEATS_PER_TIMEOUT: u64 = 5;

/// The rules by which a cluster is run. The simulation has some with mistakes in them.
pub trait Rules {
    /// Takes an event; returns what must be done, in order.
    fn on_event(&mut self, now_us: u64, event: Event) -> Vec<Action>;

    /// The machine that decides.
    fn machine(&self) -> &Coordinator;
}

impl Rules for Coordinator {
    fn on_event(&mut self, now_us: u64, event: Event) -> Vec<Action> {
        Self::on_event(self, now_us, event)
    }

    fn machine(&self) -> &Coordinator {
        self
    }
}

/// How a worker introduces itself when it connects.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    pub name: String,
    /// The key that it has proved, if its connection is of a kind that has keys.
    pub key: Option<KeyId>,
    pub instance: Instance,
    /// Address from which it has connected; `None` on a Unix socket.
    pub address: Option<Network>,
    /// Leaves that it computes at the same time.
    pub threads: u32,
    /// Digest of its self-test.
    pub numerics: NumericsDigest,
}

/// What a round asks for.
#[derive(Clone, Debug)]
pub struct RoundPlan {
    /// The setup that workers need.
    pub setup: SetupId,
    /// The parameters that workers need: a number higher than that of any other parameters before.
    pub parameters: ParamsId,
    /// Number of samples of each leaf.
    pub samples: Vec<u64>,
    /// Kind of value that answers bring.
    pub kind: AnswerKind,
}

/// Members, spares and the rounds in progress.
#[derive(Debug)]
pub struct Cluster<V, R = Coordinator> {
    rules: R,
    heartbeat_timeout_us: u64,
    heartbeat_due_us: u64,
    connections: Connections,
    runs: BTreeMap<SetupId, RunState<V>>,
    /// Number of rounds that were begun so far.
    rounds: u64,
    outputs: VecDeque<Output<V>>,
}

impl<V: RoundValue, R: Rules> Cluster<V, R> {
    /// A cluster without connections or runs.
    #[must_use]
    pub fn new(now_us: u64, rules: R, limits: &Limits) -> Self {
        Self {
            rules,
            heartbeat_timeout_us: limits.heartbeat_timeout_us,
            heartbeat_due_us: now_us,
            connections: Connections::default(),
            runs: BTreeMap::new(),
            rounds: 0,
            outputs: VecDeque::new(),
        }
    }

    /// The rules' machine, to be looked at.
    #[must_use]
    pub fn machine(&self) -> &Coordinator {
        self.rules.machine()
    }

    /// The rules, to be looked at.
    #[must_use]
    pub fn rules(&self) -> &R {
        &self.rules
    }

    /// The next thing to be done, if there is one.
    pub fn next_output(&mut self) -> Option<Output<V>> {
        self.outputs.pop_front()
    }

    /// When [`tick`](Self::tick) must be called at the latest.
    #[must_use]
    pub fn deadline_us(&self) -> u64 {
        self.machine().next_deadline_us().into_iter().chain([self.heartbeat_due_us]).min().unwrap_or(u64::MAX)
    }

    /// How often both sides are to be heard, and when silence means death, in milliseconds.
    #[must_use]
    pub fn pulse_ms(&self) -> (u32, u32) {
        let timeout_ms = self.heartbeat_timeout_us / 1000;
        ((timeout_ms / HEARTBEATS_PER_TIMEOUT).max(1) as u32, timeout_ms as u32)
    }

    /// A connection has introduced itself.
    pub fn hello(&mut self, now_us: u64, connection: u64, hello: Introduction) {
        let Introduction { name, key, instance, address, threads, numerics } = hello;
        self.connections.greet(connection, name.clone());
        let join = Event::Join { connection, name, key, instance, address, threads, numerics };
        self.feed(now_us, join, None);
    }

    /// A sign of life has arrived, or a part of an answer.
    pub fn heard(&mut self, now_us: u64, connection: u64, is_answering: bool) {
        let Some(who) = self.connections.on(connection) else { return };
        let event = if is_answering { Event::Arriving(who) } else { Event::Heard(who) };
        self.feed(now_us, event, None);
    }

    /// A worker says goodbye.
    pub fn left(&mut self, now_us: u64, connection: u64) {
        self.connections
            .on(connection)
            .into_iter()
            .for_each(|who| self.feed(now_us, Event::Leave(who), None));
    }

    /// Something invalid has arrived.
    pub fn invalid(&mut self, now_us: u64, connection: u64, what: ProtocolError) {
        self.has_arrived(now_us, connection);
        let who = self.connections.on(connection);
        who.into_iter().for_each(|who| self.feed(now_us, Event::Invalid(who, what.clone()), None));
    }

    /// A connection has ended.
    pub fn ended(&mut self, now_us: u64, connection: u64, why: Disconnect) {
        self.has_arrived(now_us, connection);
        self.connections.on(connection).into_iter().for_each(|who| self.gone(now_us, who, why.clone()));
    }

    /// A member or spare can't be reached.
    pub fn gone(&mut self, now_us: u64, who: Incarnation, why: Disconnect) {
        self.feed(now_us, Event::Gone(who, why), None);
    }

    /// There is another reason to drop a member or a spare.
    pub fn give_up(&mut self, now_us: u64, who: Incarnation, cause: Cause) {
        self.feed(now_us, Event::GiveUp(who, cause), None);
    }

    /// A run goes on with this step, or begins with it: events are told of it from now on. Where a run goes
    /// back, what gradients are usual is learnt anew.
    pub fn at_step(&mut self, run: SetupId, step: Step) {
        self.runs.entry(run).or_insert_with(|| RunState::new(step)).at_step(step);
    }

    /// Begins a round in place of the run's last one, which is complete or is to begin anew. Returns its
    /// number.
    pub fn begin(&mut self, now_us: u64, plan: RoundPlan) -> Round {
        let run = plan.setup;
        self.answers_are_late(run);
        self.rounds += 1;
        let round = Round(self.rounds);
        let leaves = plan.samples.len() as u32;
        let state = self.runs.entry(run).or_insert_with(|| RunState::new(Step(0)));
        state.round = Some(OpenRound::new(now_us, round, plan));
        state.last = Some(round);
        state.has_ended = false;
        self.feed(now_us, Event::Begin { run, round, leaves }, None);
        round
    }

    /// Gives up the run's round: answers to it are late from now on.
    pub fn end_round(&mut self, now_us: u64, run: SetupId) {
        self.answers_are_late(run);
        self.feed(now_us, Event::End(run), None);
    }

    /// Forgets a run, and has workers forget it: its setup's number may come to mean another.
    pub fn end_run(&mut self, now_us: u64, run: SetupId) {
        self.end_round(now_us, run);
        self.runs.remove(&run);
        for connection in self.connections.forget_setup(run) {
            self.outputs.push_back(Output::Send { connection, message: Message::Forget(run) });
        }
    }

    /// Whether members have pieces of the run's round in progress.
    #[must_use]
    pub fn is_computed(&self, run: SetupId) -> bool {
        let open = self.runs.get(&run).and_then(|state| state.round.as_ref());
        let is_of_it = |piece: Piece| open.is_some_and(|open| open.number == piece.round);
        self.machine().members().any(|(_, member)| member.pieces().any(is_of_it))
    }

    /// Answers to the run's last round are late from now on, and expected to be.
    fn answers_are_late(&mut self, run: SetupId) {
        let Some(state) = self.runs.get_mut(&run) else { return };
        let ended = state.last.filter(|_| !std::mem::replace(&mut state.has_ended, true));
        if let Some(ended) = ended {
            for (who, member) in self.rules.machine().members() {
                let held = member.pieces().filter(|piece| piece.round == ended).count();
                self.connections.round_ends(who, held, member.answered(ended));
            }
        }
        state.round = None;
        release_waiting(state, &mut self.outputs);
    }

    /// Sends heartbeats and drops the overdue, where it is time. Returns whether heartbeats were due: then
    /// the connections should be looked at too ([`stalled`](Self::stalled)).
    pub fn tick(&mut self, now_us: u64) -> bool {
        let beats = self.heartbeat_due_us <= now_us;
        if beats {
            self.heartbeat_due_us = now_us + self.heartbeat_us();
            for connection in self.connections.all() {
                self.outputs.push_back(Output::Send { connection, message: Message::Heartbeat });
            }
        }
        if self.machine().next_deadline_us().is_some_and(|due_us| due_us <= now_us) {
            self.feed(now_us, Event::Tick, None);
        }
        beats
    }

    /// Longest time between two heartbeats, in microseconds.
    #[must_use]
    pub fn heartbeat_us(&self) -> u64 {
        self.heartbeat_timeout_us / HEARTBEATS_PER_TIMEOUT
    }

    /// The member or spare on a connection.
    #[must_use]
    pub fn on(&self, connection: u64) -> Option<Incarnation> {
        self.connections.on(connection)
    }

    /// Closes every connection with a last word.
    pub fn close_all(&mut self, last: &Farewell) {
        for connection in self.connections.all() {
            self.outputs.push_back(Output::Close { connection, last: last.clone() });
        }
    }

    /// No gradient is on its way on this connection any more.
    fn has_arrived(&mut self, now_us: u64, connection: u64) {
        self.runs.values_mut().for_each(|state| state.budget.leave(now_us, connection));
    }

    /// The run of a round in progress.
    fn run_of(&self, round: Round) -> Option<SetupId> {
        let is_it = |state: &RunState<V>| state.round.as_ref().is_some_and(|open| open.number == round);
        self.runs.iter().find(|(_, state)| is_it(state)).map(|(&run, _)| run)
    }

    /// The run of a round in progress, with the round.
    fn open(&self, round: Round) -> Option<(SetupId, &OpenRound<V>)> {
        let run = self.run_of(round)?;
        Some((run, self.runs.get(&run)?.round.as_ref()?))
    }

    fn feed(&mut self, now_us: u64, event: Event, mut value: Option<V>) {
        for action in self.rules.on_event(now_us, event) {
            self.act(now_us, action, &mut value);
        }
    }

    /// Tells a run what has happened in it at the given step.
    fn tell(&mut self, run: SetupId, event: impl FnOnce(Step) -> RunEvent) {
        if let Some(state) = self.runs.get(&run) {
            self.outputs.push_back(Output::Tell { run, event: event(state.step) });
        }
    }

    /// Tells each run what has happened in the cluster.
    fn tell_all(&mut self, event: impl Fn(Step) -> RunEvent) {
        for run in self.runs.keys().copied().collect::<Vec<_>>() {
            self.tell(run, &event);
        }
    }

    fn send(&mut self, to: Incarnation, message: Message) {
        if let Some(connection) = self.connections.of(to) {
            self.outputs.push_back(Output::Send { connection, message });
        }
    }

    fn name(&self, who: Incarnation) -> String {
        self.connections.get(who).map_or("unknown", |worker| &worker.name).to_owned()
    }

    fn members(&self) -> u32 {
        self.machine().members().count() as u32
    }
}

/// Has gradients read that wait for a round that is over.
fn release_waiting<V>(state: &mut RunState<V>, outputs: &mut VecDeque<Output<V>>) {
    let waiting = state.budget.end_round();
    outputs.extend(waiting.into_iter().map(|connection| Output::Enter { connection }));
}

impl<V: RoundValue> Cluster<V> {
    /// A cluster by the rules, which begins above all incarnations of earlier coordinators.
    #[must_use]
    pub fn by_the_rules(now_us: u64, limits: Limits, first: Incarnation) -> Self {
        Self::new(now_us, Coordinator::new(limits, first), &limits)
    }
}
