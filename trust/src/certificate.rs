//! Certificates as containers: TLS carries a public key in one, and nothing else in it is looked at.

use crate::key::{KeyError, Pin, PrivateKey};
use rcgen::CertificateParams;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

/// A certificate that holds a key's public half, signed by the key itself. `names` are host names and
/// addresses for browsers and other programs that insist on them; nothing here reads them.
///
/// # Errors
/// When a name is none, or the key can't sign.
pub fn containing(key: &PrivateKey, names: Vec<String>) -> Result<CertificateDer<'static>, KeyError> {
    let mut params = CertificateParams::new(names).map_err(KeyError::new)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "lockstep");
    let certificate = params.self_signed(&key.pair()?).map_err(KeyError::new)?;
    Ok(certificate.der().clone())
}

/// The pin of the public key in a certificate, which comes from anybody.
///
/// # Errors
/// When it is no X.509 certificate.
pub fn pin_in(certificate: &CertificateDer<'_>) -> Result<Pin, rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(Pin::of(&parsed.subject_public_key_info()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_in_a_certificate_is_the_one_that_was_put_in() {
        let key = PrivateKey::generate().unwrap();
        let names = vec!["node1.example".to_owned(), "10.0.0.5".to_owned()];
        for names in [Vec::new(), names] {
            let certificate = containing(&key, names).unwrap();
            assert_eq!(pin_in(&certificate).unwrap(), key.pin());
        }
    }

    #[test]
    fn what_is_no_certificate_is_an_error() {
        let whole = containing(&PrivateKey::generate().unwrap(), Vec::new()).unwrap();
        for bytes in [&b""[..], b"no certificate", &whole[..whole.len() / 2]] {
            assert!(pin_in(&CertificateDer::from(bytes)).is_err());
        }
    }
}
