//! Identities and tokens for runs whose workers must prove that they have one, and peers that have none.

use crate::process::{Outcome, Process};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Longest time that a peer waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A coordinator's identity in a folder of its own, with a token of the name `default`.
pub struct House {
    place: TempDir,
}

impl House {
    /// A new identity with its token.
    ///
    /// # Panics
    /// When it can't be made.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it writes files, which a default should not")]
    pub fn new() -> Self {
        let house = Self { place: tempfile::tempdir().expect("a folder") };
        house.token(&["new", "default"]);
        house
    }

    /// The folder of the identity.
    ///
    /// # Panics
    /// When the folder for temporary files has a name that is not UTF-8.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.place.path().to_str().expect("a readable name")
    }

    /// The file of a token.
    #[must_use]
    pub fn file(&self, token: &str) -> PathBuf {
        self.place.path().join("tokens").join(token)
    }

    /// The text of a token.
    ///
    /// # Panics
    /// When there is none of that name.
    #[must_use]
    pub fn text(&self, token: &str) -> String {
        let text = std::fs::read_to_string(self.file(token)).expect("a token");
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// Runs `coordinator token` for this identity. Returns how it ended.
    pub fn token(&self, args: &[&str]) -> Outcome {
        Process::start("coordinator", &[&["token"], args, &["--identity", self.folder()]].concat()).wait()
    }

    /// Starts a worker with one thread that has a token.
    #[must_use]
    pub fn worker(&self, address: &str, name: &str, token: &str) -> Process {
        let file = self.file(token);
        let file = file.to_str().unwrap_or_default();
        Process::start(
            "worker",
            &["--connect", address, "--name", name, "--threads", "1", "--token-file", file],
        )
    }
}

/// What becomes of a peer that speaks TLS of a version, has no key, and takes any coordinator: the error of
/// TLS or of the connection.
///
/// # Panics
/// When it is let in.
#[must_use]
pub fn without_key(address: &str, version: &'static SupportedProtocolVersion) -> String {
    let mut tls = keyless(version);
    let mut stream = TcpStream::connect(address).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("more than no time");
    let mut stream = rustls::Stream::new(&mut tls, &mut stream);
    let said = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").and_then(|()| stream.read(&mut [0; 64]));
    match said {
        Ok(0) => "closed".to_owned(),
        Ok(_) => panic!("a peer without a key was answered"),
        Err(error) => error.to_string(),
    }
}

/// The first bytes of a TLS handshake by whoever has no key.
///
/// # Panics
/// Never.
#[must_use]
pub fn client_hello() -> Vec<u8> {
    let mut hello = Vec::new();
    let written = keyless(&rustls::version::TLS13).write_tls(&mut hello);
    written.expect("a vector takes everything");
    hello
}

/// The side of a client that has no key and takes any server.
fn keyless(version: &'static SupportedProtocolVersion) -> ClientConnection {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version that the provider has")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    let name = ServerName::try_from("anybody.invalid").expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

/// A verifier that takes any server: whoever has no key need not know whom it meets.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Plays somebody in between, who ends the worker's TLS with a key of its own and would pass everything on to
/// the coordinator. Returns how many bytes of the worker it could read.
///
/// # Panics
/// When no worker dials, or nobody listens upstream.
#[must_use]
pub fn relay(listener: &TcpListener, upstream: &str) -> usize {
    let key = trust::key::PrivateKey::generate().expect("a key");
    let certificate = trust::certificate::containing(&key, vec![]).expect("a certificate");
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("a version that the provider has")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(key.to_pkcs8().to_vec()).into())
        .expect("a pair");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (mut stream, _) = listener.accept().expect("a worker dials");
    stream.set_read_timeout(Some(PATIENCE)).expect("more than no time");
    let _upstream = TcpStream::connect(upstream).expect("the coordinator listens");
    let mut tls = rustls::ServerConnection::new(Arc::new(config)).expect("a server");
    let mut heard = [0; 1024];
    rustls::Stream::new(&mut tls, &mut stream).read(&mut heard).unwrap_or(0)
}
