//! One run, as far as it needs no workers: gathers data, configuration and checkpoint, and holds the
//! training.
//!
//! [`prepare_run`] does all that can fail before a worker is needed; it blocks. A session starts what it
//! returns ([`Session::start`](crate::session::Session::start)), and calls it while it is in progress
//! (`in_progress`). Nothing here knows a socket; which cluster computes a run's rounds is not decided here.
//!
//! ```no_run
//! use clap::Parser;
//! use coordinator::cli::Flags;
//! use coordinator::observe::console::Console;
//! use coordinator::run::prepare_run;
//!
//! let flags = Flags::try_parse_from(["program", "--dataset", "digits", "--model", "lenet5"])?;
//! // Reads the data and any checkpoint to go on from, and checks the configuration against them.
//! let run = prepare_run(&flags.options()?.run, &Console::silent())?;
//! # let _ = run;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod batches;
mod brought;
mod describe;
mod files;
pub(crate) mod in_progress;
pub mod mistakes;
pub mod outcome;
pub(crate) mod records;
mod resume;
mod settle;
mod speed;
mod summary;
pub mod trainer;
mod unlabelled;
mod weights;
pub mod work;

use crate::RunError;
use crate::dataset::{self, Dataset, DatasetChoice, DatasetError, Named};
use crate::mirror::{Mirror, MirrorUrl};
use crate::net::access::Trust;
use crate::observe::console::Console;
use crate::observe::events::Events;
use crate::observe::jsonl::{MetricsFile, UsablePlace};
use crate::observe::server::Server;
use crate::observe::tui::Tui;
use crate::observe::web::{Listener, Page};
use crate::observe::{Observer, Observers};
use crate::run::brought::Brought;
pub use crate::run::in_progress::Paused;
use crate::run::in_progress::{Rules, RunInProgress};
pub use crate::run::resume::Resume;
use crate::run::resume::{Beginning, Found};
use crate::run::settle::settle;
pub(crate) use crate::run::summary::Facts;
pub use crate::run::summary::Summary;
use crate::run::trainer::Trainer;
use crate::store::writer::{Done, Writer};
use crate::store::{Saved, Store, StoreError};
use crate::training_flags::TrainingFlags;
use common::ids::SetupId;
use common::selftest::NumericsDigest;
use common::train::config::{RunConfig, difference};
use common::train::doubts::doubts;
use host::clock::Clock;
use host::logging::LogFormat;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Instant;
use tracing::warn;

/// Where checkpoints are kept if nobody says where.
pub const CHECKPOINT_DIR: &str = "checkpoints";

/// What an operator chose for a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Whether the run goes back to before a worker joined that is found to miscompute.
    pub audit_rollback: bool,
    /// Name or folder of the data set.
    pub dataset: DatasetChoice,
    /// Where a named data set lies or is put.
    pub data_dir: Option<PathBuf>,
    /// The same for MNIST, where `data_dir` does not say.
    pub mnist_dir: Option<PathBuf>,
    /// Everything that the numbers depend on, but for the data.
    pub training: TrainingFlags,
    /// Where checkpoints are kept, if not in [`CHECKPOINT_DIR`] or where `resume` names several.
    pub checkpoint_dir: Option<PathBuf>,
    /// Folder for all that the run leaves, in place of `checkpoint_dir` and `metrics`.
    pub run_dir: Option<PathBuf>,
    /// Tracker that is told of the run, if it has a `run_dir`.
    pub mlflow: Option<Server>,
    /// Whether to keep a file of events, where there is no `run_dir`, which has one.
    pub events: bool,
    /// Steps between checkpoints besides those at the end of each epoch; 0 for none.
    pub checkpoint_every: u64,
    /// Whether a checkpoint that can't be written ends the run.
    pub checkpoint_required: bool,
    /// How many are kept.
    pub keep: usize,
    /// Bucket that gets them too.
    pub mirror: Option<MirrorUrl>,
    /// Whether to go on from one.
    pub resume: Resume,
    /// When the run writes a checkpoint and stops, if it is not over by then.
    pub stop_at: Option<Instant>,
    /// Steps after which the run is over, even if it has more epochs.
    pub max_steps: Option<u64>,
    /// Whether each test is done once more with nine views of each image.
    pub test_views: bool,
    /// Whole epochs after which the run pauses, without a test; it can go on later.
    pub pause_after: Option<u64>,
    /// Workers with which the run begins; more may join, and any may leave.
    pub workers_start: u32,
    /// Where metrics go, if not into the checkpoint directory.
    pub metrics: Option<PathBuf>,
    /// Collector of traces, if there is to be one.
    pub otlp: Option<Server>,
    /// Whether the run is drawn on the terminal.
    pub tui: bool,
    /// Address of a page about the run, if there is to be one.
    pub http: Option<String>,
    /// Who may read that page.
    pub readers: Trust,
    /// How lines of the log look.
    pub log_format: LogFormat,
}

