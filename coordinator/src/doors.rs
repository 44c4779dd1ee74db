//! Where workers come in: a TCP port and, for those on this machine, the short way where the system has one.
//!
//! Opened before the run is announced, so that a taken port fails at once; served by [`server`](crate::server). How long
//! one who says nothing may stay is decided in [`lobby`].

pub(crate) mod lobby;

use crate::RunError;
use shell::local_socket;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use tracing::warn;

/// Listeners that do not block.
#[derive(Debug)]
pub(crate) struct Doors {
    /// Where the port can be reached.
    pub(crate) address: SocketAddr,
    /// The best address for a worker on this machine.
    pub(crate) local_address: String,
    tcp: TcpListener,
    short: Option<UnixListener>,
}

/// The same within a runtime.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// From anywhere.
    pub(crate) tcp: tokio::net::TcpListener,
    /// From this machine.
    pub(crate) short: Option<tokio::net::UnixListener>,
}

impl Doors {
    /// Listens on `bind`, `HOST:PORT`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub(crate) fn open(bind: &str) -> Result<Self, RunError> {
        let failed = |source| RunError::Bind { address: bind.to_owned(), source };
        let tcp = TcpListener::bind(bind).map_err(failed)?;
        tcp.set_nonblocking(true).map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        // One process has one port of that number, so the name is free.
        let name = format!("lockstep-{}-{}", std::process::id(), address.port());
        let short = local_socket::bind(&name).unwrap_or_else(|error| {
            warn!(%error, "no Unix socket for local workers; they take TCP");
            None
        });
        let local_address =
            short.as_ref().map_or_else(|| address.to_string(), |_| local_socket::address_of(&name));
        Ok(Self { address, local_address, tcp, short })
    }

    /// Hands the listeners to the runtime that this is called in.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn listen(self) -> Result<Listeners, RunError> {
        let failed = |source| RunError::Bind { address: self.address.to_string(), source };
        let tcp = tokio::net::TcpListener::from_std(self.tcp).map_err(failed)?;
        let short = self.short.map(tokio::net::UnixListener::from_std).transpose().map_err(failed)?;
        Ok(Listeners { tcp, short })
    }
}
