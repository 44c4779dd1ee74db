//! TLS handshakes, before gRPC, HTTP/2 or any other decoder sees a byte of a stranger.
//!
//! 1. A handshake has [`HANDSHAKE_MAX`]. It counts as a pending connection (`accept`), of which there are a
//!    limited number, the oldest going first.
//! 2. Of one address, [`FROM_ONE_ADDRESS`] handshakes and those of the last [`SPARED`] may be in progress:
//!    with one more, the oldest is closed. So many silent connections from one machine keep out nobody for
//!    long, and many workers behind one address can still come at the same moment.
//! 3. Whoever passes has proved a key of a token. The connection ends when that token is revoked.

use super::accept::{Evicted, Incoming, Limits, Pending};
use super::access::{Access, ProvedKey};
use super::limited::LimitedConnection;
use super::pending::ConnectionState;
use futures_util::{Stream, StreamExt, stream};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use trust::refusal::PeerRefusal;
use trust::tls::CoordinatorStream;

/// Longest time of a handshake; a worker's takes two round trips.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Handshakes in progress from one address, besides recent ones.
const FROM_ONE_ADDRESS: usize = 8;
/// Age below which a handshake is not closed for another one from its address.
const SPARED: Duration = Duration::from_millis(250);
/// Connections that have passed and are not taken yet: they are taken at once.
const PASSED: usize = 64;

type Passed = LimitedConnection<CoordinatorStream<TcpStream>>;

/// The connections of a listener whose workers have proved that they have a token.
pub(super) fn passed<L>(
    incoming: L,
    limits: Arc<Limits>,
    access: Arc<Access>,
) -> impl Stream<Item = io::Result<Passed>>
where
    L: Stream<Item = io::Result<TcpStream>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(PASSED);
    // Dropped with the stream, which ends the tasks.
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&access).follow());
    tasks.spawn(Gate { limits, access, passed: sender }.open(incoming));
    stream::unfold((receiver, tasks), |(mut receiver, tasks)| async {
        Some((Ok(receiver.recv().await?), (receiver, tasks)))
    })
}

#[derive(Clone)]
struct Gate {
    limits: Arc<Limits>,
    access: Arc<Access>,
    passed: mpsc::Sender<Passed>,
}

impl Gate {
    /// Accepts connections, and starts a handshake with each.
    async fn open(self, incoming: impl Stream<Item = io::Result<TcpStream>>) {
        let pending = Pending::default();
        let mut incoming = std::pin::pin!(incoming);
        let mut handshakes = JoinSet::new();
        while let Some(place) = self.limits.place(&pending).await {
            let connection = match incoming.next().await {
                Some(Ok(connection)) => connection,
                Some(Err(error)) => {
                    self.limits.not_accepted(&error).await;
                    continue;
                }
                None => return,
            };
            let peer = connection.peer();
            let (state, evicted) = self.limits.register(&pending, peer);
            if let Some(network) = state.network() {
                pending.evict_from(network, FROM_ONE_ADDRESS, SPARED);
            }
            let gate = self.clone();
            handshakes.spawn(async move {
                if let Some((connection, evicted)) = gate.pass(connection, &state, evicted).await {
                    let passed = gate.limits.admit(connection, place, Arc::clone(&state), evicted);
                    let revoked = state.key().map(|key| Arc::clone(&gate.access).revoked(key.pin));
                    let Some(revoked) = revoked else { return };
                    // The receiver is gone when no more are served.
                    let _ = gate.passed.send(passed.until(Box::pin(revoked))).await;
                }
            });
            while handshakes.try_join_next().is_some() {}
        }
    }

    /// Proves both keys. `None` where that fails, in time or at all.
    async fn pass(
        &self,
        connection: TcpStream,
        state: &ConnectionState,
        mut evicted: Evicted,
    ) -> Option<(CoordinatorStream<TcpStream>, Evicted)> {
        let proved = tokio::select! {
            proved = timeout(HANDSHAKE_MAX, self.access.side().accept(connection)) => proved,
            _ = &mut evicted => return None,
        };
        let refused = match proved {
            Ok(Ok((connection, pin))) => {
                if let Some(token) = self.access.token_of(&pin) {
                    state.has_proved(ProvedKey { pin, token });
                    return Some((connection, evicted));
                }
                PeerRefusal::UnknownKey
            }
            Ok(Err(refused)) => refused,
            Err(_) => PeerRefusal::Broken(io::ErrorKind::TimedOut.into()),
        };
        let address = state.address().map(|address| address.to_string());
        self.limits.note(|left_out| {
            tracing::warn!(address, reason = %refused, left_out, "refused a connection");
        });
        None
    }
}
