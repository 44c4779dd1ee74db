//! A client of HTTPS that takes one certificate, and sends what it likes.

use crate::http::{Heard, connect, hear};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// A connection to a server whose certificate is trusted.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A client that takes servers with the certificate in a file.
#[derive(Clone, Debug)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// A client that trusts the certificate in a file.
    ///
    /// # Panics
    /// When there is no certificate in it.
    #[must_use]
    pub fn trusting(file: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(file).expect("a certificate");
        roots.add(certificate).expect("a certificate that can be trusted");
        Self(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
    }

    /// Connects to a server, which must be known by the name in its certificate.
    ///
    /// # Errors
    /// When the handshake fails.
    ///
    /// # Panics
    /// When there is no server.
    pub fn connect(&self, address: &str, name: &str) -> std::io::Result<Stream> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let tls = ClientConnection::new(Arc::clone(&self.0), name).expect("settings of a client");
        let mut stream = StreamOwned::new(tls, connect(address));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Whether a request with this header is answered: the server may close its connection for another one.
    #[must_use]
    pub fn reads(&self, address: &str, header: &str) -> bool {
        let Ok(mut stream) = self.connect(address, "localhost") else { return false };
        let head =
            format!("GET /api/run HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n\r\n");
        stream.write_all(head.as_bytes()).is_ok() && hear(stream).status == 200
    }

    /// Sends a request whose headers are those that are given, and reads the answer.
    ///
    /// # Panics
    /// When there is no server with the certificate.
    #[must_use]
    pub fn ask(&self, address: &str, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Heard {
        let mut stream = self.connect(address, "localhost").expect("a handshake");
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        headers.iter().for_each(|header| head += &format!("{header}\r\n"));
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        // The server may answer before it has read all.
        let _ = stream.write_all(&[head.as_bytes(), body].concat()).and_then(|()| stream.flush());
        hear(stream)
    }
}
