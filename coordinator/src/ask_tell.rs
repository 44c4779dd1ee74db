//! A search that a program outside drives: it tells the trials, line by line, and is told what they come to.
//!
//! [`prepare`] reads the data and takes the folder; [`Prepared::run`] trains what is told, on one standing
//! cluster (`runner`). The lines are those of `line`; `input` reads and `output` writes them.
//!
//! 1. A trial is the command line with its own flags of the training. It has the bits of a run with the same
//!    flags, whatever else is open. It ends without the test.
//! 2. What is wrong with a line or a trial is answered, and ends nothing else. The program outside can make
//!    this one fail in one way only: by not reading.
//! 3. A trial that is told again goes on from its checkpoints, and is refused if they are of other settings.
//! 4. Which trials there are is the program's choice, and so is the winner: no promise is made of either.
//!
//! ```no_run
//! use coordinator::observe::console::Console;
//!
//! let args = ["program", "--ask-tell", "--checkpoint-dir", "search", "--local"].map(Into::into);
//! let prepared = coordinator::ask_tell::prepare(args.into(), &Console::silent())?;
//! // Sending a number above 0 asks for an end.
//! let (_stop, requests) = tokio::sync::watch::channel(0);
//! let lines = std::io::Cursor::new("{\"trial\": 1, \"flags\": {\"lr\": 0.01}}\n");
//! tokio::runtime::Runtime::new()?.block_on(prepared.run(lines, std::io::stdout(), requests))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod input;
mod line;
mod output;
mod report;
mod runner;

pub use output::OutputError;

use crate::RunError;
use crate::dataset::Dataset;
use crate::folder::NewFolder;
use crate::net::listener::Sockets;
use crate::observe::console::Console;
use crate::run::{Resume, read_data};
use crate::session::ClusterOptions;
use crate::single_run::{Options, check_workers};
use crate::store::{self, StoreError};
use crate::trials::command_line::{CommandLine, first_words};
use crate::trials::settings::Settings;
use host::logging::LogFormat;
use host::stop::StopRequests;
use runner::Runner;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Why a search can't begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum AskTellError {
    /// The flags of all trials have a mistake.
    #[error("--ask-tell: {0}")]
    Flags(String),
    /// The program outside can't be told anything more.
    #[error("{0}; the trials are stopped, and go on when they are told again")]
    Output(#[from] OutputError),
    /// A thread can't be started.
    #[error("can't start the {name} thread: {source}")]
    #[allow(missing_docs, reason = "field names say all")]
    Thread { name: &'static str, source: std::io::Error },
    /// The cluster, the data or the folder can't be used.
    #[error(transparent)]
    Cluster(Box<RunError>),
}

impl From<RunError> for AskTellError {
    fn from(error: RunError) -> Self {
        Self::Cluster(Box::new(error))
    }
}

impl AskTellError {
    /// Whether another attempt can succeed only with other flags.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Flags(_) => true,
            Self::Cluster(error) => error.is_usage(),
            Self::Output(_) | Self::Thread { .. } => false,
        }
    }
}

/// A search that only lacks workers and trials.
pub struct Prepared {
    cluster: ClusterOptions,
    data: Arc<Dataset>,
    trials: Trials,
    sockets: Sockets,
    console: Console,
    /// When the search stops by itself, if it is not over by then.
    stop_at: Option<Instant>,
    log_format: LogFormat,
    /// The lock of the folder, held until the search is dropped.
    lock: File,
}

/// What makes a trial of what is told.
struct Trials {
    command_line: CommandLine,
    /// Folder of the search.
    folder: PathBuf,
}

/// Reads the data for a program's command line, opens the listeners and takes the folder.
///
/// # Errors
/// When the flags have a mistake, or the data, the folder or the address can't be used.
pub fn prepare(args: Vec<OsString>, console: &Console) -> Result<Prepared, AskTellError> {
    let command_line = CommandLine::new(args).map_err(AskTellError::Flags)?;
    // They make sense with each trial's flags.
    let flags = command_line.flags(&Settings::new()).map_err(AskTellError::Flags)?;
    let options =
        flags.options_of_all().map_err(|error| AskTellError::Flags(first_words(&error.to_string())));
    let Options { cluster, run } = options?;
    let Some(folder) = run.checkpoint_dir.clone() else {
        return Err(AskTellError::Flags("say with --checkpoint-dir where the trials are kept".to_owned()));
    };
    if run.resume != Resume::Auto {
        return Err(AskTellError::Flags(
            "a trial goes on from its own checkpoints; leave out --resume, or choose another --checkpoint-dir \
             for a search that begins anew"
                .to_owned(),
        ));
    }
    check_workers(&cluster)?;
    let data = read_data(&run, &run.dataset, console).map_err(RunError::from)?;
    data.note.iter().for_each(|note| console.line(note));
    let sockets = Sockets::open(&cluster.listen)?;
    let lock = take(&folder).map_err(RunError::from)?;
    Ok(Prepared {
        cluster,
        data: Arc::new(data),
        trials: Trials { command_line, folder },
        sockets,
        console: console.clone(),
        stop_at: run.stop_at,
        log_format: run.log_format,
        lock,
    })
}

/// Creates the folder of a search where it is missing, and locks it.
fn take(path: &Path) -> Result<File, StoreError> {
    let failed = |source| StoreError::Io { action: "create", path: path.to_owned(), source };
    let mut folder = NewFolder::create(path).map_err(failed)?;
    let (lock, _) = store::lock(path)?;
    folder.keep();
    Ok(lock)
}

impl Prepared {
    /// Trains what `input` tells, and tells `output` of it, until the input ends and all trials have, or
    /// `stop` asks for an end. Returns whether it was not asked to stop.
    ///
    /// # Errors
    /// When the output is not read, or the cluster fails. Trials can go on later.
    pub async fn run(
        self,
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
        stop: StopRequests,
    ) -> Result<bool, AskTellError> {
        let Self { cluster, data, trials, sockets, console, stop_at, log_format, lock } = self;
        let thread = |name| move |source| AskTellError::Thread { name, source };
        let lines = input::start(input).map_err(thread("ask"))?;
        let output = output::Output::start(output).map_err(thread("tell"))?;
        let runs = crate::trials::runs::Runs::open(sockets, &cluster, data, &console, log_format)?;
        let result = Runner::new(trials, runs, console, output).run(lines, stop, stop_at).await;
        drop(lock);
        result
    }
}
