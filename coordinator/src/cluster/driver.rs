//! The shell around the coordinator's machine: one thread that owns machine, trainer and connections.
//!
//! Inputs (messages, finished checkpoints, signals) and deadlines become events; the machine's actions become sending,
//! adding and training. It decides how a run ends: complete, stopped by an operator, or failed. It never blocks but in
//! waiting for its inbox, and that has a deadline.

pub(crate) mod actions;
mod inspection;
mod progress;
mod rollback;
mod shutdown;
mod tell;

use crate::RunError;
use crate::cluster::connections::Connections;
use crate::cluster::gradient_budget::GradientBudget;
use crate::mailbox::{INBOX, Input};
use crate::net::outbox::SendError;
use crate::observe::events::Events;
use crate::run::records::{Records, evaluation};
use crate::run::round::{RoundInProgress, Sum};
use crate::run::trainer::{Evaluated, Outcome, Trainer, Work};
use crate::store::writer::Writer;
use common::checkpoint::Checkpoint;
use common::event::Event as RunEvent;
use common::ids::{Incarnation, ParamsId, Round, SetupId};
use common::protocol::coordinator::{Coordinator, Event, Limits, ProtocolError};
use common::reduce::outliers::Peaks;
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;
use host::clock::Clock;
use host::trace;
use proto::message::{Answer, CoordinatorMessage, Hello, WorkerMessage};
use proto::parameters::EncodedParameters;
use rollback::Entrances;
use shutdown::Shutdown;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Inputs that are taken before deadlines are looked at again.
const INPUTS_AT_ONCE: usize = 4 * INBOX;
/// The number of the run's setup.
pub(crate) const SETUP: SetupId = SetupId(0);
/// What workers are told of a failed run. Why it failed, with its files and names, is for the operator.
const RUN_FAILED: &str = "the run failed; the coordinator's log says why";
/// Heartbeats within the time after which silence means death.
const HEARTBEATS_PER_TIMEOUT: u32 = 5;

/// What the operator chose, as far as the driver is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// The arithmetic that the checkpoint records, where the run goes on from one that does.
    pub(crate) numerics: Option<NumericsDigest>,
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) run_id: String,
    /// Steps between checkpoints besides those at the end of each epoch; 0 for none.
    pub(crate) checkpoint_every: u64,
    /// A checkpoint that can't be written ends the run.
    pub(crate) checkpoint_required: bool,
    /// The run goes back to before a worker joined that is found to miscompute.
    pub(crate) audit_rollback: bool,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The trainer's last word, if the run is complete.
    pub(crate) test: Option<Evaluated>,
    /// The last state.
    pub(crate) checkpoint: Checkpoint,
    /// Training time in seconds and its samples.
    pub(crate) trained: (f64, u64),
}

/// The thread's state.
pub(crate) struct Driver {
    rules: Rules,
    clock: Clock,
    machine: Coordinator,
    trainer: Trainer,
    connections: Connections,
    events: Events,
    records: Records,
    writer: Writer,
    round: Option<RoundInProgress>,
    budget: GradientBudget,
    rounds: u64,
    parameters: Option<Arc<EncodedParameters>>,
    entrances: Entrances,
    /// Versions of the parameters that were given before the run went back, so that none is given twice.
    versions_before: u64,
    /// Of the gradients that were accepted last.
    peaks: Peaks,
    heartbeat_due_us: u64,
    shutdown: Shutdown,
    test: Option<Evaluated>,
}

impl Driver {
    pub(crate) fn new(rules: Rules, trainer: Trainer, events: Events, writer: Writer) -> Self {
        let clock = Clock::start();
        let entrances = Entrances::new(trainer.step());
        Self {
            machine: Coordinator::new(rules.limits, first_incarnation()).resumed_with(rules.numerics),
            heartbeat_due_us: clock.now_us(),
            rules,
            clock,
            trainer,
            connections: Connections::default(),
            events,
            records: Records::default(),
            writer,
            round: None,
            budget: GradientBudget::default(),
            rounds: 0,
            parameters: None,
            entrances,
            versions_before: 0,
            peaks: Peaks::default(),
            shutdown: Shutdown::default(),
            test: None,
        }
    }

    /// Runs until the end. Blocks: it wants a thread of its own, outside the runtime of `handle`.
    pub(crate) fn run(
        mut self,
        handle: &Handle,
        mut inbox: mpsc::Receiver<Input>,
    ) -> Result<Ended, RunError> {
        let result = self.serve(handle, &mut inbox);
        let farewell = match &result {
            Ok(()) if self.test.is_some() => CoordinatorMessage::Finished,
            Ok(()) => CoordinatorMessage::Dropped("the coordinator stops; it may come back".to_owned()),
            Err(_) => CoordinatorMessage::Dropped(RUN_FAILED.to_owned()),
        };
        for who in self.connections.all() {
            self.connections.close(who, farewell.clone());
        }
        let trained = self.records.trained();
        self.tell_end(&result);
        // The writer may be waiting to deliver a last word.
        drop(inbox);
        drop(self.writer);
        self.events.finish();
        result.map(|()| Ended { test: self.test, checkpoint: self.trainer.checkpoint(), trained })
    }

