//! Why two sides don't trust each other, in words that say which one is wrong.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use std::io;

/// Why a worker has no connection.
#[derive(Debug, thiserror::Error)]
pub enum WorkerRefusal {
    /// Another key than the token's pin: another coordinator, or somebody in between.
    #[error(
        "this is not the coordinator that made the token; check --connect, or take a token from the coordinator that runs there"
    )]
    OtherCoordinator,
    /// The coordinator has no token with this secret.
    #[error(
        "this coordinator does not know the token: it was revoked, or never made here; coordinator token new NAME makes another"
    )]
    UnknownToken,
    /// The other side does not speak TLS.
    #[error(
        "the coordinator answers without TLS, and this worker has a token; give the coordinator --identity, or leave the \
         token out if the network is to be trusted"
    )]
    Plain,
    /// The connection broke before either side had decided.
    #[error("the connection ended during the TLS handshake: {0}")]
    Broken(io::Error),
}

/// Why a coordinator does not serve a peer.
#[derive(Debug, thiserror::Error)]
pub enum PeerRefusal {
    /// What arrived is no TLS.
    #[error("it does not speak TLS; a worker needs the token (--token-file) to join")]
    Plain,
    /// TLS 1.2 or older.
    #[error("it speaks no TLS 1.3")]
    OldTls,
    /// It has no certificate.
    #[error("it has no key; a worker needs the token (--token-file) to join")]
    NoKey,
    /// Its key belongs to no token.
    #[error("its key belongs to no token here: the token was revoked, or made by another coordinator")]
    UnknownKey,
    /// The worker expects another coordinator.
    #[error("its token was made by another coordinator")]
    OtherCoordinator,
    /// The connection broke, or TLS failed in another way.
    #[error("the TLS handshake failed: {0}")]
    Broken(io::Error),
}

impl From<io::Error> for WorkerRefusal {
    fn from(error: io::Error) -> Self {
        match of_tls(&error) {
            Some(Error::InvalidCertificate(_)) => Self::OtherCoordinator,
            Some(Error::AlertReceived(AlertDescription::AccessDenied)) => Self::UnknownToken,
            Some(Error::InvalidMessage(_)) => Self::Plain,
            _ => Self::Broken(error),
        }
    }
}

impl From<io::Error> for PeerRefusal {
    fn from(error: io::Error) -> Self {
        match of_tls(&error) {
            Some(Error::InvalidMessage(_)) => Self::Plain,
            Some(Error::PeerIncompatible(
                PeerIncompatible::Tls13RequiredForQuic | PeerIncompatible::SupportedVersionsExtensionRequired,
            )) => Self::OldTls,
            Some(Error::PeerIncompatible(why)) if format!("{why:?}").contains("Tls12") => Self::OldTls,
            Some(Error::NoCertificatesPresented) => Self::NoKey,
            Some(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
                Self::UnknownKey
            }
            Some(Error::AlertReceived(AlertDescription::AccessDenied)) => Self::OtherCoordinator,
            _ => Self::Broken(error),
        }
    }
}

/// The error of TLS within one of the connection.
fn of_tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}
