//! The listeners: a TCP port, a Unix socket for workers of this machine, or both.
//!
//! 1. The operator's `--bind` opens a port. `--local` without it opens none: only the workers that the
//!    coordinator starts are expected, and a closed port needs no protection.
//! 2. `--local` opens the Unix socket; without it there is none.
//! 3. Where the system has no abstract Unix sockets, local workers use a free port on loopback.
//!
//! Listeners are opened before the run is announced, so that a taken port fails at once.
//! [`server`](crate::net::server) serves them. [`accept`] decides how many connections there may be,
//! [`pending`] what a connection may do before its hello is accepted, and [`same_user`] which users may
//! connect to the socket.

use crate::RunError;
use crate::net::access::{Access, Trust};
use host::{address, local_socket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use tracing::warn;

/// Address for local workers on a system without abstract Unix sockets.
const LOOPBACK: &str = "127.0.0.1:0";

/// The addresses to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP listener on `HOST:PORT`; port 0 takes a free one.
    Tcp(String),
    /// A Unix socket for workers of this machine.
    Unix,
    /// A Unix socket, and a TCP listener on `HOST:PORT`.
    Both(String),
}

/// Open listeners that do not block.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// The TCP listener's address, if there is one.
    pub(crate) address: Option<SocketAddr>,
    /// The best address for a worker on this machine.
    pub(crate) local_address: String,
    tcp: Option<TcpListener>,
    unix: Option<UnixListener>,
}

/// The listeners within a runtime.
pub(crate) struct Listeners {
    /// Whose tokens workers over TCP need, if they need one.
    pub(crate) access: Option<Arc<Access>>,
    pub(crate) tcp: Option<tokio::net::TcpListener>,
    pub(crate) unix: Option<tokio::net::UnixListener>,
}

impl Sockets {
    /// Opens the listeners that are asked for.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub(crate) fn open(listen: &Listen) -> Result<Self, RunError> {
        let unix = match listen {
            Listen::Tcp(_) => None,
            Listen::Unix | Listen::Both(_) => open_unix(),
        };
        let bind = match listen {
            Listen::Tcp(bind) | Listen::Both(bind) => Some(bind.as_str()),
            Listen::Unix => unix.is_none().then_some(LOOPBACK),
        };
        let tcp = bind.map(open_tcp).transpose()?;
        let (tcp, address) = tcp.unzip();
        let (unix, name) = unix.unzip();
        let local_address =
            name.or(address.map(|address| from_here(address).to_string())).unwrap_or_default();
        Ok(Self { address, local_address, tcp, unix })
    }

    /// Who may come over TCP; `None` where everybody may, or nobody can.
    ///
    /// # Errors
    /// When the tokens can't be used.
    pub(crate) fn access(&self, trust: &Trust) -> Result<Option<Arc<Access>>, RunError> {
        let Some(address) = self.address else { return Ok(None) };
        Ok(trust.access(address.ip().is_loopback())?.map(Arc::new))
    }

    /// Hands the listeners to the runtime that this is called in. With `access`, workers over TCP need a
    /// token.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn listen(self, access: Option<Arc<Access>>) -> Result<Listeners, RunError> {
        let failed = |source| RunError::Bind { address: self.local_address.clone(), source };
        let tcp = self.tcp.map(tokio::net::TcpListener::from_std).transpose().map_err(failed)?;
        let unix = self.unix.map(tokio::net::UnixListener::from_std).transpose().map_err(failed)?;
        Ok(Listeners { access, tcp, unix })
    }
}

fn open_tcp(bind: &str) -> Result<(TcpListener, SocketAddr), RunError> {
    let failed = |source| RunError::Bind { address: bind.to_owned(), source };
    let tcp = match address::split(bind) {
        // A zone's name, as in `[fe80::1%eth0]:PORT`, is understood without brackets only.
        Some((host, port)) => TcpListener::bind((host, port)),
        None => TcpListener::bind(bind),
    };
    let tcp = tcp.map_err(failed)?;
    tcp.set_nonblocking(true).map_err(failed)?;
    let address = tcp.local_addr().map_err(failed)?;
    Ok((tcp, address))
}

/// Where this machine's processes can dial a listener: one on all addresses is on loopback too.
fn from_here(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// A Unix socket under a random name, and its address. `None` where the system has no such sockets.
fn open_unix() -> Option<(UnixListener, String)> {
    let name = format!("lockstep-{}-{:016x}", std::process::id(), host::random());
    let unix = local_socket::bind(&name).unwrap_or_else(|error| {
        warn!(%error, "no Unix socket for local workers; they use TCP");
        None
    });
    Some((unix?, local_socket::address_of(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_opened() {
        let open = |listen| Sockets::open(&listen).unwrap();
        let loopback = || LOOPBACK.to_owned();
        let tcp = open(Listen::Tcp(loopback()));
        assert!(tcp.unix.is_none() && tcp.tcp.is_some());
        assert_eq!(tcp.local_address, tcp.address.unwrap().to_string());
        let both = open(Listen::Both(loopback()));
        assert!(both.tcp.is_some() && both.address.is_some());
        let unix = open(Listen::Unix);
        assert_eq!(unix.tcp.is_some(), unix.unix.is_none(), "one way, whatever the system has");
        assert_eq!(both.unix.is_some(), unix.unix.is_some());
        assert!(!unix.local_address.is_empty() && unix.local_address != both.local_address);
    }
    #[test]
    fn a_listener_on_all_addresses_is_dialled_on_loopback_from_here() {
        for (listening, dialled) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("127.0.0.2:80", "127.0.0.2:80"),
            ("[2001:db8::7]:80", "[2001:db8::7]:80"),
        ] {
            assert_eq!(from_here(listening.parse().unwrap()).to_string(), dialled);
        }
        let all = Sockets::open(&Listen::Tcp("0.0.0.0:0".to_owned())).unwrap();
        let port = all.address.unwrap().port();
        assert_eq!(all.local_address, format!("127.0.0.1:{port}"));
    }
}
