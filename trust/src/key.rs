//! Keys: the coordinator's, which it keeps, and the workers', which are derived from tokens.
//!
//! A public key is known by the SHA-256 of its `SubjectPublicKeyInfo` (RFC 5280), the structure in which
//! X.509 carries it: the digest that curl's `--pinnedpubkey` and HTTP's public key pinning (RFC 7469) use
//! too.
//!
//! 1. The coordinator's key is ECDSA on P-256: browsers take no other small key, and its web pages have the
//!    same identity.
//! 2. A worker's key is Ed25519, whose private key is any 32 bytes. They are HKDF-SHA256 (RFC 5869) of the
//!    token's secret, with the pin as salt and [`WORKER_KEY_INFO`].

use crate::token::Token;
use data_encoding::HEXLOWER;
use rcgen::KeyPair;
use ring::digest::{SHA256, digest};
use ring::hkdf;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::fmt;
use zeroize::Zeroizing;

/// What the key of a worker is derived for; the number is that of this derivation.
pub const WORKER_KEY_INFO: &[u8] = b"lockstep worker key 1";
/// PKCS #8 (RFC 8410) of an Ed25519 key, up to the private key itself.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const SEED: usize = 32;

/// SHA-256 of a public key's `SubjectPublicKeyInfo`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin(pub [u8; 32]);

impl Pin {
    /// The pin of a public key in DER.
    #[must_use]
    pub fn of(public_key_info: &[u8]) -> Self {
        let mut pin = Self([0; 32]);
        pin.0.copy_from_slice(digest(&SHA256, public_key_info).as_ref());
        pin
    }

    /// Its first eight bytes as a number, big end first: enough to tell the keys of a cluster apart.
    #[must_use]
    pub fn short(&self) -> u64 {
        self.0[..8].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pin({:016x}…)", self.short())
    }
}

/// Why a key can't be made or used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(String);

impl KeyError {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

/// A private key in PKCS #8, with its public key. Erased from memory when it is dropped.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    pin: Pin,
}

impl PrivateKey {
    /// A new key for a coordinator.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(KeyError::new)?;
        Self::from_pkcs8(Zeroizing::new(pair.serialize_der()))
    }

    /// The key that the holder of a token has.
    ///
    /// # Errors
    /// Never for a token; the libraries in between may fail.
    pub fn of_worker(token: &Token) -> Result<Self, KeyError> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &token.pin().0);
        let info = [WORKER_KEY_INFO];
        let mut pkcs8 = Zeroizing::new(vec![0; ED25519_PKCS8.len() + SEED]);
        pkcs8[..ED25519_PKCS8.len()].copy_from_slice(&ED25519_PKCS8);
        salt.extract(token.secret())
            .expand(&info, hkdf::HKDF_SHA256)
            .and_then(|derived| derived.fill(&mut pkcs8[ED25519_PKCS8.len()..]))
            .map_err(|_| KeyError::new("the worker's key can't be derived"))?;
        Self::from_pkcs8(pkcs8)
    }

    /// A key that was kept.
    ///
    /// # Errors
    /// When the bytes are no ECDSA P-256 or Ed25519 key.
    pub fn from_pkcs8(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let pin = Pin::of(&rcgen::PublicKeyData::subject_public_key_info(&pair(&pkcs8)?));
        Ok(Self { pkcs8, pin })
    }

    /// The pin of its public key.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.pin
    }

    /// The private key in PKCS #8, in DER.
    #[must_use]
    pub fn to_pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(crate) fn pair(&self) -> Result<KeyPair, KeyError> {
        pair(&self.pkcs8)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("pin", &self.pin).finish_non_exhaustive()
    }
}

fn pair(pkcs8: &[u8]) -> Result<KeyPair, KeyError> {
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8)).map_err(KeyError::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_derivation_is_the_one_that_other_implementations_know() {
        // Made with Python's hmac and hashlib, and OpenSSL's Ed25519: pin 32 times 7, secret 32 times 9.
        let token: Token = TOKEN.parse().unwrap();
        assert_eq!(PrivateKey::of_worker(&token).unwrap().pin().to_string(), PIN);
    }

    const TOKEN: &str = "ls1_a4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqscijbeeqsckjiq";
    const PIN: &str = "efc8d4aa503ff7337cbb816559729d67a99c25b4b0aea937895a16de225bce24";

    #[test]
    fn a_key_that_was_kept_is_the_same_key() {
        let key = PrivateKey::generate().unwrap();
        let kept = PrivateKey::from_pkcs8(Zeroizing::new(key.to_pkcs8().to_vec())).unwrap();
        assert_eq!(kept.pin(), key.pin());
        assert_ne!(PrivateKey::generate().unwrap().pin(), key.pin());
        assert!(PrivateKey::from_pkcs8(Zeroizing::new(b"no key".to_vec())).is_err());
    }

    #[test]
    fn debug_shows_no_private_key() {
        let key = PrivateKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), format!("PrivateKey {{ pin: Pin({:016x}…), .. }}", key.pin().short()));
    }
}
