//! Dialling: every address of a name is tried, and the first that connects wins (RFC 8305, "Happy Eyeballs").
//!
//! A name may have addresses that lead nowhere from here: of a family that is not routed, of a network that
//! is down, behind a firewall that drops what it does not let through. One of those takes a fraction of a
//! second, not all the time there is.
//!
//! 1. Addresses are tried in the system's order, but the families alternate.
//! 2. The next attempt begins [`CONNECTION_ATTEMPT_DELAY`] after the one before it, or at once when one
//!    fails. Earlier attempts go on.
//! 3. The first that connects wins, and the others are dropped.
//! 4. One limit covers all attempts and the look-up of the name.
//! 5. When none connects, the error names the addresses and what each of them said.

use crate::{address, tcp};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Time that an attempt has to itself before the next address is tried beside it. RFC 8305 recommends it.
pub const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 32;
/// Most addresses that an error names.
const NAMED_MAX: usize = 4;

/// Why there is no connection.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The text has no host and port.
    #[error("{address} is not HOST:PORT")]
    NotAnAddress { address: String },
    /// The name has no address, or is unknown.
    #[error("the name {host} can't be resolved: {source}")]
    Unresolved { host: String, source: io::Error },
    /// The look-up of the name took all the time.
    #[error("the name {host} was not resolved within {limit:?}")]
    SlowLookup { host: String, limit: Duration },
    /// No address could be connected to.
    #[error("{0}")]
    Unreachable(Attempts),
}

/// Attempts to connect, all of which failed.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Addresses in the order in which they were tried, with their errors; none where no answer came.
    tried: Vec<(SocketAddr, Option<io::Error>)>,
    /// Number of addresses that time did not suffice for.
    untried: usize,
}

/// How long what may take.
#[derive(Clone, Copy)]
struct Timing {
    /// Time between two attempts.
    delay: Duration,
    /// Longest time of the whole.
    limit: Duration,
}

/// Connects to `address`, `HOST:PORT`, within `limit`, and prepares the connection.
///
/// # Errors
/// When the name is unknown, or none of its addresses can be reached in time.
pub async fn connect(address: &str, limit: Duration) -> Result<TcpStream, DialError> {
    let parts = address::split(address);
    let (host, port) = parts.ok_or_else(|| DialError::NotAnAddress { address: address.to_owned() })?;
    let lookup = async { Ok(tokio::net::lookup_host((host, port)).await?.collect()) };
    dial(host, lookup, tcp::connect, Timing { delay: CONNECTION_ATTEMPT_DELAY, limit }).await
}

async fn dial<T, F: Future<Output = io::Result<T>>>(
    host: &str,
    lookup: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    connect: impl Fn(SocketAddr) -> F,
    timing: Timing,
) -> Result<T, DialError> {
    let Timing { delay, limit } = timing;
    let deadline = Instant::now() + limit;
    let unresolved = |source| DialError::Unresolved { host: host.to_owned(), source };
    let Ok(found) = timeout_at(deadline, lookup).await else {
        return Err(DialError::SlowLookup { host: host.to_owned(), limit });
    };
    let addresses = in_order(&found.map_err(unresolved)?);
    if addresses.is_empty() {
        return Err(unresolved(io::Error::new(io::ErrorKind::NotFound, "it has no address")));
    }
    race(addresses, connect, delay, deadline).await.map_err(DialError::Unreachable)
}

/// The addresses in the order in which they are tried: families alternate, beginning with the first one's.
fn in_order(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let is_first_ipv6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = found.iter().partition(|address| address.is_ipv6() == is_first_ipv6);
    let mut order = Vec::new();
    for turn in 0..found.len() {
        for &address in [one.get(turn), other.get(turn)].into_iter().flatten() {
            if order.len() < ADDRESSES_MAX && !order.contains(address) {
                order.push(*address);
            }
        }
    }
    order
}

async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
    delay: Duration,
    deadline: Instant,
) -> Result<T, Attempts> {
    let mut attempts = Attempts::default();
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut next = Instant::now();
    loop {
        let now = Instant::now();
        while now >= next
            && let Some(address) = waiting.next()
        {
            let index = attempts.tried.len();
            attempts.tried.push((address, None));
            let attempt = connect(address);
            running.push(async move { (index, attempt.await) });
            next = now + delay;
        }
        if running.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            Some((index, result)) = running.next() => match result {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    attempts.tried[index].1 = Some(error);
                    next = Instant::now();
                }
            },
            () = sleep_until(deadline) => break,
            () = sleep_until(next), if waiting.len() > 0 => {}
        }
    }
    attempts.untried = waiting.len();
    Err(attempts)
}

impl Display for Attempts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let all = self.tried.len() + self.untried;
        if all > 1 {
            write!(f, "none of {all} addresses can be reached: ")?;
        }
        for (index, (address, error)) in self.tried.iter().take(NAMED_MAX).enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            match error {
                Some(error) => write!(f, "{separator}{address}: {error}")?,
                None => write!(f, "{separator}{address}: no answer")?,
            }
        }
        let unnamed = all - self.tried.len().min(NAMED_MAX);
        if unnamed > 0 { write!(f, "; and {unnamed} more") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
