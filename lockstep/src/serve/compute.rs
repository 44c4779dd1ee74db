//! The threads that compute with the model. What waits is computed together, up to [`BATCH`] inputs at a
//! time.
//!
//! Each thread has a network of its own. Whoever asks waits for the answer until a deadline, and asks for one
//! piece at a time, so no more can wait than there are threads that ask.

use super::lane::Lane;
use super::metrics::Metrics;
use crate::answers;
use crate::predict::reader::{BATCH, Compute, ComputeError, logits};
use anyhow::Context;
use common::checkpoint::Model;
use common::data::spec::DataSpec;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tracing::error;
use worker::engine::network::Network;

/// Most pieces that wait: more than there are threads that ask.
const WAITING_MAX: usize = 64;

/// Inputs that wait for their logits.
struct Piece {
    pixels: Vec<u8>,
    inputs: usize,
    reply: SyncSender<Result<Vec<f32>, String>>,
}

/// The threads, seen by those who ask.
#[derive(Clone)]
pub struct Engine {
    lane: Arc<Lane<Piece>>,
    spec: DataSpec,
}

/// Somebody who asks, until a deadline.
pub struct Asking {
    engine: Engine,
    deadline: Arc<Mutex<Instant>>,
}

impl Engine {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the tensor library fails, or a thread can't be started.
    pub fn start(model: &Arc<Model>, threads: NonZeroUsize, metrics: &Arc<Metrics>) -> anyhow::Result<Self> {
        let lane = Arc::new(Lane::new(WAITING_MAX));
        let spec = model.architecture.input();
        for number in 0..threads.get() {
            let network = answers::network(model)?;
            let thread = Thread {
                model: Arc::clone(model),
                network,
                spec,
                lane: Arc::clone(&lane),
                metrics: Arc::clone(metrics),
            };
            let named = std::thread::Builder::new().name(format!("compute-{number}"));
            named.spawn(move || thread.run()).context("can't start a compute thread")?;
        }
        Ok(Self { lane, spec })
    }

    /// Number of pieces that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lane.len()
    }

    /// Ends the threads, after what they compute.
    pub fn close(&self) {
        self.lane.close();
    }

    /// One who asks, until the time in `deadline`, which its owner moves.
    #[must_use]
    pub fn asking(&self, deadline: &Arc<Mutex<Instant>>) -> Asking {
        Asking { engine: self.clone(), deadline: Arc::clone(deadline) }
    }
}

impl Compute for Asking {
    fn logits(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ComputeError> {
        let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        let (reply, answer) = sync_channel(1);
        let inputs = pixels.len() / self.engine.spec.image_bytes();
        let piece = Piece { pixels: pixels.to_vec(), inputs, reply };
        self.engine.lane.push(piece).map_err(|_| ComputeError::Late)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = answer.recv_timeout(left).map_err(|_| ComputeError::Late)?;
        answer.map_err(ComputeError::Shared)
    }
}

/// A thread with its network.
struct Thread {
    model: Arc<Model>,
    network: Network,
    spec: DataSpec,
    lane: Arc<Lane<Piece>>,
    metrics: Arc<Metrics>,
}

impl Thread {
    fn run(mut self) {
        while let Some(first) = self.lane.pop() {
            let mut inputs = first.inputs;
            let mut batch = vec![first];
            while let Some(next) = self.lane.pop_if(|next| inputs + next.inputs <= BATCH) {
                inputs += next.inputs;
                batch.push(next);
            }
            self.metrics.batch(inputs);
            self.answer(&batch);
        }
    }

    fn answer(&mut self, batch: &[Piece]) {
        let pixels = batch.iter().map(|piece| piece.pixels.as_slice()).collect::<Vec<_>>().concat();
        let computed = catch_unwind(AssertUnwindSafe(|| logits(&mut self.network, self.spec, pixels)));
        let computed = computed.map_err(|_| "the arithmetic panicked".to_owned());
        match computed.and_then(|logits| logits.map_err(|error| error.to_string())) {
            Ok(logits) => {
                let mut rest = logits.as_slice();
                for piece in batch {
                    let own;
                    (own, rest) = rest.split_at(piece.inputs * self.spec.classes());
                    // Who asked may have given up.
                    let _ = piece.reply.send(Ok(own.to_vec()));
                }
            }
            Err(problem) => {
                error!(problem, "the model can't compute");
                for piece in batch {
                    let _ = piece.reply.send(Err(problem.clone()));
                }
                // Its buffers may be half written.
                if let Ok(network) = answers::network(&self.model) {
                    self.network = network;
                }
            }
        }
    }
}
