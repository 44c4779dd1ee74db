//! One run, from its options to its summary: gathers data, configuration and checkpoint, then starts server
//! and driver.
//!
//! [`prepare`] does all that can fail before a worker is needed; it blocks. [`Prepared::run`] is the run
//! itself.
//!
//! A program that trains with workers of its own choice:
//!
//! ```no_run
//! use clap::Parser;
//! use coordinator::cli::Flags;
//! use coordinator::observe::console::Console;
//! use coordinator::run::prepare;
//!
//! let flags = Flags::try_parse_from(["program", "--bind", "127.0.0.1:0", "--dataset", "digits"])?;
//! let prepared = prepare(flags.options()?, &Console::silent())?;
//! println!("start workers with --connect {}", prepared.local_address());
//! // Sending a number above 0 asks for an end.
//! let (_stop, requests) = tokio::sync::watch::channel(0);
//! let summary = tokio::runtime::Runtime::new()?.block_on(prepared.run(requests))?;
//! println!("{} steps, model {}", summary.steps, summary.model_sha256);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batches;
pub(crate) mod records;
mod resume;
mod speed;
pub mod sum;
pub mod trainer;
pub mod work;

use crate::RunError;
use crate::cluster::driver::outputs::setup_of;
use crate::cluster::driver::{Driver, Ended, Rules};
use crate::dataset::{self, Dataset, DatasetChoice};
use crate::local::{Local, LocalWorkers};
use crate::mailbox::{INBOX, Input};
pub use crate::net::listener::Listen;
use crate::net::listener::Sockets;
use crate::net::{accept, server};
use crate::observe::console::Console;
use crate::observe::events::Events;
use crate::observe::jsonl::{MetricsFile, Place};
use crate::observe::{Observer, Observers};
use crate::run::resume::Found;
pub use crate::run::resume::Resume;
use crate::run::trainer::{Evaluated, Trainer};
use crate::store::writer::Writer;
use crate::store::{Saved, Store, StoreError};
use crate::training_flags::TrainingFlags;
use common::checkpoint::Best;
use common::protocol::coordinator::Limits;
use common::selftest::NumericsDigest;
use common::train::config::{DataIdentity, RunConfig, difference};
use host::logging::LogFormat;
use host::stop::StopRequests;
use proto::setup::Setups;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

/// For adding gradients and updating parameters: more would only wait for memory.
const ARITHMETIC_THREADS_MAX: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");
/// For open connections to end after the run has.
const SERVER_GRACE: Duration = Duration::from_secs(3);
/// Where checkpoints are kept if nobody says where.
pub const CHECKPOINT_DIR: &str = "checkpoints";
/// The name of the metrics file where no other is given.
const METRICS_FILE: &str = "metrics.jsonl";

/// What an operator chose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where workers come in.
    pub listen: Listen,
    /// How many workers.
    pub limits: Limits,
    /// Whether the run goes back to before a worker joined that is found to miscompute.
    pub audit_rollback: bool,
    /// Workers to start here.
    pub local: Option<Local>,
    /// The data.
    pub dataset: DatasetChoice,
    /// Where MNIST lies or is put.
    pub data_dir: Option<PathBuf>,
    /// Everything that the numbers depend on, but for the data.
    pub training: TrainingFlags,
    /// Where checkpoints are kept, if not in [`CHECKPOINT_DIR`] or where `resume` names several.
    pub checkpoint_dir: Option<PathBuf>,
    /// Steps between checkpoints besides those at the end of each epoch; 0 for none.
    pub checkpoint_every: u64,
    /// Whether a checkpoint that can't be written ends the run.
    pub checkpoint_required: bool,
    /// How many are kept.
    pub keep: usize,
    /// Whether to go on from one.
    pub resume: Resume,
    /// Where metrics go, if not into the checkpoint directory.
    pub metrics: Option<PathBuf>,
    /// How lines of the log look.
    pub log_format: LogFormat,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The data set's name.
    pub dataset: String,
    /// Steps done.
    pub steps: u64,
    /// Steps that the whole run has.
    pub steps_total: u64,
    /// On the test samples, if the run is complete.
    pub test: Option<Evaluated>,
    /// The best validation.
    pub best: Option<Best>,
    /// The last checkpoint's directory.
    pub checkpoint: PathBuf,
    /// SHA-256 of its `model.safetensors`, in hex.
    pub model_sha256: String,
    /// SHA-256 of its `optimizer.safetensors`, in hex.
    pub optimizer_sha256: String,
    /// Time spent in training steps.
    pub train_seconds: f64,
    /// Samples a second in training steps, 0 when there was none.
    pub samples_per_s: f64,
}

