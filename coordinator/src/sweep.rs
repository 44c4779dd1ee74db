//! A search over settings: many runs on one standing cluster, of which the best is tested.
//!
//! [`prepare`] reads the file of the search and plans it (`file`, `settings`, `plan`); all mistakes show
//! there. [`Prepared::run`] trains (`runner`). What goes on is decided by `common::search::halving`, and what
//! has come of it is kept in `state`. `table` and `journal` write it for others.
//!
//! 1. Which trials go on, which one wins and its bits follow from the file, the flags and the data. They
//!    depend neither on the workers, nor on how many trials there are at a time, nor on who was fast.
//! 2. Trials are chosen by validation. Only the winner, and its repeats with other seeds, see the test set.
//! 3. The same command goes on after any end. A trial goes on from its checkpoints, and what it came to is
//!    derived from them again if it was not noted.
//! 4. One that diverges is out. Whatever else fails, ends the search; it can go on later.
//!
//! ```no_run
//! use coordinator::observe::console::Console;
//!
//! let args = ["program", "--sweep", "sweep.toml", "--workers", "2", "--local"].map(Into::into);
//! let prepared = coordinator::sweep::prepare("sweep.toml".as_ref(), args.into(), &Console::silent())?;
//! // Sending a number above 0 asks for an end.
//! let (_stop, requests) = tokio::sync::watch::channel(0);
//! let report = tokio::runtime::Runtime::new()?.block_on(prepared.run(requests))?;
//! println!("{}", report.text);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod file;
mod journal;
mod plan;
mod runner;
mod settings;
mod state;
mod table;

pub use error::SweepError;

use crate::RunError;
use crate::folder::NewFolder;
use crate::net::listener::Sockets;
use crate::observe::console::Console;
use crate::single_run::check_workers;
use crate::store::{self, LOCK_FILE, StoreError};
use file::SweepFile;
use host::logging::LogFormat;
use host::stop::StopRequests;
use plan::Plan;
use runner::Runner;
use state::State;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

/// A search that only lacks workers.
pub struct Prepared {
    plan: Plan,
    state: State,
    /// Absent where nothing is left to train.
    sockets: Option<Sockets>,
    console: Console,
    /// When the search stops by itself, if it is not over by then.
    stop_at: Option<Instant>,
    log_format: LogFormat,
    /// The lock of the folder, held until the search is dropped.
    lock: File,
}

/// What a search came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether the winner and its repeats were tested; otherwise the search was stopped.
    pub is_complete: bool,
    /// A table of the trials, and the winner's tests, for a person.
    pub text: String,
}

/// Plans the search in `file` for a program's command line, opens the listeners and takes the folder.
///
/// # Errors
/// When the file has a mistake, or the data, the folder or the address can't be used.
pub fn prepare(file: &Path, args: Vec<OsString>, console: &Console) -> Result<Prepared, SweepError> {
    let plan = Plan::new(SweepFile::read(file)?, args, console)?;
    check_workers(&plan.cluster)?;
    let failed = |source| StoreError::Io { action: "create", path: plan.folder.clone(), source };
    let mut folder = NewFolder::create(&plan.folder).map_err(failed).map_err(RunError::from)?;
    let (lock, _) = store::lock(&plan.folder).map_err(RunError::from)?;
    let found = find(&plan);
    if found.is_err() && folder.is_new() {
        // Else the folder would stay, for the lock's sake.
        let _ = std::fs::remove_file(plan.folder.join(LOCK_FILE));
    }
    let (state, sockets) = found?;
    folder.keep();
    let stop_at = plan.stop_at;
    let log_format = plan.log_format;
    Ok(Prepared { plan, state, sockets, console: console.clone(), stop_at, log_format, lock })
}

/// The state of a search, and listeners if anything is left to train.
fn find(plan: &Plan) -> Result<(State, Option<Sockets>), SweepError> {
    let state = State::find(plan)?;
    let is_open = !runner::open_jobs(plan, &state)?.is_empty();
    let sockets = is_open.then(|| Sockets::open(&plan.cluster.listen)).transpose()?;
    Ok((state, sockets))
}

/// Plans the search in `file`, and describes it in lines for a person. Nothing is trained or created.
///
/// # Errors
/// As for [`prepare`].
pub fn check(file: &Path, args: Vec<OsString>, console: &Console) -> Result<String, SweepError> {
    let plan = Plan::new(SweepFile::read(file)?, args, console)?;
    check_workers(&plan.cluster)?;
    let state = State::find(&plan)?;
    let planned = table::planned(&plan);
    Ok(format!("nothing is trained (--dry-run)\n{planned}\n{}", table::trials(&plan, &state)))
}

impl Prepared {
    /// Trains until the search is complete or `stop` asks for an end.
    ///
    /// # Errors
    /// When a run fails in another way than by diverging, or all trials diverge. The search can go on later.
    pub async fn run(self, stop: StopRequests) -> Result<Report, SweepError> {
        let Self { plan, state, sockets, console, stop_at, log_format, lock } = self;
        let report = Runner::new(plan, state, console, log_format).run(sockets, stop, stop_at).await;
        drop(lock);
        report
    }
}
