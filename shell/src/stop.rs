//! Asking a program to stop: SIGTERM and SIGINT, counted.

use tokio::sync::watch;

/// How often a stop has been asked for; grows with every signal.
pub type StopRequests = watch::Receiver<u32>;

/// Starts to count SIGTERM and SIGINT. The counting task ends with the runtime or when nobody listens any more.
///
/// # Errors
/// When the system refuses the handlers.
pub fn on_signals() -> std::io::Result<StopRequests> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (count, requests) = watch::channel(0);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => count.send_modify(|n| *n += 1),
                _ = interrupt.recv() => count.send_modify(|n| *n += 1),
                () = count.closed() => return,
            }
        }
    });
    Ok(requests)
}