/// A run that only lacks workers.
pub struct Prepared {
    options: Options,
    console: Console,
    dataset: String,
    store: Store,
    trainer: Trainer,
    /// The checkpoint that it goes on from.
    resumed: Option<Saved>,
    /// The arithmetic that the checkpoint records.
    numerics: Option<NumericsDigest>,
    observers: Observers,
    run_id: String,
    sockets: Sockets,
}

/// Gathers all that a run needs.
///
/// # Errors
/// When the data, the configuration, the checkpoint directory or the address can't be used.
pub fn prepare(options: Options, console: &Console) -> Result<Prepared, RunError> {
    let store = Store::open(&resume::checkpoint_dir(&options), options.keep)?;
    let place = match &options.metrics {
        Some(path) => Place::Named(path.clone()),
        None => Place::Own(store.root().join(METRICS_FILE)),
    };
    let Found { saved, training } = resume::find(&store, &options, place.path())?;
    let choice = match (&options.dataset, &saved) {
        // What a run has begun with it goes on with.
        (DatasetChoice::Auto, Some((path, saved))) => resume::dataset_of(path, &saved.manifest)?,
        (choice, _) => choice.clone(),
    };
    let data = dataset::load(&choice, options.data_dir.as_deref(), console)?;
    let Dataset { name, digest, train, test, note } = data;
    note.iter().for_each(|note| console.line(note));
    let data = DataIdentity { name: name.clone(), digest, samples: train.len() as u32, spec: train.spec() };
    let config = RunConfig::new(training, data)?;
    let resumed = saved.as_ref().map(|(path, saved)| Saved::new(path.clone(), &saved.manifest));
    let numerics = saved.as_ref().and_then(|(_, saved)| saved.manifest.numerics);
    let trainer = match saved {
        None => Trainer::start(config, train, test),
        Some((path, saved)) => {
            let differences = difference(&saved.manifest.config, &config.fields());
            if !differences.is_empty() {
                return Err(StoreError::Different { path, differences }.into());
            }
            console.line(&format!("resuming from {}", path.display()));
            Trainer::resume(config, train, test, saved)?
        }
    };
    let sockets = Sockets::open(&options.listen)?;
    let fingerprint = trainer.config().fingerprint();
    let run_id = fingerprint[..12].to_owned();
    let metrics = open_metrics(&trainer, resumed.is_some(), &place)?;
    let observers = Observers::of_program(console, options.log_format, metrics);
    let console = console.clone();
    Ok(Prepared {
        options,
        console,
        dataset: name,
        store,
        trainer,
        resumed,
        numerics,
        observers,
        run_id,
        sockets,
    })
}

fn open_metrics(trainer: &Trainer, resumed: bool, place: &Place) -> Result<MetricsFile, RunError> {
    let fingerprint = trainer.config().fingerprint();
    if !resumed {
        return Ok(MetricsFile::create(place, &fingerprint)?);
    }
    let (file, found) = MetricsFile::resume(place, &fingerprint, trainer.step())?;
    if found.unreadable > 1 {
        warn!(path = %place.path().display(), lines = found.unreadable, "dropped lines that are no records");
    }
    Ok(file)
}

