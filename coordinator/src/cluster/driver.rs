//! The thread around the cluster: it owns the cluster, the training and the ends of all connections.
//!
//! Inputs (messages, finished checkpoints, signals) and deadlines go to the cluster; its outputs are carried
//! out: sent, told, trained on. The driver decides how a run ends: complete, stopped by an operator, or
//! failed. It blocks only while it waits for its inbox, and that has a deadline.

mod links;
pub(crate) mod outputs;
mod rollback;
mod shutdown;
mod tell;

use super::{Cluster, Farewell, Introduction, RoundPlan};
use crate::RunError;
use crate::mailbox::{INBOX, Input};
use crate::observe::events::Events;
use crate::run::records::{Records, evaluation};
use crate::run::sum::Sum;
use crate::run::trainer::{Evaluated, Outcome, Trainer};
use crate::run::work::Work;
use crate::store::Saved;
use crate::store::writer::Writer;
use common::checkpoint::Best;
use common::event::Event as RunEvent;
use common::ids::{Incarnation, Leaf, ParamsId, SetupId};
use common::protocol::coordinator::{Cause, Limits, ProtocolError};
use common::selftest::NumericsDigest;
use host::clock::Clock;
use host::trace;
use links::Links;
use proto::message::{Answer, Hello, ReceivedMessage, WorkerMessage};
use proto::parameters::EncodedParameters;
use rollback::Entrances;
use shutdown::Shutdown;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Most inputs that are taken before deadlines are looked at again.
const INPUTS_AT_ONCE: usize = 4 * INBOX;
/// Number of the run's setup.
pub(crate) const SETUP: SetupId = SetupId(0);

/// The operator's choices, as far as the driver is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// The arithmetic that the checkpoint records, where the run goes on from one that does.
    pub(crate) numerics: Option<NumericsDigest>,
    pub(crate) run_id: String,
    /// Steps between checkpoints besides those at the end of each epoch; 0 for none.
    pub(crate) checkpoint_every: u64,
    /// Whether a checkpoint that can't be written ends the run.
    pub(crate) checkpoint_required: bool,
    /// Whether the run goes back to before a worker joined that is found to miscompute.
    pub(crate) audit_rollback: bool,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The final test, if the run is complete.
    pub(crate) test: Option<Evaluated>,
    /// The best validation.
    pub(crate) best: Option<Best>,
    /// The last checkpoint.
    pub(crate) saved: Saved,
    /// Training time in seconds, and the samples of that time.
    pub(crate) trained: (f64, u64),
}

/// The thread's state.
pub(crate) struct Driver {
    rules: Rules,
    clock: Clock,
    cluster: Cluster<Sum>,
    links: Links,
    trainer: Trainer,
    events: Events,
    records: Records,
    writer: Writer,
    /// What the round in progress is for.
    work: Option<Work>,
    parameters: Option<Arc<EncodedParameters>>,
    entrances: Entrances,
    /// Numbers of parameters that were given before the run went back, so that none is given twice.
    params_before: u64,
    shutdown: Shutdown,
    test: Option<Evaluated>,
}

