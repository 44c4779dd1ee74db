//! The compute threads, which turn leaves into sums of pieces.
//!
//! Each thread owns a network and takes one leaf at a time, so a leaf's bits do not depend on the number of
//! threads. A finished leaf is added to its piece's reduction, in tree order. The thread that completes a
//! piece delivers it. The threads end when the [`Pool`] is dropped, after the leaf in progress.

use crate::engine::network::{Network, NetworkError};
use common::data::samples::Samples;
use common::ids::{Incarnation, ParamsId, Round, Step};
use common::reduce::parallel;
use common::reduce::precision::Precision;
use common::reduce::tree::{Inserted, Node, Reduction};
use common::rng::LeafAddress;
use common::train::metrics::{Confusion, Totals};
use host::trace;
use proto::message::{Answer, AnswerBody, Piece, Task};
use proto::setup::Setup;
use proto::values::Values;
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// One version of a setup's parameters, shared by all threads.
#[derive(Debug)]
pub struct Parameters {
    /// The setup that they belong to.
    pub setup: Arc<Setup>,
    /// Number of this version.
    pub id: ParamsId,
    /// Values as a flat vector, in layout order.
    pub values: Values,
}

/// Result that the pool delivers.
#[derive(Debug)]
pub enum Outcome {
    /// A piece is complete.
    Computed(Answer),
    /// A leaf can't be computed, so the worker must end.
    Failed(String),
}

/// Compute threads and the leaves that wait for them.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Its length is bounded by what the coordinator hands out: two pieces of at most 64 leaves in a
    /// membership, or one for each thread.
    queue: Mutex<Queue>,
    wake: Condvar,
    deliver: Box<dyn Fn(Outcome) + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    leaves: VecDeque<Job>,
    closed: bool,
}

struct Job {
    piece: Arc<PieceWork>,
    leaf: u32,
    samples: Samples,
}

struct PieceWork {
    incarnation: Incarnation,
    round: Round,
    task: Task,
    step: Step,
    node: Node,
    parameters: Arc<Parameters>,
    /// `None` once the piece is delivered.
    reduction: Mutex<Option<Reduction<(Totals, AnswerBody)>>>,
}

impl Pool {
    /// Starts `threads` threads. `deliver` is called on them.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn start(threads: u32, deliver: impl Fn(Outcome) + Send + Sync + 'static) -> std::io::Result<Self> {
        let shared =
            Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new(), deliver: Box::new(deliver) });
        let mut pool = Self { shared, threads: Vec::new() };
        for index in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let thread = std::thread::Builder::new().name(format!("compute-{index}"));
            pool.threads.push(thread.spawn(move || shared.run())?);
        }
        Ok(pool)
    }

    /// Queues every leaf of `piece`.
    pub fn compute(&self, incarnation: Incarnation, piece: Piece, parameters: Arc<Parameters>) {
        let Piece { round, task, step, tree, node, leaves, .. } = piece;
        let reduction = Mutex::new(Some(Reduction::new(tree, node)));
        let work = Arc::new(PieceWork { incarnation, round, task, step, node, parameters, reduction });
        let jobs = tree.leaves_below(node).zip(leaves);
        let jobs = jobs.map(|(leaf, samples)| Job { piece: Arc::clone(&work), leaf, samples });
        self.shared.lock().leaves.extend(jobs);
        self.shared.wake.notify_all();
    }

    /// Drops the leaves of this round that no thread has taken yet.
    pub fn forget(&self, round: Round) {
        self.shared.lock().leaves.retain(|job| job.piece.round != round);
    }

    /// Drops all leaves that no thread has taken yet.
    pub fn forget_all(&self) {
        self.shared.lock().leaves.clear();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.leaves.clear();
        queue.closed = true;
        drop(queue);
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A panic has already been delivered as a failure.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let work = std::panic::AssertUnwindSafe(|| self.work());
        let failure = match std::panic::catch_unwind(work) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a compute thread panicked".to_owned(),
        };
        (self.deliver)(Outcome::Failed(failure));
    }

    fn work(&self) -> Result<(), NetworkError> {
        let mut loaded: Option<(Arc<Parameters>, Network)> = None;
        while let Some(Job { piece, leaf, samples }) = self.next() {
            let computing = trace::span("compute");
            let network = match &mut loaded {
                Some((parameters, network)) if Arc::ptr_eq(parameters, &piece.parameters) => network,
                other => load(other, &piece.parameters)?,
            };
            let Setup { precision, seed, .. } = *piece.parameters.setup;
            let address = LeafAddress { seed, step: piece.step.0, leaf };
            let value = compute(network, piece.task, precision, &samples, address)?;
            drop(computing);
            if let Some((totals, body)) = piece.insert(leaf, value) {
                (self.deliver)(Outcome::Computed(Answer {
                    incarnation: piece.incarnation,
                    setup: piece.parameters.setup.id,
                    round: piece.round,
                    node: piece.node,
                    totals,
                    body,
                    precision,
                }));
            }
        }
        Ok(())
    }

    /// Waits for a leaf, without a deadline; `None` when the pool is dropped.
    ///
    /// A thread that has slept yields its core once before it begins. At this moment this worker's network
    /// thread, and a coordinator on the same machine, have more to send. Without the yield that waited for
    /// the system's next tick, up to 4 ms, in one step of five. The price: other programs that always want
    /// the same cores get them for up to a tick in each step.
    fn next(&self) -> Option<Job> {
        let _span = trace::span("wait");
        let mut has_slept = false;
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.leaves.pop_front() {
                drop(queue);
                if has_slept {
                    std::thread::yield_now();
                }
                return Some(job);
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            has_slept = true;
        }
    }
}