/// All that a run needs but its observers and a cluster.
pub(crate) struct Gathered {
    facts: Facts,
    stop_at: Option<Instant>,
    /// File that the metrics are written to. Dropped before the store, in whose folder it may be.
    metrics: UsablePlace,
    store: Store,
    mirror: Option<Mirror>,
    beginning: Beginning,
    trainer: Trainer,
    /// The checkpoint that it goes on from.
    resumed: Option<Saved>,
    /// The arithmetic that the checkpoint records.
    numerics: Option<NumericsDigest>,
    /// The page about the run, which is not served yet.
    page: Option<Listener>,
}

/// A run that only lacks a cluster.
pub struct PreparedRun {
    rules: Rules,
    facts: Facts,
    store: Store,
    mirror: Option<Mirror>,
    trainer: Trainer,
    resumed: Option<Saved>,
    numerics: Option<NumericsDigest>,
    observers: Observers,
}

/// A run that can be handed to a driver, with what it goes on from.
pub(crate) struct Launched {
    pub(crate) run: RunInProgress,
    pub(crate) facts: Facts,
    pub(crate) resumed: Option<Saved>,
    pub(crate) numerics: Option<NumericsDigest>,
    pub(crate) mirror: Option<Mirror>,
}

/// Gathers all that a run needs but a cluster.
///
/// # Errors
/// When the data, the configuration, the checkpoint directory or the metrics file can't be used.
pub fn prepare_run(options: &RunOptions, console: &Console) -> Result<PreparedRun, RunError> {
    gather(options, console)?.observed(options, console)
}

/// Reads a data set from where the operator says that it lies.
///
/// # Errors
/// When it can't be had.
pub(crate) fn read_data(
    options: &RunOptions,
    choice: &DatasetChoice,
    console: &Console,
) -> Result<Dataset, DatasetError> {
    let is_mnist = matches!(choice, DatasetChoice::Auto | DatasetChoice::Named(Named::Mnist));
    let of_mnist = options.mnist_dir.as_deref().filter(|_| is_mnist);
    dataset::load(choice, options.data_dir.as_deref().or(of_mnist), console)
}

/// Prepares one of several runs on data that is read already. Nothing is said of it, and of its observers
/// only the metrics are there.
///
/// # Errors
/// When the configuration, the checkpoint directory or the metrics file can't be used.
pub(crate) fn prepare_on(data: &Dataset, options: &RunOptions) -> Result<PreparedRun, RunError> {
    let gathered = gather_on(Some(data), options, &Console::silent())?;
    gathered.begun(options, None, Observers::of_metrics)
}

/// The configuration that a run with these flags would have on that data from its beginning.
///
/// # Errors
/// When a setting is out of its range, or does not fit the others or the data.
pub(crate) fn configuration(data: &Dataset, flags: &TrainingFlags) -> Result<RunConfig, RunError> {
    let training = flags.resolve(None).map_err(RunError::Flags)?;
    let (mut training, _) = settle(training, flags, None, &data.train, &data.classes)?;
    let _ = Brought::read(flags, &mut training, data.train.spec(), &data.classes)?;
    Ok(RunConfig::new(training, data.identity())?)
}

/// Gathers what a run needs, and leaves everything as it is.
///
/// # Errors
/// When the data, the configuration, the checkpoint directory or the metrics file can't be used.
pub(crate) fn gather(options: &RunOptions, console: &Console) -> Result<Gathered, RunError> {
    gather_on(None, options, console)
}

