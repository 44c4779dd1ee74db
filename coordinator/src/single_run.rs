//! One run with a cluster of its own: what the `coordinator` program does.
//!
//! [`prepare`] does all that can fail before a worker is needed; it blocks. [`Prepared::run`] opens a
//! session, starts the run on it and closes it. [`check`] is a [`prepare`] that leaves everything as it is.
//!
//! A program that trains with workers of its own choice:
//!
//! ```no_run
//! use clap::Parser;
//! use coordinator::cli::Flags;
//! use coordinator::observe::console::Console;
//! use coordinator::single_run::prepare;
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

use crate::RunError;
use crate::cluster::Farewell;
use crate::dataset::Sheet;
use crate::net::accept::files_needed;
use crate::net::listener::Sockets;
use crate::observe::Observer;
use crate::observe::console::Console;
use crate::run::{Gathered, PreparedRun, RunOptions, Summary, gather, read_data};
use crate::session::{ClusterOptions, Session, finish};
use common::model::architecture::Architecture;
use common::protocol::coordinator::Limits;
use common::rng::LeafAddress;
use common::train::config::{ConfigError, TrainingConfig};
use host::open_files;
use host::stop::StopRequests;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

/// Rows of a sheet of augmented samples.
const PREVIEW_ROWS: usize = 10;
/// Samples of a row, each before and after.
const PREVIEW_COLUMNS: usize = 10;

/// What an operator chose.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Options {
    pub cluster: ClusterOptions,
    pub run: RunOptions,
}

/// A run that only lacks workers.
pub struct Prepared {
    cluster: ClusterOptions,
    console: Console,
    run: PreparedRun,
    sockets: Sockets,
}

/// Gathers all that a run needs, and opens the listeners.
///
/// # Errors
/// When the data, the configuration, the checkpoint directory or the address can't be used.
pub fn prepare(options: Options, console: &Console) -> Result<Prepared, RunError> {
    let (gathered, sockets) = find(&options, console)?;
    let Options { cluster, run: options } = options;
    let run = gathered.observed(&options, console)?;
    Ok(Prepared { cluster, console: console.clone(), run, sockets })
}

/// Checks all that a run needs, and describes it in lines for a person. Nothing is trained, moved or created;
/// MNIST is downloaded if it is asked for and missing.
///
/// # Errors
/// When the run could not start, or its folder has too little room for the checkpoints.
pub fn check(options: &Options, console: &Console) -> Result<String, RunError> {
    let (gathered, sockets) = find(options, console)?;
    let mut text = gathered.describe()?;
    let cluster = &options.cluster;
    let ClusterOptions { limits: Limits { start, min, max, .. }, local, .. } = cluster;
    let whose = if local.is_some() { "started here" } else { "expected to connect" };
    text += &format!("workers             {start} to start, {min} to go on, at most {max}; {whose}\n");
    let address = sockets.address.map_or("none".to_owned(), |address| address.to_string());
    text += &format!("port                {address}\n");
    if let Some(address) = sockets.address {
        text += &format!("to join over it     {}\n", cluster.trust.describe(address.ip().is_loopback()));
    }
    Ok(text)
}

/// Reads the data set, and describes it in lines for a person. With a path, a sheet of its samples is written
/// there as PNG. Nothing is trained.
///
/// # Errors
/// When the data set can't be had, or the sheet can't be written.
pub fn inspect(options: &Options, sheet: Option<&Path>, console: &Console) -> Result<String, RunError> {
    let data = read_data(&options.run, &options.run.dataset, console)?;
    let mut text = "nothing is trained (--inspect)\n".to_owned() + &data.describe();
    if let Some(sheet) = sheet {
        data.write_sheet(sheet)?;
        text += &format!("\na row of samples for each class is in {}\n", sheet.display());
    }
    Ok(text)
}

