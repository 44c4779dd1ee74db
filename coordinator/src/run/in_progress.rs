//! A run in progress: asks for its rounds, trains on their sums, tells what happens, and has checkpoints
//! written.
//!
//! It has no thread of its own: a session's driver calls it with the cluster that computes its rounds, and it
//! waits for nothing. Other runs may use the same cluster. A method that fails ends this run alone; the
//! driver then calls [`RunInProgress::end`]. How a run comes to its end is in `shutdown`, what it came to in
//! `ended`, what follows a worker that miscomputes in `rollback`.

mod ended;
mod rollback;
mod shutdown;
pub(crate) mod tell;

pub(crate) use self::ended::Ended;
pub use self::ended::Paused;

use self::rollback::Entrances;
use self::shutdown::Shutdown;
use super::outcome::{CompleteRound, Evaluated, Outcome};
use super::records::{Records, evaluation, pseudo_labels};
use super::trainer::Trainer;
use super::work::Work;
use crate::RunError;
use crate::cluster::sum::Sum;
use crate::cluster::{Cluster, RoundPlan, RoundTimes};
use crate::observe::events::Events;
use crate::store::writer::{Done, Writer};
use common::event::{Event as RunEvent, MistakesRecord, RoundRecord};
use common::ids::{Leaf, ParamsId, Process, Round, SetupId, Step};
use common::reduce::tree::Node;
use common::train::average::Weights;
use common::train::config::TrainingConfig;
use host::clock::Clock;
use host::trace;
use proto::message::Piece;
use proto::parameters::EncodedParameters;
use proto::setup::Setup;
use std::sync::Arc;
use std::time::Instant;

/// The operator's choices for a run, besides those that the numbers depend on.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) run_id: String,
    /// When the run stops by itself, if it is not over by then.
    pub(crate) stop_at: Option<Instant>,
    /// Steps between checkpoints besides those at the end of each epoch; 0 for none.
    pub(crate) checkpoint_every: u64,
    /// Whether a checkpoint that can't be written ends the run.
    pub(crate) checkpoint_required: bool,
    /// Whether the run goes back to before a worker joined that is found to miscompute.
    pub(crate) audit_rollback: bool,
}

/// What a run leaves behind: its result, and threads that are still at work.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) result: Result<Ended, RunError>,
    pub(crate) threads: Threads,
}

/// A run's checkpoint thread, and the threads of its observers.
#[derive(Debug)]
pub(crate) struct Threads {
    writer: Writer,
    events: Events,
}

impl Threads {
    /// Waits until they have ended, or leaves them behind after a while. Blocks; the writer may have
    /// something left to deliver, which the driver must still take.
    pub(crate) fn finish(self) {
        drop(self.writer);
        self.events.finish();
    }
}

/// The training with all that belongs to it.
pub(crate) struct RunInProgress {
    rules: Rules,
    clock: Clock,
    setup: SetupId,
    trainer: Trainer,
    events: Events,
    records: Records,
    writer: Writer,
    /// What the round in progress is for.
    work: Option<Work>,
    /// The present parameters, once a worker has been sent them.
    parameters: Option<Arc<EncodedParameters>>,
    entrances: Entrances,
    /// Number of the parameters that the present round is computed with. An earlier run under this setup's
    /// number may have had some: none is given twice.
    params_id: u64,
    /// What those are: which step's, and which version. `None` before the first round.
    params: Option<(Step, Weights)>,
    shutdown: Shutdown,
    /// Results of the final tests so far, that of the last weights first.
    tests: Vec<Evaluated>,
    /// What the model gets most wrong, once that is known.
    mistakes: Option<MistakesRecord>,
}

impl RunInProgress {
    /// A run under that setup number, which begins with [`begin`](Self::begin).
    pub(crate) fn new(
        rules: Rules,
        clock: Clock,
        setup: SetupId,
        trainer: Trainer,
        events: Events,
        writer: Writer,
    ) -> Self {
        Self {
            rules,
            clock,
            setup,
            entrances: Entrances::new(trainer.step()),
            trainer,
            events,
            records: Records::default(),
            writer,
            work: None,
            parameters: None,
            params_id: 0,
            params: None,
            shutdown: Shutdown::default(),
            tests: Vec::new(),
            mistakes: None,
        }
    }