impl Prepared {
    /// Where workers can connect over TCP, if they can.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.sockets.address
    }

    /// The fastest way for a worker on this machine.
    #[must_use]
    pub fn local_address(&self) -> &str {
        &self.sockets.local_address
    }

    /// Has one more observer told what happens; `name` is also its thread's.
    pub fn observe(&mut self, name: &'static str, observer: impl Observer + 'static) {
        self.observers.add(name, observer);
    }

    /// Trains until the run is complete or `stop` asks for an end.
    ///
    /// # Errors
    /// When the run fails; the last checkpoint is on disk then.
    pub async fn run(self, stop: StopRequests) -> Result<Summary, RunError> {
        let Self {
            options,
            console,
            dataset,
            store,
            mut trainer,
            resumed,
            numerics,
            observers,
            run_id,
            sockets,
        } = self;
        let layout = trainer.layout().clone();
        let steps_total = trainer.config().length().total;
        let (inbox, receiver) = mpsc::channel(INBOX);
        let internal = |what: &str| RunError::Internal(what.to_owned());
        let here = sockets.local_address.clone();
        let bound = sockets.address;
        let listeners = sockets.listen()?;
        let (end_server, until) = watch::channel(());
        let setups = Setups::default();
        setups.insert(&setup_of(trainer.config()));
        let names = options.local.as_ref().map(Local::names).unwrap_or_default();
        let limits = accept::Limits::new(options.limits.max, options.limits.spares, names.len() as u32);
        let mut server = tokio::spawn(server::serve(listeners, names, setups, inbox.clone(), limits, until));
        let asking = tokio::spawn(forward(stop, inbox.clone()));
        let local = match &options.local {
            Some(local) => Some(LocalWorkers::start(local, &here, &console, &inbox)?),
            None => None,
        };

        let written = inbox.clone();
        let writer = Writer::start(store, layout, move |done| {
            // The receiver is gone only when the run is over.
            let _ = written.blocking_send(done.into());
        });
        let writer = writer.map_err(|source| RunError::Thread { name: "checkpoint", source })?;
        trainer.set_threads(arithmetic_threads());
        let events = Events::start(observers).map_err(|(name, source)| RunError::Thread { name, source })?;
        let mut driver = Driver::new(rules(&options, run_id, numerics), trainer, events, writer);
        driver.introduce(bound, resumed);
        let handle = tokio::runtime::Handle::current();
        let (done, mut result) = oneshot::channel();
        let thread = std::thread::Builder::new().name("driver".into()).spawn(move || {
            // Nobody waits any more when the server has failed.
            let _ = done.send(driver.run(&handle, receiver));
        });
        thread.map_err(|source| RunError::Thread { name: "driver", source })?;

        let ended = tokio::select! {
            ended = &mut result => ended.map_err(|_| internal("the driver thread panicked"))?,
            failed = &mut server => {
                let what = failed.map_or_else(|e| e.to_string(), |r| format!("{r:?}"));
                Err(RunError::Server { address: here, what })
            }
        };
        asking.abort();
        drop(end_server);
        if let Some(local) = local {
            local.end().await;
        }
        if !server.is_finished() && tokio::time::timeout(SERVER_GRACE, &mut server).await.is_err() {
            server.abort();
        }
        Ok(summarize(ended?, dataset, steps_total))
    }
}

/// Threads that add gradients and update parameters.
fn arithmetic_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).min(ARITHMETIC_THREADS_MAX)
}

/// What the driver has to know of the options.
fn rules(options: &Options, run_id: String, numerics: Option<NumericsDigest>) -> Rules {
    Rules {
        limits: options.limits,
        numerics,
        run_id,
        checkpoint_every: options.checkpoint_every,
        checkpoint_required: options.checkpoint_required,
        audit_rollback: options.audit_rollback,
    }
}

async fn forward(mut stop: StopRequests, inbox: mpsc::Sender<Input>) {
    while stop.changed().await.is_ok() {
        if inbox.send(Input::Stop).await.is_err() {
            return;
        }
    }
}

fn summarize(ended: Ended, dataset: String, steps_total: u64) -> Summary {
    let Ended { test, best, saved, trained: (train_seconds, samples) } = ended;
    let Saved { path, step, model_sha256, optimizer_sha256 } = saved;
    Summary {
        dataset,
        steps: step.0,
        steps_total,
        test,
        best,
        checkpoint: path,
        model_sha256,
        optimizer_sha256,
        train_seconds,
        samples_per_s: if samples == 0 { 0.0 } else { samples as f64 / train_seconds.max(1e-9) },
    }
}
