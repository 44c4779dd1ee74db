//! TLS 1.3 between a worker and its coordinator, each of which knows the other's public key.
//!
//! 1. TLS 1.2 is off, and so are tickets and resumption: every connection proves both keys anew, so that a
//!    token that was revoked opens none.
//! 2. The worker takes one key only, that of its token's pin. The coordinator takes the keys of its tokens as
//!    they are at that moment.
//! 3. The worker's handshake ends when the first byte of the coordinator has arrived: in TLS 1.3 a client
//!    learns only then that it was accepted. gRPC's server speaks first.
//! 4. Neither handshake has a time limit of its own: callers set one. After one that fails, the other side
//!    has `ALERT_MAX` to read why.

mod verify;

use crate::certificate;
use crate::key::{KeyError, Pin, PrivateKey};
use crate::refusal::{PeerRefusal, WorkerRefusal};
use crate::token::Token;
use crate::tokens::KnownKeys;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{CipherSuite, ClientConfig, ServerConfig};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use verify::{PinnedCoordinator, TokenHolders};

/// gRPC's name in ALPN (RFC 7301); other implementations insist on it.
const GRPC: &[u8] = b"h2";
/// The name of every coordinator in TLS; nobody looks at it, and it is not sent.
const NAME: &str = "coordinator.lockstep.invalid";

/// Longest time in which a refused peer may read the reason.
const ALERT_MAX: Duration = Duration::from_millis(500);
/// Bytes that are read from a connection at a time.
const READ_BYTES: usize = 64 * 1024;
/// Most bytes of a refused peer that are read and ignored.
const UNREAD_MAX: usize = 64 * 1024;

/// TLS as a worker with one token speaks it.
#[derive(Clone)]
pub struct Worker {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// TLS as the coordinator speaks it, with whoever has one of its keys.
#[derive(Clone)]
pub struct Coordinator {
    acceptor: TlsAcceptor,
}

/// A worker's end of a connection.
pub type WorkerStream<S> = client::TlsStream<BufReader<S>>;

/// A coordinator's end of a connection.
pub type CoordinatorStream<S> = server::TlsStream<BufReader<S>>;

/// The keys that a coordinator takes, which may change at any time.
pub type Known = Arc<RwLock<KnownKeys>>;

impl Worker {
    /// The side of a worker with this token.
    ///
    /// # Errors
    /// When its key can't be used.
    pub fn new(token: &Token) -> Result<Self, KeyError> {
        let key = PrivateKey::of_worker(token)?;
        let container = certificate::containing(&key, Vec::new())?;
        let provider = Arc::new(provider());
        let verifier = PinnedCoordinator::new(token.pin(), &provider);
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(KeyError::new)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(vec![container], in_der(&key))
            .map_err(KeyError::new)?;
        config.alpn_protocols = vec![GRPC.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        let name = ServerName::try_from(NAME).map_err(KeyError::new)?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Proves both keys over an open connection.
    ///
    /// # Errors
    /// When one side does not trust the other, or the connection ends.
    pub async fn connect<S>(&self, connection: S) -> Result<WorkerStream<S>, WorkerRefusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = self.connector.connect(self.name.clone(), buffered(connection)).await?;
        if stream.fill_buf().await?.is_empty() {
            return Err(WorkerRefusal::Broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(stream)
    }
}

impl Coordinator {
    /// The side of the coordinator with this key, which takes the keys in `known`.
    ///
    /// # Errors
    /// When its key can't be used.
    pub fn new(key: &PrivateKey, known: Known) -> Result<Self, KeyError> {
        let container = certificate::containing(key, Vec::new())?;
        let provider = Arc::new(provider());
        let verifier = TokenHolders::new(known, &provider);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(KeyError::new)?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_single_cert(vec![container], in_der(key))
            .map_err(KeyError::new)?;
        config.alpn_protocols = vec![GRPC.to_vec()];
        without_resumption(&mut config);
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Proves both keys over an open connection. Returns the pin of the worker's key.
    ///
    /// # Errors
    /// When one side does not trust the other, or the connection ends.
    pub async fn accept<S>(&self, connection: S) -> Result<(CoordinatorStream<S>, Pin), PeerRefusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = self.acceptor.accept(buffered(connection)).into_fallible().await;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((error, connection)) => {
                leave_to_read(connection).await;
                return Err(error.into());
            }
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let pin = certificate.and_then(|certificate| certificate::pin_in(certificate).ok());
        Ok((stream, pin.ok_or(PeerRefusal::NoKey)?))
    }
}

/// TLS for the web pages of the coordinator with this key, in this certificate: whoever asks is known by
/// other means.
///
/// # Errors
/// When the key can't be used.
pub fn page(key: &PrivateKey, container: CertificateDer<'static>) -> Result<TlsAcceptor, KeyError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(KeyError::new)?
        .with_no_client_auth()
        .with_single_cert(vec![container], in_der(key))
        .map_err(KeyError::new)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    without_resumption(&mut config);
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A connection that is read in large parts. TLS asks for 4 KiB at a time, and each would be a call of the
/// system.
fn buffered<S: AsyncRead>(connection: S) -> BufReader<S> {
    BufReader::with_capacity(READ_BYTES, connection)
}

/// Ends a connection so that the other side can read what was written last, such as an alert: if its bytes
/// were unread when this side closed, its system might discard it.
pub async fn leave_to_read<S: AsyncRead + AsyncWrite + Unpin>(mut connection: S) {
    let rest = async {
        connection.shutdown().await?;
        let mut ignored = [0; 1024];
        for _ in 0..UNREAD_MAX / ignored.len() {
            if connection.read(&mut ignored).await? == 0 {
                break;
            }
        }
        std::io::Result::Ok(())
    };
    // Whatever happens, the connection is over.
    let _ = timeout(ALERT_MAX, rest).await;
}

fn without_resumption(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}

/// The shortest key of AES goes first: it is as good for what a run sends, and the fastest.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    let is_first =
        |suite: &rustls::SupportedCipherSuite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(|suite| !is_first(suite));
    provider
}

fn in_der(key: &PrivateKey) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.to_pkcs8().to_vec()).into()
}

#[cfg(test)]
mod tests;
