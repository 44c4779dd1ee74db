//! Where workers come in: a TCP port, or a Unix socket for those of this machine, or both.
//!
//! 1. The operator's `--bind` opens a port. `--local` without it opens none: nobody but the workers that the coordinator
//!    starts is expected, and what is closed needs no guard.
//! 2. `--local` opens the Unix socket; without it there is none.
//! 3. Where the system has no such sockets, local workers take a free port on loopback.
//!
//! Opened before the run is announced, so that a taken port fails at once; served by [`server`](crate::net::server). How many
//! may connect is decided in [`accept`], what one on which nobody has been let in may do in [`pending`], who may come by the
//! socket in [`same_user`].

use crate::RunError;
use host::local_socket;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use tracing::warn;

/// Where local workers connect on a system without abstract Unix sockets.
const LOOPBACK: &str = "127.0.0.1:0";

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On `HOST:PORT`; port 0 takes a free one.
    Tcp(String),
    /// On a Unix socket.
    Unix,
    /// On a Unix socket, and on `HOST:PORT` too.
    Both(String),
}

/// Listeners that do not block.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Where the port can be reached, if there is one.
    pub(crate) address: Option<SocketAddr>,
    /// The best address for a worker on this machine.
    pub(crate) local_address: String,
    tcp: Option<TcpListener>,
    short: Option<UnixListener>,
}

/// The same within a runtime.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// From anywhere.
    pub(crate) tcp: Option<tokio::net::TcpListener>,
    /// From this machine.
    pub(crate) short: Option<tokio::net::UnixListener>,
}

impl Sockets {
    /// Opens what is asked for.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub(crate) fn open(listen: &Listen) -> Result<Self, RunError> {
        let short = match listen {
            Listen::Tcp(_) => None,
            Listen::Unix | Listen::Both(_) => open_short(),
        };
        let bind = match listen {
            Listen::Tcp(bind) | Listen::Both(bind) => Some(bind.as_str()),
            Listen::Unix => short.is_none().then_some(LOOPBACK),
        };
        let tcp = bind.map(open_tcp).transpose()?;
        let (tcp, address) = tcp.unzip();
        let (short, name) = short.unzip();
        let local_address = name.or(address.as_ref().map(SocketAddr::to_string)).unwrap_or_default();
        Ok(Self { address, local_address, tcp, short })
    }

    /// Hands the listeners to the runtime that this is called in.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn listen(self) -> Result<Listeners, RunError> {
        let failed = |source| RunError::Bind { address: self.local_address.clone(), source };
        let tcp = self.tcp.map(tokio::net::TcpListener::from_std).transpose().map_err(failed)?;
        let short = self.short.map(tokio::net::UnixListener::from_std).transpose().map_err(failed)?;
        Ok(Listeners { tcp, short })
    }
}

fn open_tcp(bind: &str) -> Result<(TcpListener, SocketAddr), RunError> {
    let failed = |source| RunError::Bind { address: bind.to_owned(), source };
    let tcp = TcpListener::bind(bind).map_err(failed)?;
    tcp.set_nonblocking(true).map_err(failed)?;
    let address = tcp.local_addr().map_err(failed)?;
    Ok((tcp, address))
}

/// A Unix socket under a name that nobody can have taken before, and its address; `None` where the system has none.
fn open_short() -> Option<(UnixListener, String)> {
    let name = format!("lockstep-{}-{:016x}", std::process::id(), host::random());
    let short = local_socket::bind(&name).unwrap_or_else(|error| {
        warn!(%error, "no Unix socket for local workers; they take TCP");
        None
    });
    Some((short?, local_socket::address_of(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_opened() {
        let open = |listen| Sockets::open(&listen).unwrap();
        let loopback = || LOOPBACK.to_owned();
        let tcp = open(Listen::Tcp(loopback()));
        assert!(tcp.short.is_none() && tcp.tcp.is_some());
        assert_eq!(tcp.local_address, tcp.address.unwrap().to_string());
        let both = open(Listen::Both(loopback()));
        assert!(both.tcp.is_some() && both.address.is_some());
        let unix = open(Listen::Unix);
        assert_eq!(unix.tcp.is_some(), unix.short.is_none(), "one way, whatever the system has");
        assert_eq!(both.short.is_some(), unix.short.is_some());
        assert!(!unix.local_address.is_empty() && unix.local_address != both.local_address);
    }
}
