//! Access control of the Unix socket: only processes of the coordinator's own user may connect. The socket's
//! name is open to all users of the machine, but the memory that is shared over it is not.

use futures_util::{Stream, StreamExt};
use std::io;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;

/// Interval between two log lines about closed connections: a peer that dials in a loop must not fill the
/// log.
const LINES_APART: Duration = Duration::from_secs(1);

/// Closes the connections of other users, and passes on the rest.
pub(crate) fn of_this_user<L>(incoming: L) -> impl Stream<Item = io::Result<UnixStream>>
where
    L: Stream<Item = io::Result<UnixStream>>,
{
    let mut closed = Closed::default();
    incoming.filter_map(move |accepted| {
        let passed = match accepted {
            Ok(stream) => match host::local_socket::process_of_peer(&stream) {
                Ok(_) => Some(Ok(stream)),
                Err(error) => {
                    closed.note(Instant::now(), &error);
                    None
                }
            },
            Err(error) => Some(Err(error)),
        };
        std::future::ready(passed)
    })
}

/// Closed connections that the log does not mention yet.
#[derive(Debug, Default)]
struct Closed {
    since_line: u64,
    last_line: Option<Instant>,
}

impl Closed {
    fn note(&mut self, now: Instant, why: &io::Error) {
        self.since_line += 1;
        if self.last_line.is_none_or(|last| now.duration_since(last) >= LINES_APART) {
            let connections = self.since_line;
            tracing::warn!(connections, %why, "closed connections to the local socket");
            *self = Self { since_line: 0, last_line: Some(now) };
        }
    }
}
