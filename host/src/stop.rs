//! Requests to stop a program, counted: SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 and, if wanted, the end of
//! standard input.
//!
//! Schedulers choose one of these signals, and some send it to a process and to its group. A SIGHUP that was
//! ignored when the program started, as under `nohup`, stays ignored.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// The number of requests to stop so far.
pub type StopRequests = watch::Receiver<u32>;

/// Starts to count the signals and, with `until_stdin_closes`, the end of standard input. The counting tasks
/// end with the runtime, or when nobody receives the count any more.
///
/// # Errors
/// When the system refuses the signal handlers.
pub fn on_signals(until_stdin_closes: bool) -> std::io::Result<StopRequests> {
    let (came, mut signals) = mpsc::channel(1);
    let hangup = (!is_hangup_ignored()).then(SignalKind::hangup);
    let others = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ];
    for kind in others.into_iter().chain(hangup) {
        tokio::spawn(pass_on(signal(kind)?, came.clone()));
    }
    let (count, requests) = watch::channel(0);
    let closed = stdin_closed(until_stdin_closes)?;
    tokio::spawn(async move {
        tokio::pin!(closed);
        let mut open = true;
        loop {
            tokio::select! {
                _ = signals.recv() => count.send_modify(|n| *n += 1),
                () = &mut closed, if open => {
                    open = false;
                    count.send_modify(|n| *n += 1);
                }
                () = count.closed() => return,
            }
        }
    });
    Ok(requests)
}

async fn pass_on(mut signal: Signal, to: mpsc::Sender<()>) {
    while signal.recv().await.is_some() && to.send(()).await.is_ok() {}
}

/// Whether this process was started with SIGHUP ignored. Where the system does not say so, it was not.
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let bit = SignalKind::hangup().as_raw_value() - 1;
    mask >> bit & 1 == 1
}

/// Ends when standard input does; never if that is not wanted.
///
/// Its own thread reads, because the read can't be interrupted and must not keep the runtime from ending.
fn stdin_closed(wanted: bool) -> std::io::Result<impl Future<Output = ()>> {
    let (alive, mut end) = watch::channel(());
    if wanted {
        let wait = move || {
            let _alive = alive;
            // Only the end counts, or an error; what is written to standard input is ignored.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        };
        std::thread::Builder::new().name("stdin".into()).spawn(wait)?;
    }
    Ok(async move {
        if wanted {
            // The value never changes; the error means that the reader has ended.
            let _ = end.changed().await;
        } else {
            std::future::pending::<()>().await;
        }
    })
}