    /// The number by which workers and the cluster know the run.
    pub(crate) fn setup_id(&self) -> SetupId {
        self.setup
    }

    /// The run's name among those of other configurations.
    pub(crate) fn run_id(&self) -> &str {
        &self.rules.run_id
    }

    /// What workers must know of the run.
    pub(crate) fn setup(&self) -> Setup {
        let config = self.trainer.config();
        let TrainingConfig { wire_dtype, seed, normalize, augment, objective, compression, .. } =
            config.training();
        Setup {
            id: self.setup,
            model: config.model().clone(),
            precision: *wire_dtype,
            normalization: normalize.clone(),
            seed: *seed,
            augment: *augment,
            objective: objective.clone(),
            rounded_weights: compression.quantise_aware,
            teacher: self.trainer.teacher(),
        }
    }

    /// Begins the first round. Parameters are numbered from `params_before` on.
    pub(crate) fn begin(&mut self, cluster: &mut Cluster<Sum>, params_before: u64) {
        self.params_id = params_before;
        self.begin_round(cluster);
    }

    /// Whether all is done, with the tests.
    pub(super) fn is_complete(&self) -> bool {
        self.has_nothing_left() && self.trainer.paused().is_none()
    }

    /// Whether no round is left, because all is done or the run pauses.
    pub(super) fn has_nothing_left(&self) -> bool {
        self.trainer.next().is_none()
    }

    /// A number above that of all parameters so far.
    pub(crate) fn next_params(&self) -> u64 {
        self.params_id + 1
    }

    /// When [`is_over`](Self::is_over) must be asked at the latest.
    pub(crate) fn deadline_us(&self) -> Option<u64> {
        let stop_us = self.stop_us().filter(|_| !self.shutdown.is_ending());
        self.shutdown.deadline_us().into_iter().chain(stop_us).min()
    }

    /// When the run stops by itself.
    fn stop_us(&self) -> Option<u64> {
        self.rules.stop_at.map(|at| self.clock.us_at(at))
    }

    /// Whether some samples of the next step can be gathered in advance.
    pub(crate) fn can_prefetch(&self) -> bool {
        self.work == Some(Work::Train) && self.trainer.can_prefetch()
    }

    /// Gathers some samples of the next step in advance, if that can be done.
    pub(crate) fn prefetch(&mut self) {
        if self.can_prefetch() {
            self.trainer.prefetch();
        }
    }

    /// Tells all observers of the run what has happened; waits for none.
    pub(crate) fn tell(&self, event: RunEvent) {
        self.events.tell(event);
    }

    /// A worker has got a place.
    pub(crate) fn joined(&mut self, process: Process) {
        self.entrances.note(process, self.trainer.step());
    }

    /// The present parameters, encoded once for all workers.
    pub(crate) fn encoded(&mut self, id: ParamsId) -> Arc<EncodedParameters> {
        let weights = self.work.map_or(Weights::Last, Work::weights);
        let fresh = || Arc::new(EncodedParameters::new(id, self.setup, self.trainer.version(weights)));
        let encoded = self.parameters.take().filter(|encoded| encoded.id() == id).unwrap_or_else(fresh);
        Arc::clone(self.parameters.insert(encoded))
    }

    /// A piece of the round in progress with its samples.
    pub(crate) fn piece(&mut self, round: Round, node: Node, parameters: ParamsId) -> Option<Piece> {
        let work = self.work?;
        let tree = self.trainer.tree(work);
        let leaves = tree.leaves_below(node).map(|leaf| self.trainer.leaf(work, Leaf(leaf))).collect();
        let step = self.trainer.step();
        Some(Piece { round, task: work.task(), step, setup: self.setup, parameters, tree, node, leaves })
    }