/// Gathers what a run needs, on the data that it names or on such that is read already. Of what is doubtful
/// about one of several runs nothing is said.
fn gather_on(data: Option<&Dataset>, options: &RunOptions, console: &Console) -> Result<Gathered, RunError> {
    let is_lone = data.is_none();
    let mut store = Store::open(&resume::checkpoint_dir(options), options.keep)?;
    for lacking in store.probe()?.consequences().filter(|_| is_lone) {
        warn!(folder = %store.root().display(), "the file system of the checkpoints lacks something: {lacking}");
    }
    let mirror = options.mirror.as_ref().map(|url| Mirror::open(url, store.root(), store.keep()));
    let mirror = mirror.transpose()?;
    let Found { saved, training, beginning } = resume::find(&mut store, mirror.as_ref(), options)?;
    let choice = match (&options.dataset, &saved) {
        // What a run has begun with it goes on with.
        (DatasetChoice::Auto, Some((path, saved))) => resume::dataset_of(path, &saved.manifest)?,
        (choice, _) => choice.clone(),
    };
    let data = match data {
        Some(data) => data.clone(),
        None => read_data(options, &choice, console)?,
    };
    let identity = data.identity();
    let Dataset { name, classes, train, test, note, .. } = data;
    note.iter().for_each(|note| console.line(note));
    let spec = train.spec();
    let base = matches!(options.resume, Resume::From(_)).then_some(training.val_split);
    let (mut training, said) = settle(training, &options.training, base, &train, &classes)?;
    said.iter().for_each(|said| console.line(said));
    let brought = Brought::read(&options.training, &mut training, spec, &classes)?;
    let config = RunConfig::new(training, identity)?;
    if let Some(mirror) = &mirror {
        let step = saved.as_ref().map(|(_, saved)| saved.manifest.position.step);
        mirror.check(&config.fields(), step, options.resume == Resume::Auto)?;
    }
    let remarks = brought.remarks(&config).into_iter().chain(options.training.remarks(&config));
    remarks.for_each(|remark| console.line(&remark));
    let doubts = doubts(&config, options.workers_start).into_iter().chain(brought.doubts(&config));
    for doubt in doubts.filter(|_| is_lone) {
        warn!("is this meant? {doubt}");
    }
    let resumed = saved.as_ref().map(|(path, saved)| Saved::new(path.clone(), &saved.manifest));
    let numerics = saved.as_ref().and_then(|(_, saved)| saved.manifest.numerics);
    let mut trainer = match saved {
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
    brought.hand_to(&mut trainer);
    trainer.end_after(options.max_steps);
    trainer.set_test_views(options.test_views);
    options.pause_after.into_iter().for_each(|epochs| trainer.pause_after(epochs));
    let place = files::metrics_place(options, &store);
    let metrics = UsablePlace::find(&place, &trainer.config().fingerprint())?;
    let page = options.http.as_deref().map(files::open_page).transpose()?;
    let facts = Facts { dataset: name, steps_total: trainer.end().0 };
    Ok(Gathered {
        facts,
        stop_at: options.stop_at,
        store,
        mirror,
        beginning,
        metrics,
        trainer,
        resumed,
        numerics,
        page,
    })
}

impl Gathered {
    /// Moves aside what the run does not go on from, begins its metrics, and adds the program's observers.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn observed(
        mut self,
        options: &RunOptions,
        console: &Console,
    ) -> Result<PreparedRun, RunError> {
        let page = self.page.take().map(|page| page.for_readers(&options.readers)).transpose()?;
        let link = page.as_ref().and_then(|page| page.access().link(&options.readers));
        let observers = |metrics| Observers::of_program(console, options.log_format, metrics);
        let mut run = self.begun(options, page, observers)?;
        link.iter().for_each(|link| console.line(link));
        if options.tui {
            let history = files::history(options, &run.store, run.resumed.is_some());
            run.observe("tui", Tui::start(console, &history).map_err(RunError::Terminal)?);
        }
        Ok(run)
    }

    /// Moves aside what the run does not go on from, and begins its metrics, for which there are observers.
    fn begun(
        self,
        options: &RunOptions,
        page: Option<Page>,
        observers: impl FnOnce(MetricsFile) -> Observers,
    ) -> Result<PreparedRun, RunError> {
        let Self {
            facts,
            stop_at,
            mut store,
            mut mirror,
            beginning,
            metrics,
            trainer,
            resumed,
            numerics,
            ..
        } = self;
        store.begin();
        store.adopt()?;
        beginning.perform(&store, metrics.path())?;
        if let Some(mirror) = &mut mirror {
            store.mirror_to(mirror.begin(resumed.as_ref().map(|from| (from.step, from.path.as_path())))?);
        }
        let resumed_at = resumed.is_some().then(|| trainer.step());
        let fingerprint = trainer.config().fingerprint();
        let mut observers = observers(files::begin_metrics(metrics, resumed_at)?);
        files::add_event_log(&mut observers, options, &store)?;
        files::add_tensorboard(&mut observers, options, &fingerprint, resumed_at);
        files::add_mlflow(&mut observers, options)?;
        files::add_otlp(&mut observers, options)?;
        if let Some(page) = page {
            files::add_page(&mut observers, page, &files::history(options, &store, resumed.is_some()))?;
        }
        let rules = Rules {
            run_id: fingerprint[..12].to_owned(),
            stop_at,
            checkpoint_every: options.checkpoint_every,
            checkpoint_required: options.checkpoint_required,
            audit_rollback: options.audit_rollback,
        };
        Ok(PreparedRun { rules, facts, store, mirror, trainer, resumed, numerics, observers })
    }
}

impl PreparedRun {
    /// Has one more observer told what happens; `name` is also its thread's.
    pub fn observe(&mut self, name: &'static str, observer: impl Observer + 'static) {
        self.observers.add(name, observer);
    }

    /// The settings that the run's numbers depend on.
    #[must_use]
    pub fn settings(&self) -> BTreeMap<String, String> {
        self.trainer.config().fields()
    }

    /// Starts the threads of the run: one for checkpoints, which calls `done`, and one for each observer.
    /// `threads` add gradients and update parameters.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub(crate) fn launch(
        self,
        clock: Clock,
        setup: SetupId,
        threads: NonZeroUsize,
        done: impl FnMut(Done) + Send + 'static,
    ) -> Result<Launched, RunError> {
        let Self { rules, facts, store, mirror, mut trainer, resumed, numerics, observers } = self;
        let writer = Writer::start(store, trainer.layout().clone(), done);
        let writer = writer.map_err(|source| RunError::Thread { name: "checkpoint", source })?;
        trainer.set_threads(threads);
        let events = Events::start(observers).map_err(|(name, source)| RunError::Thread { name, source })?;
        let run = RunInProgress::new(rules, clock, setup, trainer, events, writer);
        Ok(Launched { run, facts, resumed, numerics, mirror })
    }
}
