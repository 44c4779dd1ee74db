//! HTTP of both programs that have a page: bounded connections, who may ask, and under which names.
//!
//! Reading order: [`access`] says where a token and TLS are needed, `guard` what a request has to show, and
//! `handshake` what comes before it. [`connections`] bounds all, `unproved` those without a token.
//! [`host_header`] has the names.
//!
//! What is answered is decided elsewhere: by the coordinator's page about a run, and by `lockstep serve`.

pub mod access;
pub mod connections;
mod guard;
mod handshake;
pub mod host_header;
mod unproved;
mod write_timeout;

use axum::http::{HeaderName, HeaderValue, header};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Headers of every answer of pages that hold what is nobody else's, with this content policy: nothing of it
/// is kept, shown in a frame, taken for something else, or tells where one came from.
pub(crate) const fn headers(policy: &'static str) -> [(HeaderName, HeaderValue); 5] {
    [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
    ]
}

/// Opens a listener at `HOST:PORT`, and returns it with its address.
///
/// # Errors
/// When the address can't be listened on.
pub fn listen(address: &str) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = match host::address::split(address) {
        // A zone's name, as in `[fe80::1%eth0]:PORT`, is understood without brackets only.
        Some((host, port)) => TcpListener::bind((host, port))?,
        None => TcpListener::bind(address)?,
    };
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}