    fn serve(&mut self, handle: &Handle, inbox: &mut mpsc::Receiver<Input>) -> Result<(), RunError> {
        self.begin()?;
        loop {
            // The next step's samples are looked for while nobody wants anything.
            while inbox.is_empty() && self.is_stepping() && self.trainer.gather_ahead() {}
            let deadline = self.clock.instant(self.deadline_us());
            let wait = async { tokio::time::timeout_at(deadline.into(), inbox.recv()).await };
            let received = trace::within("wait", || handle.block_on(wait));
            if let Ok(input) = received {
                let Some(input) = input else {
                    return Err(RunError::Internal("the run was given up".to_owned()));
                };
                self.input(input)?;
                // What has arrived counts before any deadline does.
                for input in std::iter::from_fn(|| inbox.try_recv().ok()).take(INPUTS_AT_ONCE) {
                    self.input(input)?;
                }
            }
            self.tick()?;
            self.admit_gradients();
            if self.is_over()? {
                return Ok(());
            }
        }
    }

    fn is_stepping(&self) -> bool {
        self.round.as_ref().is_some_and(|round| round.work() == Work::Train)
    }

    fn deadline_us(&self) -> u64 {
        let deadlines = [self.machine.next_deadline_us(), self.shutdown.deadline_us()];
        deadlines.into_iter().flatten().chain([self.heartbeat_due_us]).min().unwrap_or(u64::MAX)
    }

    fn tick(&mut self) -> Result<(), RunError> {
        let now_us = self.clock.now_us();
        if self.heartbeat_due_us <= now_us {
            let period = self.rules.heartbeat_timeout / HEARTBEATS_PER_TIMEOUT;
            self.heartbeat_due_us = now_us + period.as_micros() as u64;
            for (who, why) in self.connections.send_all(&CoordinatorMessage::Heartbeat) {
                self.feed(Event::Gone(who, why.into()))?;
            }
            self.give_up_the_stuck(now_us, period.as_micros() as u64)?;
        }
        if self.machine.next_deadline_us().is_some_and(|due_us| due_us <= now_us) {
            self.feed(Event::Tick)?;
        }
        Ok(())
    }

    fn input(&mut self, input: Input) -> Result<(), RunError> {
        match input {
            Input::Hello { connection, hello: Hello { name, instance, threads, numerics }, outbox } => {
                self.connections.greet(connection, name.clone(), outbox);
                self.feed(Event::Join { connection, name, instance, threads, numerics })
            }
            Input::Announced { connection, round, node, enter } => {
                self.announced(connection, round, node, enter)
            }
            Input::Message { connection, message } => {
                if let Some(WorkerMessage::Answer(_)) = message {
                    self.budget.leave(self.clock.now_us(), connection);
                }
                self.connections.on(connection).map_or(Ok(()), |from| self.message(from, message))
            }
            Input::Invalid { connection, what } => {
                self.budget.leave(self.clock.now_us(), connection);
                self.member_event(connection, |who| Event::Invalid(who, what))
            }
            Input::Ended { connection, why } => {
                self.budget.leave(self.clock.now_us(), connection);
                self.member_event(connection, |who| Event::Gone(who, why))
            }
            Input::Written(written) => self.written(written),
            Input::LookedBack(found) => self.looked_back(*found),
            Input::Stop => {
                self.stop();
                Ok(())
            }
            Input::NoLocalWorkers => Err(RunError::NoLocalWorkers),
        }
    }

    /// An event of the member on that connection; nothing if it is a member no longer.
    fn member_event(
        &mut self,
        connection: u64,
        event: impl FnOnce(Incarnation) -> Event,
    ) -> Result<(), RunError> {
        self.connections.on(connection).map_or(Ok(()), |who| self.feed(event(who)))
    }

    fn message(&mut self, from: Incarnation, message: Option<WorkerMessage>) -> Result<(), RunError> {
        match message {
            // Only an answer has parts.
            None => self.feed(Event::Arriving(from)),
            // What is shared is settled where the stream is read.
            Some(WorkerMessage::Heartbeat | WorkerMessage::Sharing(_)) => self.feed(Event::Heard(from)),
            Some(WorkerMessage::Leave) => self.feed(Event::Leave(from)),
            Some(WorkerMessage::Hello(_)) => self.feed(Event::Invalid(from, ProtocolError::SecondHello)),
            Some(WorkerMessage::Answer(answer)) => {
                if let Err(what) = self.check(from, &answer) {
                    return self.feed(Event::Invalid(from, what));
                }
                let (round, node, verdict) = (answer.round, answer.node, self.verdict(&answer));
                self.feed_answer(Event::Result { from, round, node, verdict }, Some(answer))
            }
        }
    }