impl Driver {
    pub(crate) fn new(rules: Rules, trainer: Trainer, events: Events, writer: Writer) -> Self {
        let clock = Clock::start();
        let step = trainer.step();
        let Rules { limits, numerics, .. } = rules;
        let mut cluster = Cluster::by_the_rules(clock.now_us(), limits, numerics, first_incarnation());
        cluster.at_step(SETUP, step);
        Self {
            cluster,
            links: Links::default(),
            rules,
            clock,
            trainer,
            events,
            records: Records::default(),
            writer,
            work: None,
            parameters: None,
            entrances: Entrances::new(step),
            params_before: 0,
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
        let last = match &result {
            Ok(()) if self.test.is_some() => Farewell::Finished,
            Ok(()) => Farewell::Stopped,
            Err(_) => Farewell::Failed,
        };
        self.say_goodbye(&last);
        let trained = self.records.trained();
        self.tell_end(&result);
        // The writer may be waiting to deliver a last word.
        drop(inbox);
        drop(self.writer);
        self.events.finish();
        result?;
        let lost = || RunError::Internal("the run ended without a checkpoint".to_owned());
        let saved = self.shutdown.into_saved().ok_or_else(lost)?;
        Ok(Ended { test: self.test, best: self.trainer.best(), saved, trained })
    }

    fn serve(&mut self, handle: &Handle, inbox: &mut mpsc::Receiver<Input>) -> Result<(), RunError> {
        self.begin_round();
        self.perform()?;
        loop {
            // The next step's samples are gathered while nobody wants anything.
            while inbox.is_empty() && self.work == Some(Work::Train) && self.trainer.prefetch() {}
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
            if self.is_over()? {
                return Ok(());
            }
        }
    }

    fn deadline_us(&self) -> u64 {
        self.shutdown.deadline_us().into_iter().chain([self.cluster.deadline_us()]).min().unwrap_or(u64::MAX)
    }

    fn tick(&mut self) -> Result<(), RunError> {
        let now_us = self.clock.now_us();
        if self.cluster.tick(now_us) {
            self.give_up_the_stuck(now_us);
        }
        self.perform()?;
        let links = &self.links;
        self.cluster.admit_gradients(now_us, |connection| links.arrived(connection));
        self.perform()
    }

    /// Drops workers that read nothing, and workers whose gradients do not arrive.
    fn give_up_the_stuck(&mut self, now_us: u64) {
        let look_us = self.cluster.heartbeat_us();
        let timeout_us = self.rules.limits.heartbeat_timeout_us;
        for (connection, still_us) in self.links.not_reading(now_us, look_us, timeout_us) {
            if let Some(who) = self.cluster.on(connection) {
                self.cluster.give_up(now_us, who, Cause::NotReading { still_us });
            }
        }
        let links = &self.links;
        for (who, cause) in self.cluster.stalled(now_us, look_us, |connection| links.arrived(connection)) {
            self.cluster.give_up(now_us, who, cause);
        }
    }

    fn input(&mut self, input: Input) -> Result<(), RunError> {
        let now_us = self.clock.now_us();
        match input {
            Input::Hello { connection, hello: Hello { name, instance, threads, numerics }, outbox } => {
                self.links.open(connection, outbox);
                self.cluster.hello(now_us, connection, Introduction { name, instance, threads, numerics });
            }
            Input::Announced { connection, round, node, enter } => {
                if self.cluster.announced(now_us, connection, round, node) {
                    self.links.wait(connection, enter);
                }
            }
            Input::Message { connection, message } => self.message(now_us, connection, message),
            Input::Invalid { connection, what } => self.cluster.invalid(now_us, connection, what),
            Input::Ended { connection, why } => self.cluster.ended(now_us, connection, why),
            Input::Written(written) => self.written(written)?,
            Input::LookedBack(found) => self.looked_back(*found)?,
            Input::Stop => self.stop(),
            Input::NoLocalWorkers => return Err(RunError::NoLocalWorkers),
        }
        self.perform()
    }

    fn message(&mut self, now_us: u64, connection: u64, message: Option<ReceivedMessage>) {
        match message {
            // Only an answer has parts.
            None => self.cluster.heard(now_us, connection, true),
            // What is shared is settled where the stream is read.
            Some(WorkerMessage::Heartbeat | WorkerMessage::Sharing(_)) => {
                self.cluster.heard(now_us, connection, false);
            }
            Some(WorkerMessage::Leave) => self.cluster.left(now_us, connection),
            Some(WorkerMessage::Hello(_)) => {
                self.cluster.invalid(now_us, connection, ProtocolError::SecondHello);
            }
            Some(WorkerMessage::Answer(received)) => {
                let Answer { incarnation, round, node, .. } = received.answer;
                let sum = Sum::of(received, self.trainer.threads());
                trace::within("add", || {
                    self.cluster.answer(now_us, connection, incarnation, round, node, sum);
                });
            }
        }
    }

    /// Begins the next round, if the run is to go on.
    fn begin_round(&mut self) {
        self.cluster.at_step(SETUP, self.trainer.step());
        self.work = self.trainer.next().filter(|_| !self.shutdown.is_ending());
        let now_us = self.clock.now_us();
        let Some(work) = self.work else { return self.cluster.end_round(now_us, SETUP) };
        match work {
            Work::Train => self.records.begin_step(now_us),
            Work::Validate | Work::Test => self.records.pause(),
        }
        let leaves = 0..self.trainer.tree(work).leaves();
        let plan = RoundPlan {
            setup: SETUP,
            parameters: ParamsId(self.params_before + self.trainer.step().0),
            samples: leaves.map(|leaf| self.trainer.leaf_samples(work, Leaf(leaf))).collect(),
            kind: work.answer_kind(),
        };
        self.cluster.begin(now_us, plan);
    }

    /// Has the training take a round's sum. Returns what to tell of it.
    fn finish(&mut self, work: Work, sum: Sum, out_of_line: u32) -> Result<RunEvent, RunError> {
        let Sum { totals, body, .. } = sum;
        if work == Work::Train {
            // Else the update would have to work on a copy.
            self.parameters = None;
        }
        let finishing = (work == Work::Train).then(|| trace::span("optimizer"));
        let outcome = self.trainer.finish(work, totals, body)?;
        drop(finishing);
        Ok(match outcome {
            Outcome::Stepped(stepped) => {
                let workers = self.cluster.machine().members().count();
                RunEvent::Step(self.records.step(self.clock.now_us(), &stepped, workers, out_of_line))
            }
            Outcome::Validated(evaluated) => RunEvent::Validation(self.records.validation(&evaluated)),
            Outcome::Tested(evaluated) => {
                let event = RunEvent::Test(evaluation(&evaluated));
                self.test = Some(evaluated);
                event
            }
        })
    }

    /// Closes all connections with a last word.
    fn say_goodbye(&mut self, last: &Farewell) {
        self.cluster.close_all(last);
        // Nothing else that is still to be done can fail the run now.
        let _ = self.perform();
    }
}

/// Where this coordinator's numbers begin: far from those of an earlier one, whose workers may still answer.
fn first_incarnation() -> Incarnation {
    Incarnation(host::random() << 32)
}
