//! Requests to stop a program, counted: SIGTERM, SIGINT and, if wanted, the end of standard input.

use tokio::sync::watch;

/// The number of requests to stop so far.
pub type StopRequests = watch::Receiver<u32>;

/// Starts to count SIGTERM, SIGINT and, with `until_stdin_closes`, the end of standard input. The counting
/// task ends with the runtime, or when nobody receives the count any more.
///
/// # Errors
/// When the system refuses the signal handlers.
pub fn on_signals(until_stdin_closes: bool) -> std::io::Result<StopRequests> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (count, requests) = watch::channel(0);
    let closed = stdin_closed(until_stdin_closes)?;
    tokio::spawn(async move {
        tokio::pin!(closed);
        let mut open = true;
        loop {
            tokio::select! {
                _ = terminate.recv() => count.send_modify(|n| *n += 1),
                _ = interrupt.recv() => count.send_modify(|n| *n += 1),
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
