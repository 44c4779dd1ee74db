//! What follows when a local worker ends: one that died is started again.
//!
//! 1. A worker that was told to leave, or whose run is over, is not started again. Nor is one that does not
//!    understand its command line.
//! 2. One that dies is started again after a pause. The pause doubles with each death that follows within
//!    [`STEADY`], and after [`RESTARTS_MAX`] of those the worker is given up: what killed it would kill it
//!    again.
//! 3. Each death and each restart is said.

use super::LocalWorker;
use crate::observe::console::Console;
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tracing::{debug, warn};

/// Exit code of a program that does not understand its command line.
const INVALID_FLAGS: i32 = 2;
/// Pause before a worker is started again for the first time.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// Restarts that follow each other before a worker is given up.
const RESTARTS_MAX: u32 = 5;
/// A worker that has lived so long was well: what kills it then has nothing to do with earlier deaths.
const STEADY: Duration = Duration::from_secs(60);

/// Watches over a worker until it has ended for good, or `until` ends: then its input is closed, and it is
/// waited for.
pub(super) async fn supervise(
    worker: &LocalWorker,
    first: Child,
    console: &Console,
    mut until: watch::Receiver<()>,
) {
    let name = worker.name();
    let mut child = first;
    let mut deaths = 0;
    loop {
        let began = Instant::now();
        let input = child.stdin.take();
        let ended = watch_one(child, &name, console);
        tokio::pin!(ended);
        let status = tokio::select! {
            status = &mut ended => status,
            // Nothing is ever sent: its error means the end.
            _ = until.changed() => {
                drop(input);
                ended.await;
                return;
            }
        };
        if status.is_none_or(|status| status.code() == Some(INVALID_FLAGS)) {
            return;
        }
        deaths = if began.elapsed() >= STEADY { 1 } else { deaths + 1 };
        if deaths > RESTARTS_MAX {
            warn!(worker = %name, deaths, "a local worker dies again and again, and is not started any more");
            return;
        }
        let pause = PAUSE_FIRST * 2_u32.pow(deaths - 1);
        warn!(worker = %name, pause_ms = pause.as_millis() as u64, "starting a local worker again");
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = until.changed() => return,
        }
        match worker.spawn() {
            Ok(next) => child = next,
            Err(error) => {
                warn!(worker = %name, %error, "a local worker can't be started again");
                return;
            }
        }
    }
}

/// Forwards a worker's standard error until it has ended. Returns how, if it has died.
async fn watch_one(mut child: Child, name: &str, console: &Console) -> Option<ExitStatus> {
    if let Some(errors) = child.stderr.take() {
        let mut lines = BufReader::new(errors).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            console.forward(name, &line);
        }
    }
    match child.wait().await {
        Ok(status) if status.success() || status.code() == Some(host::STOPPED.into()) => {
            debug!(worker = %name, "local worker ended");
        }
        Ok(status) => {
            warn!(worker = %name, %status, "local worker ended");
            return Some(status);
        }
        Err(error) => warn!(worker = %name, %error, "local worker lost"),
    }
    None
}
