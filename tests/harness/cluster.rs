//! A whole cluster in this process: the real code of coordinator and workers, over gRPC on loopback.
//!
//! It leaves out what a process adds: flags from a command line, signals, exit codes.

use clap::Parser;
use common::event::Event;
use common::ids::Instance;
use common::protocol::worker::Exit;
use coordinator::RunError;
use coordinator::cli::Flags;
use coordinator::cluster::Farewell;
use coordinator::observe::Observer;
use coordinator::observe::console::Console;
use coordinator::run::{Summary, prepare_run};
use coordinator::session::{Listen, Running, Session};
use coordinator::single_run::{Options, Prepared, prepare};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use worker::client::Way;

/// Timeout of a whole run: many times what one takes.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);

/// Trains with the coordinator's `flags` and one worker for each entry of `threads`. Returns the summary.
///
/// # Panics
/// When the run fails, or not everything has ended in time.
#[must_use]
pub fn train(flags: &[&str], threads: &[u32]) -> Summary {
    train_prepared(flags, threads, |_| {})
}

/// SHA-256 of the model and of the optimizer's state with which a run ended.
#[must_use]
pub fn digests(summary: &Summary) -> [String; 2] {
    [summary.model_sha256.clone(), summary.optimizer_sha256.clone()]
}

/// Trains like [`train`], after `change` was applied to the run.
///
/// # Panics
/// As for [`train`].
#[must_use]
pub fn train_prepared(flags: &[&str], threads: &[u32], change: impl FnOnce(&mut Prepared)) -> Summary {
    let workers = threads.len().to_string();
    let mut prepared = prepare(options(&workers, flags), &Console::silent()).expect("a run");
    change(&mut prepared);
    let connect = prepared.address().expect("a port").to_string();
    within_time(async {
        let (_never, stop) = watch::channel(0);
        let workers: Vec<_> = (1..)
            .zip(threads)
            .map(|(number, &threads)| {
                tokio::spawn(worker::run(worker(&connect, number, threads), stop.clone()))
            })
            .collect();
        let summary = prepared.run(stop.clone()).await.expect("a complete run");
        for worker in workers {
            assert_eq!(worker.await.expect("no panic").expect("no failure"), Exit::Finished);
        }
        summary
    })
}

/// Does everything on a runtime of its own.
///
/// # Panics
/// When it does not end in time.
pub fn within_time<T>(all: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let timed = async { tokio::time::timeout(RUN_TIMEOUT, all).await };
    runtime.expect("a runtime").block_on(timed).expect("it ends in time")
}

/// The coordinator's options for so many workers.
fn options(workers: &str, flags: &[&str]) -> Options {
    let own = ["coordinator", "--bind", "127.0.0.1:0", "--workers", workers];
    let flags = Flags::try_parse_from(own.iter().chain(flags)).expect("flags");
    flags.options().expect("options")
}

/// The options of a worker in this process.
fn worker(connect: &str, number: u64, threads: u32) -> worker::Options {
    worker::Options {
        way: Way::plain(connect),
        name: format!("worker-{}", number - 1),
        instance: Instance(number),
        threads,
        give_up: Duration::from_secs(30),
        idle_exit: None,
        join_timeout: Duration::from_secs(10),
    }
}

/// A standing cluster in this process, on which runs and workers come and go. It lives within
/// [`within_time`].
pub struct StandingCluster {
    /// The session, for more than what is here.
    pub session: Session,
    workers: Vec<JoinHandle<Result<Exit, worker::WorkerError>>>,
    never: watch::Sender<u32>,
    joined: u64,
}

/// A run on a [`StandingCluster`].
pub struct Trial {
    /// Asks it to stop.
    pub stop: watch::Sender<u32>,
    /// What has been told of it and was not read yet.
    pub events: mpsc::UnboundedReceiver<Event>,
    running: Running,
    checkpoints: TempDir,
}

/// An observer that passes on all events.
struct Passes(mpsc::UnboundedSender<Event>);

impl Observer for Passes {
    fn observe(&mut self, event: &Event) {
        // The test may have seen enough.
        let _ = self.0.send(event.clone());
    }
}

impl StandingCluster {
    /// A cluster that waits for so many workers, none of which has been started.
    ///
    /// # Panics
    /// When it can't be opened.
    #[must_use]
    pub fn open(workers: u32, flags: &[&str]) -> Self {
        let mut options = options(&workers.to_string(), flags);
        options.cluster.listen = Listen::Both("127.0.0.1:0".to_owned());
        let session = Session::open(&options.cluster, &Console::silent()).expect("a session");
        Self { session, workers: Vec::new(), never: watch::channel(0).0, joined: 0 }
    }

    /// Where other programs connect. The workers of [`add_worker`](Self::add_worker) share memory with the
    /// coordinator.
    ///
    /// # Panics
    /// When the cluster has no port.
    #[must_use]
    pub fn address(&self) -> String {
        self.session.address().expect("a port").to_string()
    }

    /// Starts one more worker, with one thread.
    pub fn add_worker(&mut self) {
        self.joined += 1;
        let options = worker(self.session.local_address(), self.joined, 1);
        self.workers.push(tokio::spawn(worker::run(options, self.never.subscribe())));
    }

    /// Starts a run with those flags, in a new folder.
    ///
    /// # Panics
    /// When it can't be started.
    pub async fn start(&self, flags: &[&str]) -> Trial {
        let checkpoints = tempfile::tempdir().expect("a folder");
        self.try_start(flags, checkpoints).await.expect("a run")
    }

    /// Starts a run with those flags and that folder.
    ///
    /// # Errors
    /// When it can't be started.
    ///
    /// # Panics
    /// When the folder for temporary files has a name that is not UTF-8.
    pub async fn try_start(&self, flags: &[&str], checkpoints: TempDir) -> Result<Trial, RunError> {
        let folder = checkpoints.path().to_str().expect("a readable name");
        let options = options("1", &[flags, &["--checkpoint-dir", folder]].concat()).run;
        let mut run = prepare_run(&options, &Console::silent())?;
        let (told, events) = mpsc::unbounded_channel();
        run.observe("passes", Passes(told));
        let (stop, requests) = watch::channel(0);
        let running = self.session.start(run, requests).await?;
        Ok(Trial { stop, events, running, checkpoints })
    }

    /// Closes the cluster, and waits for the workers to notice that it has finished.
    ///
    /// # Panics
    /// When a worker fails or ends in another way.
    pub async fn close(self) {
        self.session.close(Farewell::Finished).await;
        for worker in self.workers {
            assert_eq!(worker.await.expect("no panic").expect("no failure"), Exit::Finished);
        }
    }
}

impl Trial {
    /// Waits for an event.
    ///
    /// # Panics
    /// When the run ends without it.
    pub async fn wait_for(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.events.recv().await.expect("what is waited for, before the end");
            if is_it(&event) {
                return event;
            }
        }
    }

    /// Waits until so many steps are done.
    pub async fn reaches(&mut self, steps: u64) {
        self.wait_for(|event| matches!(event, Event::Step(record) if record.step.0 + 1 >= steps)).await;
    }

    /// Waits for the end. Returns how the run ended, what was told of it and not read yet, and its folder.
    pub async fn end(mut self) -> (Result<Summary, RunError>, Vec<Event>, TempDir) {
        let result = self.running.ended().await;
        let events = std::iter::from_fn(|| self.events.try_recv().ok()).collect();
        (result, events, self.checkpoints)
    }
}
