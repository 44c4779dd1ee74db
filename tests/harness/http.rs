//! A client of HTTP that sends what it likes: whole requests, halves, and heads without an end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Timeout of a read or write, longer than all deadlines of a server.
const PATIENCE: Duration = Duration::from_secs(200);

/// A server's answer.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Status; 0 if the connection ended without an answer.
    pub status: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Heard {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a whole request, and reads the answer.
///
/// # Panics
/// When there is no server.
#[must_use]
pub fn ask(address: &str, method: &str, path: &str, body: &[u8]) -> Heard {
    let mut stream = connect(address);
    send(&mut stream, &head(method, path, body.len()));
    send(&mut stream, body);
    hear(stream)
}

/// The head of a request whose body has this length.
#[must_use]
pub fn head(method: &str, path: &str, length: usize) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
        .into_bytes()
}

/// Connects to a server.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a server");
    stream.set_read_timeout(Some(PATIENCE)).expect("an open connection");
    stream.set_write_timeout(Some(PATIENCE)).expect("an open connection");
    stream
}

/// Sends bytes. The server may close the connection before their end.
pub fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// Reads until the connection is closed.
#[must_use]
pub fn hear(mut stream: impl Read) -> Heard {
    let mut bytes = Vec::new();
    // What was read before an error counts.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Heard { status, head: head.to_lowercase(), body: body.to_owned() }
}
