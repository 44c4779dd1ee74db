//! `--local`: worker processes on this machine, started from the `worker` program beside this one.
//!
//! A worker lives as long as its standard input is open, so none outlives this process, however that ends.
//! Each has its own process group: an interrupt from the keyboard reaches the coordinator alone, which then
//! ends the workers in good order.

mod cores;

use crate::RunError;
use crate::mailbox::Input;
use crate::observe::console::Console;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
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
    inputs: Vec<ChildStdin>,
    tasks: Vec<JoinHandle<()>>,
}

impl LocalWorkers {
    /// Starts all workers. Their standard error goes to `console`. When the last one has ended, `inbox` gets
    /// [`Input::NoLocalWorkers`].
    pub(crate) fn start(
        local: &Local,
        address: &str,
        console: &Console,
        inbox: &mpsc::Sender<Input>,
    ) -> Result<Self, RunError> {
        let mut workers = Self { inputs: Vec::new(), tasks: Vec::new() };
        let living = Arc::new(AtomicUsize::new(local.workers as usize));
        let allowed = cores::allowed();
        for index in 0..local.workers {
            let name = name_of(index);
            let started = match cores::of_worker(index, local.workers, local.threads, &allowed) {
                Some(own) => cores::within(own, || spawn(local, address, &name)),
                None => spawn(local, address, &name),
            };
            let mut child =
                started.map_err(|source| RunError::LocalWorker { program: local.program.clone(), source })?;
            workers.inputs.extend(child.stdin.take());
            let console = console.clone();
            let inbox = inbox.clone();
            let living = Arc::clone(&living);
            workers.tasks.push(tokio::spawn(async move {
                watch(child, &name, &console).await;
                if living.fetch_sub(1, Ordering::SeqCst) == 1 {
                    // The receiver is gone when the run is over, and nobody needs the input then.
                    let _ = inbox.send(Input::NoLocalWorkers).await;
                }
            }));
        }
        Ok(workers)
    }

    /// Asks all workers to end and waits for it. Kills those that do not.
    pub(crate) async fn end(self) {
        drop(self.inputs);
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

/// Forwards a worker's standard error until it has ended.
async fn watch(mut child: Child, name: &str, console: &Console) {
    if let Some(errors) = child.stderr.take() {
        let mut lines = BufReader::new(errors).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            console.line(&format!("[{name}] {line}"));
        }
    }
    match child.wait().await {
        Ok(status) if status.success() => tracing::debug!(worker = %name, "local worker ended"),
        Ok(status) => tracing::warn!(worker = %name, %status, "local worker ended"),
        Err(error) => tracing::warn!(worker = %name, %error, "local worker lost"),
    }
}
