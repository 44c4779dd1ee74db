//! Whom each side takes: whoever proves a key with the right pin. Chains, names and dates are not looked at.

use super::Known;
use crate::certificate::pin_in;
use crate::key::Pin;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};
use std::sync::PoisonError;

/// The one coordinator that a worker takes.
#[derive(Debug)]
pub(super) struct PinnedCoordinator {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The workers that a coordinator takes.
#[derive(Debug)]
pub(super) struct TokenHolders {
    known: Known,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedCoordinator {
    pub(super) fn new(pin: Pin, provider: &CryptoProvider) -> Self {
        Self { pin, algorithms: provider.signature_verification_algorithms }
    }
}

impl TokenHolders {
    pub(super) fn new(known: Known, provider: &CryptoProvider) -> Self {
        Self { known, algorithms: provider.signature_verification_algorithms }
    }
}

/// Not the expected key: TLS's alert for it is "access denied".
fn other_key() -> Error {
    CertificateError::ApplicationVerificationFailure.into()
}

/// A worker's or coordinator's signature of TLS 1.2, which is off.
fn old_tls() -> Error {
    PeerIncompatible::Tls12NotOfferedOrEnabled.into()
}

/// The signatures of a verifier: those of TLS 1.3 by whichever key is in the certificate, and none of TLS
/// 1.2.
macro_rules! tls13_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(old_tls())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signature, &self.algorithms)
        }
    };
}

impl ServerCertVerifier for PinnedCoordinator {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_it = pin_in(certificate)? == self.pin;
        is_it.then(ServerCertVerified::assertion).ok_or_else(other_key)
    }

    tls13_signatures!();

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

impl ClientCertVerifier for TokenHolders {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let pin = pin_in(certificate)?;
        let is_known = self.known.read().unwrap_or_else(PoisonError::into_inner).contains_key(&pin);
        is_known.then(ClientCertVerified::assertion).ok_or_else(other_key)
    }

    tls13_signatures!();

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
