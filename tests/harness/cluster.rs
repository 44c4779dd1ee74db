//! A whole cluster in this process: the real code of coordinator and workers, over gRPC on loopback.
//!
//! It leaves out what a process adds: flags from a command line, signals, exit codes.

use clap::Parser;
use common::ids::Instance;
use common::protocol::worker::Exit;
use coordinator::observe::console::Console;
use coordinator::run::{Prepared, Summary, prepare};
use std::time::Duration;
use tokio::sync::watch;

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

/// Trains like [`train`], after `change` was applied to the run.
///
/// # Panics
/// As for [`train`].
#[must_use]
pub fn train_prepared(flags: &[&str], threads: &[u32], change: impl FnOnce(&mut Prepared)) -> Summary {
    let workers = threads.len().to_string();
    let own = ["coordinator", "--bind", "127.0.0.1:0", "--workers", &workers];
    let flags = coordinator::cli::Flags::try_parse_from(own.iter().chain(flags)).expect("flags");
    let console = Console::silent();
    let mut prepared = prepare(flags.options().expect("options"), &console).expect("a run");
    change(&mut prepared);
    let connect = prepared.address().expect("a port").to_string();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let all = async {
        let (_never, stop) = watch::channel(0);
        let workers: Vec<_> = threads
            .iter()
            .enumerate()
            .map(|(index, &threads)| {
                let options = worker::Options {
                    connect: connect.clone(),
                    name: format!("worker-{index}"),
                    instance: Instance(index as u64 + 1),
                    threads,
                    give_up: Duration::from_secs(30),
                    join_timeout: Duration::from_secs(10),
                };
                tokio::spawn(worker::run(options, stop.clone()))
            })
            .collect();
        let summary = prepared.run(stop.clone()).await.expect("a complete run");
        for worker in workers {
            assert_eq!(worker.await.expect("no panic").expect("no failure"), Exit::Finished);
        }
        summary
    };
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(RUN_TIMEOUT, all).await }).expect("the run ends in time")
}