/// Writes a sheet of training samples as PNG, each before and after the augmentation, and says in a line what
/// it shows. Nothing is trained.
///
/// # Errors
/// When there is no augmentation, the data set can't be had, or the sheet can't be written.
pub fn preview(options: &Options, path: &Path, console: &Console) -> Result<String, RunError> {
    let TrainingConfig { augment, seed, .. } = options.run.training.resolve(None).map_err(RunError::Flags)?;
    if augment.is_none() {
        return Err(RunError::Flags("--preview shows what --augment does; say what it is to do".to_owned()));
    }
    let data = read_data(&options.run, &options.run.dataset, console)?;
    let before = data.train.first(PREVIEW_ROWS * PREVIEW_COLUMNS);
    let after = augment.apply(before.clone(), LeafAddress { seed, step: 0, leaf: 0 }).samples;
    let mut sheet = Sheet::new(before.spec(), PREVIEW_ROWS, 2 * PREVIEW_COLUMNS);
    for index in 0..before.len() {
        let [row, column] = [index / PREVIEW_COLUMNS, 2 * (index % PREVIEW_COLUMNS)];
        sheet.put(row, column, before.image(index));
        sheet.put(row, column + 1, after.image(index));
    }
    sheet.write(path)?;
    let count = before.len();
    let path = path.display();
    Ok(format!(
        "nothing is trained (--preview)\n{count} training samples are in {path}, each with what {augment} makes of it on its \
         right\n"
    ))
}

/// Describes the network that would be trained, for the data set's form: a PyTorch module that takes its
/// checkpoints, with a table of the layers as a comment before it. Nothing is trained.
///
/// # Errors
/// When the data set can't be had, or the network does not fit it.
pub fn describe(options: &Options, console: &Console) -> Result<String, RunError> {
    let training = options.run.training.resolve(None).map_err(RunError::Flags)?;
    let data = read_data(&options.run, &options.run.dataset, console)?;
    let network = Architecture::new(data.train.spec(), training.model).map_err(ConfigError::from)?;
    let name = network.layers().short_name();
    let table = network.describe();
    let table = format!("nothing is trained (--describe); the network would be\n{name}\n\n{table}");
    let comment = |line: &str| format!("# {line}").trim_end().to_owned() + "\n";
    Ok(table.lines().map(comment).collect::<String>() + "\n" + &network.to_pytorch())
}

/// Finds all that a run needs, and leaves everything as it is.
fn find(options: &Options, console: &Console) -> Result<(Gathered, Sockets), RunError> {
    let Options { cluster, run } = options;
    check_workers(cluster)?;
    let gathered = gather(run, console)?;
    let sockets = Sockets::open(&cluster.listen)?;
    Ok((gathered, sockets))
}

/// Checks that the workers of a cluster can be started and connected.
pub(crate) fn check_workers(cluster: &ClusterOptions) -> Result<(), RunError> {
    let local = cluster.local.as_ref();
    if let Some(local) = local
        && !local.program.is_file()
    {
        return Err(RunError::NoWorkerProgram(local.program.clone()));
    }
    let needed = files_needed(cluster.limits.max, local.map_or(0, |local| local.workers));
    if let Some(limit) = open_files::limit().filter(|&limit| limit < needed) {
        return Err(RunError::TooFewFiles { needed, limit });
    }
    Ok(())
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

    /// The settings that the run's numbers depend on.
    #[must_use]
    pub fn settings(&self) -> BTreeMap<String, String> {
        self.run.settings()
    }

    /// Has one more observer told what happens; `name` is also its thread's.
    pub fn observe(&mut self, name: &'static str, observer: impl Observer + 'static) {
        self.run.observe(name, observer);
    }

    /// Trains until the run is complete or `stop` asks for an end.
    ///
    /// # Errors
    /// When the run fails; the last checkpoint is on disk then.
    pub async fn run(self, stop: StopRequests) -> Result<Summary, RunError> {
        let Self { cluster, console, run, sockets } = self;
        let (session, started) = Session::open_with(sockets, &cluster, &console, run, stop.clone())?;
        let (result, left) = started.result().await;
        let last = match &result {
            Ok(summary) if summary.test.is_some() => Farewell::Finished,
            Ok(_) => Farewell::Stopped,
            Err(_) => Farewell::Failed,
        };
        // Workers need not wait for a slow disk or bucket.
        let (mirrored, ()) = tokio::join!(finish(left, stop), session.close(last));
        result.map(|summary| Summary { mirrored, ..summary })
    }
}