    /// What the machine can't see: whose answer it is, and whether it is one to this round's question.
    fn check(&self, from: Incarnation, answer: &Answer) -> Result<(), ProtocolError> {
        if answer.incarnation != from {
            return Err(ProtocolError::OtherIncarnation { expected: from, got: answer.incarnation });
        }
        match &self.round {
            Some(round) if round.number == answer.round => round.check(answer),
            _ => Ok(()),
        }
    }

    /// Feeds the machine and does what it says, until nothing is left to do.
    fn feed(&mut self, event: Event) -> Result<(), RunError> {
        self.feed_answer(event, None)
    }

    /// The same, with the answer that the event is about.
    fn feed_answer(&mut self, event: Event, mut answer: Option<Answer>) -> Result<(), RunError> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.machine.on_event(self.clock.now_us(), event) {
                events.extend(self.act(action, &mut answer)?);
            }
        }
        Ok(())
    }

    /// Begins the next round, if the run is to go on.
    fn begin(&mut self) -> Result<(), RunError> {
        self.prepare().map_or(Ok(()), |event| self.feed(event))
    }

    /// Prepares the next round; `None` when there is none.
    fn prepare(&mut self) -> Option<Event> {
        for (who, member) in self.machine.members() {
            self.connections.round_ends(who, member.pieces().count() as u32);
        }
        self.round = None;
        self.budget.end_round();
        if self.shutdown.is_ending() {
            return None;
        }
        let work = self.trainer.next()?;
        match work {
            Work::Train => self.records.begin_step(self.clock.now_us()),
            _ => self.records.pause(),
        }
        self.rounds += 1;
        let round = RoundInProgress::new(Round(self.rounds), work, &self.trainer);
        let event = Event::Begin { round: round.number, leaves: round.tree.leaves() };
        self.round = Some(round);
        Some(event)
    }

    /// The number of the parameters: higher than that of any before.
    fn params_id(&self) -> ParamsId {
        ParamsId(self.versions_before + self.trainer.step().0)
    }

    fn grant(&mut self, to: Incarnation, node: Node) -> Result<(), SendError> {
        let id = self.params_id();
        let parameters = match self.parameters.take() {
            Some(parameters) if parameters.id() == id => parameters,
            _ => Arc::new(EncodedParameters::new(id, SETUP, self.trainer.params())),
        };
        let sent = self.connections.send_parameters(to, &parameters);
        self.parameters = Some(parameters);
        sent?;
        let Some(round) = &self.round else { return Ok(()) };
        let piece = round.piece(node, SETUP, id, &mut self.trainer);
        self.connections.send(to, CoordinatorMessage::Piece(piece))
    }

    /// The round's sum is there: trains, reports, and begins the next round.
    fn complete(&mut self) -> Result<Option<Event>, RunError> {
        let Some(round) = self.round.take() else { return Ok(None) };
        let out_of_line = round.out_of_line;
        let (work, sum) = round.into_sum();
        let lacking = || RunError::Internal("a round is complete, and its sum is not".to_owned());
        let Sum { totals, body, right } = sum.ok_or_else(lacking)?;
        if work == Work::Train {
            // Else the update would have to work on a copy.
            self.parameters = None;
        }
        let finishing = (work == Work::Train).then(|| trace::span("optimizer"));
        let outcome = self.trainer.finish(work, totals, body, right)?;
        drop(finishing);
        match outcome {
            Outcome::Stepped(stepped) => {
                let workers = self.machine.members().count();
                let step = self.records.step(self.clock.now_us(), &stepped, workers, out_of_line);
                self.tell(RunEvent::Step(step));
                let every = self.rules.checkpoint_every;
                let due = every > 0 && self.trainer.step().0.is_multiple_of(every);
                // At the end of an epoch the checkpoint waits for the validation.
                let validation_follows = self.trainer.next() == Some(Work::Validate);
                if (due || stepped.epoch_done.is_some()) && !validation_follows {
                    self.checkpoint();
                }
            }
            Outcome::Validated(evaluated) => {
                self.tell(RunEvent::Validation(self.records.validation(&evaluated)));
                self.checkpoint();
            }
            Outcome::Tested(evaluated) => {
                self.tell(RunEvent::Test(evaluation(&evaluated)));
                self.test = Some(evaluated);
            }
        }
        Ok(self.prepare())
    }
}

/// Where this coordinator's numbers begin: far from those of an earlier one, whose workers may still answer.
fn first_incarnation() -> Incarnation {
    Incarnation(host::random() << 32)
}