impl PieceWork {
    /// Adds a leaf's value. Returns the piece's sum when it is complete.
    fn insert(&self, leaf: u32, value: (Totals, AnswerBody)) -> Option<(Totals, AnswerBody)> {
        let _span = trace::span("add");
        let mut reduction = self.reduction.lock().unwrap_or_else(PoisonError::into_inner);
        let precision = self.parameters.setup.precision;
        match reduction
            .as_mut()?
            .insert(Node::leaf(leaf), value, |_, left, right| add(left, right, precision))
        {
            Inserted::Complete => reduction.take()?.into_result(),
            Inserted::Added | Inserted::Duplicate => None,
        }
    }
}

fn load<'a>(
    loaded: &'a mut Option<(Arc<Parameters>, Network)>,
    parameters: &Arc<Parameters>,
) -> Result<&'a mut Network, NetworkError> {
    let Setup { model, normalization, augment, objective, rounded_weights, teacher, .. } = &*parameters.setup;
    let teacher = teacher.as_ref();
    let is_same = |network: &Network| {
        network.model() == model
            && network.normalization() == normalization
            && network.objective() == (*augment, objective)
            && network.rounds_weights() == *rounded_weights
            && network.learns_from(teacher)
    };
    let mut network = match loaded.take() {
        Some((_, network)) if is_same(&network) => network,
        _ => Network::new(model)?
            .with_normalization(normalization.clone())
            .with_objective(*augment, objective.clone())
            .with_rounded_weights(*rounded_weights)
            .with_teacher(teacher)?,
    };
    network.load(&parameters.values)?;
    Ok(&mut loaded.insert((Arc::clone(parameters), network)).1)
}

fn compute(
    network: &mut Network,
    task: Task,
    precision: Precision,
    samples: &Samples,
    address: LeafAddress,
) -> Result<(Totals, AnswerBody), NetworkError> {
    let (loss_sum, predictions, body) = match task {
        Task::Guess => {
            let leaf = network.guess(samples)?;
            let samples = samples.len() as u64;
            let totals = Totals { samples, correct: 0, loss_sum: leaf.loss_sum };
            return Ok((totals, AnswerBody::Guesses(leaf.guesses)));
        }
        Task::Train => {
            let mut leaf = network.gradient(samples, address)?;
            precision.round(&mut leaf.gradient);
            (leaf.loss_sum, leaf.predictions, AnswerBody::Gradient(leaf.gradient.into()))
        }
        Task::EvaluateEach => {
            let (leaf, guesses) = network.evaluate_each(samples)?;
            (leaf.loss_sum, leaf.predictions, AnswerBody::Guesses(guesses))
        }
        Task::Evaluate | Task::EvaluateViews => {
            let leaf = match task {
                Task::EvaluateViews => network.evaluate_views(samples)?,
                _ => network.evaluate(samples)?,
            };
            let predictions = samples.labels().iter().copied().zip(leaf.predictions.iter().copied());
            let confusion = Confusion::of(samples.spec().classes(), predictions);
            (leaf.loss_sum, leaf.predictions, AnswerBody::Confusion(Box::new(confusion)))
        }
    };
    let correct = samples.labels().iter().zip(&predictions).filter(|(label, guess)| label == guess).count();
    Ok((Totals { samples: samples.len() as u64, correct: correct as u64, loss_sum }, body))
}

/// `left + right`, element by element; of guesses, `left` and then `right`.
fn add(left: &mut (Totals, AnswerBody), right: (Totals, AnswerBody), precision: Precision) {
    left.0.add(&right.0);
    match (&mut left.1, right.1) {
        (AnswerBody::Gradient(left), AnswerBody::Gradient(right)) => {
            // One thread: the others have their own leaves.
            parallel::add(left, &right, precision, NonZeroUsize::MIN);
        }
        (AnswerBody::Confusion(left), AnswerBody::Confusion(right)) => left.add(&right),
        (AnswerBody::Guesses(left), AnswerBody::Guesses(right)) => left.extend(right),
        _ => unreachable!("a piece has one task"),
    }
}
