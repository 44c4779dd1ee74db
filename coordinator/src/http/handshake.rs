//! TLS handshakes beyond loopback, before a decoder of HTTP sees a byte.

use super::write_timeout::WriteTimeout;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;
use trust::tls::leave_to_read;

/// Longest time of a handshake; a browser's takes one round trip.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// What is said to whoever speaks plain HTTP.
const PLAIN: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
                       this port speaks TLS: use https://\n";

/// The connection after the handshake; `None` where it has failed, in time or not.
pub(super) async fn passed(
    side: &TlsAcceptor,
    stream: TcpStream,
    write_timeout: Duration,
) -> Option<TlsStream<WriteTimeout>> {
    match timeout(HANDSHAKE_MAX, pass(side, stream, write_timeout)).await {
        Ok(Ok(passed)) => passed,
        Ok(Err(error)) => {
            debug!(%error, "a connection ended before its handshake");
            None
        }
        Err(_) => {
            debug!("a TLS handshake took too long");
            None
        }
    }
}

async fn pass(
    side: &TlsAcceptor,
    mut stream: TcpStream,
    write_timeout: Duration,
) -> io::Result<Option<TlsStream<WriteTimeout>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && is_of_http(first[0]) {
        stream.write_all(PLAIN).await?;
        leave_to_read(stream).await;
        return Ok(None);
    }
    match side.accept(WriteTimeout::new(stream, write_timeout)).into_fallible().await {
        Ok(stream) => Ok(Some(stream)),
        Err((error, stream)) => {
            debug!(%error, "a TLS handshake failed");
            leave_to_read(stream).await;
            Ok(None)
        }
    }
}

/// Whether a request of plain HTTP can begin with this byte: a method's first letter. TLS begins with 22.
fn is_of_http(byte: u8) -> bool {
    byte.is_ascii_uppercase()
}
