//! `--local`: worker processes on this machine, started from the `worker` program beside this one.
//!
//! A worker lives as long as its standard input is open, so none outlives this process, however that ends.
//! Each has its own process group: an interrupt from the keyboard reaches the coordinator alone, which then
//! ends the workers in good order. One that dies is started again (`supervisor`).

mod cores;
mod supervisor;

use crate::RunError;
use crate::mailbox::Input;
use crate::observe::console::Console;
use clap::ValueEnum;
use host::logging::LogFormat;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Time for a worker to end by itself after its input was closed.
const END_GRACE: Duration = Duration::from_secs(5);

/// Settings of the local workers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Local {
    pub workers: u32,
    /// Compute threads of each worker.
    pub threads: u32,
    pub program: PathBuf,
    /// The coordinator's trace file, if there is one: the workers write to it too.
    pub trace: Option<PathBuf>,
    /// Format of the workers' log lines.
    pub log_format: LogFormat,
}

/// The name of local worker `index`.
fn name_of(index: u32) -> String {
    format!("local-{index}")
}

impl Local {
    /// The names of the local workers. They are reserved: another worker that had one and stayed connected
    /// would keep out a local worker that must join again.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        (0..self.workers).map(name_of).collect()
    }
}

/// Handles of the started workers.
pub(crate) struct LocalWorkers {
    /// Dropped when the workers are to end.
    until: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl LocalWorkers {
    /// Starts all workers. Their standard error goes to `console`. When the last one has ended for good,
    /// `inbox` gets [`Input::NoLocalWorkers`].
    pub(crate) fn start(
        local: &Local,
        address: &str,
        console: &Console,
        inbox: &mpsc::Sender<Input>,
    ) -> Result<Self, RunError> {
        let (until, _) = watch::channel(());
        let living = Arc::new(AtomicUsize::new(local.workers as usize));
        let allowed = cores::allowed();
        let mut tasks = Vec::new();
        for index in 0..local.workers {
            let own = cores::of_worker(index, local.workers, local.threads, &allowed).map(<[usize]>::to_vec);
            let worker = LocalWorker { local: local.clone(), address: address.to_owned(), index, cores: own };
            let first = worker.spawn();
            let first =
                first.map_err(|source| RunError::LocalWorker { program: local.program.clone(), source })?;
            let console = console.clone();
            let inbox = inbox.clone();
            let living = Arc::clone(&living);
            let until = until.subscribe();
            tasks.push(tokio::spawn(async move {
                supervisor::supervise(&worker, first, &console, until).await;
                if living.fetch_sub(1, Ordering::SeqCst) == 1 {
                    // The receiver is gone when the run is over, and nobody needs the input then.
                    let _ = inbox.send(Input::NoLocalWorkers).await;
                }
            }));
        }
        Ok(Self { until, tasks })
    }

    /// Asks all workers to end and waits for it. Kills those that do not.
    pub(crate) async fn end(self) {
        drop(self.until);
        let deadline = tokio::time::Instant::now() + END_GRACE;
        for mut task in self.tasks {
            if tokio::time::timeout_at(deadline, &mut task).await.is_err() {
                // Dropping the child kills it.
                task.abort();
                let _ = task.await;
            }
        }
    }
}

/// One of the local workers: all that is needed to start it, and to start it again.
struct LocalWorker {
    local: Local,
    address: String,
    index: u32,
    /// The cores that it keeps to, if not all.
    cores: Option<Vec<usize>>,
}

impl LocalWorker {
    fn name(&self) -> String {
        name_of(self.index)
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let start = || spawn(&self.local, &self.address, &self.name());
        match &self.cores {
            Some(own) => cores::within(own, start),
            None => start(),
        }
    }
}

fn spawn(local: &Local, address: &str, name: &str) -> std::io::Result<Child> {
    let mut command = Command::new(&local.program);
    command
        .args(["--connect", address, "--name", name, "--until-stdin-closes"])
        .args(["--threads", &local.threads.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(format) = local.log_format.to_possible_value() {
        command.args(["--log-format", format.get_name()]);
    }
    if let Some(trace) = &local.trace {
        command.arg("--trace").arg(trace);
    }
    // They are meant for the coordinator; what the workers need of it they are given above.
    let is_ours = |variable: &OsString| variable.to_string_lossy().starts_with("LOCKSTEP_");
    for variable in std::env::vars_os().map(|(variable, _)| variable).filter(is_ours) {
        command.env_remove(variable);
    }
    if std::env::var_os("RUST_LOG").is_none() {
        // The coordinator's log already shows when workers join and leave.
        command.env("RUST_LOG", "error");
    }
    command.spawn()
}