    /// Takes a round's sum: trains, tells, and begins the next round.
    ///
    /// # Errors
    /// When the training can't go on.
    pub(crate) fn complete(
        &mut self,
        cluster: &mut Cluster<Sum>,
        sum: Sum,
        of: CompleteRound,
    ) -> Result<(), RunError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let CompleteRound { round, out_of_line, times: RoundTimes { begun_us, pieces } } = of;
        let step = self.trainer.step();
        let summed_us = self.clock.now_us().saturating_sub(begun_us);
        let workers = cluster.machine().members().count();
        let event = self.finish(work, sum, workers, out_of_line)?;
        let done_us = self.clock.now_us().saturating_sub(begun_us);
        let kind = work.round_kind();
        self.tell(RunEvent::Round(RoundRecord { step, round, kind, begun_us, summed_us, done_us, pieces }));
        self.tell(event);
        if let (Work::Test(Weights::Last), Some(mistakes)) = (work, &self.mistakes) {
            self.tell(RunEvent::Mistakes(mistakes.clone()));
        }
        self.checkpoint_if_due(cluster, work);
        self.begin_round(cluster);
        Ok(())
    }

    /// The checkpoint thread has done something.
    ///
    /// # Errors
    /// When it has failed in a way that ends the run.
    pub(crate) fn done(&mut self, cluster: &mut Cluster<Sum>, done: Done) -> Result<(), RunError> {
        match done {
            Done::Written(written) => self.written(written),
            Done::LookedBack(found) => self.looked_back(cluster, *found),
        }
    }

    /// Tells how the run ended, and lets go.
    pub(crate) fn end(self, result: Result<(), RunError>) -> Over {
        self.tell_end(&result);
        let is_complete = self.is_complete();
        let Self { tests, mistakes, trainer, records, shutdown, writer, events, .. } = self;
        let lost = || RunError::Internal("the run ended without a checkpoint".to_owned());
        let saved = result.and_then(|()| shutdown.into_saved().ok_or_else(lost));
        let trained = records.trained();
        let paused = trainer.paused().map(|at| Paused { epochs: at.epoch.0, validation: at.validation });
        let result = match saved {
            Ok(saved) => Ok(Ended {
                tests: if is_complete { tests } else { Vec::new() },
                mistakes: mistakes.filter(|_| is_complete),
                validations: trainer.validations(),
                best: trainer.best(),
                waited_in_vain: trainer.waited_in_vain(),
                saved,
                trained,
                paused,
            }),
            // What was computed must not be lost with what could not be written.
            Err(error) => Err(match tests.into_iter().next() {
                Some(test) => RunError::Tested { test: Box::new(test), error: Box::new(error) },
                None => error,
            }),
        };
        Over { result, threads: Threads { writer, events } }
    }

    /// Begins the next round, if the run is to go on.
    fn begin_round(&mut self, cluster: &mut Cluster<Sum>) {
        cluster.at_step(self.setup, self.trainer.step());
        self.work = self.trainer.next().filter(|_| !self.shutdown.is_ending());
        let now_us = self.clock.now_us();
        let Some(work) = self.work else { return cluster.end_round(now_us, self.setup) };
        match work {
            Work::Train => self.records.begin_step(now_us),
            Work::Validate(_) | Work::Test(_) | Work::TestViews(_) | Work::Guess(_) => self.records.pause(),
        }
        let params = (self.trainer.step(), work.weights());
        if self.params.replace(params).is_some_and(|before| before != params) {
            self.params_id += 1;
        }
        let leaves = 0..self.trainer.tree(work).leaves();
        let plan = RoundPlan {
            setup: self.setup,
            parameters: ParamsId(self.params_id),
            samples: leaves.map(|leaf| self.trainer.leaf_samples(work, Leaf(leaf))).collect(),
            kind: work.answer_kind(),
        };
        cluster.begin(now_us, plan);
    }

    /// Has the training take a round's sum. Returns what to tell of it.
    fn finish(
        &mut self,
        work: Work,
        sum: Sum,
        workers: usize,
        out_of_line: u32,
    ) -> Result<RunEvent, RunError> {
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
                RunEvent::Step(self.records.step(self.clock.now_us(), &stepped, workers, out_of_line))
            }
            Outcome::Validated(evaluated) => RunEvent::Validation(self.records.validation(&evaluated)),
            Outcome::Guessed(guessed) => RunEvent::PseudoLabels(pseudo_labels(&guessed)),
            Outcome::Tested(evaluated, mistakes) => {
                let event = RunEvent::Test(evaluation(&evaluated));
                self.tests.push(evaluated);
                self.mistakes = self.mistakes.take().or(mistakes);
                event
            }
        })
    }
}
