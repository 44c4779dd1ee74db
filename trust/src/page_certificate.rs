//! The certificate of the web pages: a file that browsers and other programs can be told to trust.
//!
//! 1. It is kept as `page.pem`, so that whoever trusts the file needs no new one at every start. A new one is
//!    made where it holds another key, or lacks a name.
//! 2. It is no secret: it travels in every handshake. So it is readable for others (mode 0644), and replaced
//!    as a whole.

use crate::certificate::{containing, pin_in};
use crate::key::PrivateKey;
use crate::secret_file::SecretError;
use data_encoding::BASE64;
use host::files::{Links, read_regular};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Largest file, in bytes: several times a certificate with all names that a machine has.
const BYTES_MAX: u64 = 64 * 1024;
/// Characters of a line (RFC 7468).
const LINE_CHARS: usize = 64;

/// The certificate in a file, if it holds this key and all names, or a new one, which is written there. What
/// is no name in a certificate is left out.
///
/// # Errors
/// When the file can't be written.
pub(crate) fn kept_in(
    path: &Path,
    key: &PrivateKey,
    names: impl IntoIterator<Item = String>,
) -> Result<CertificateDer<'static>, SecretError> {
    let mut names: Vec<String> =
        names.into_iter().filter(|name| ServerName::try_from(name.as_str()).is_ok()).collect();
    names.sort();
    names.dedup();
    if let Some(kept) = read(path).filter(|kept| fits(kept, key, &names)) {
        return Ok(kept);
    }
    let invalid =
        |error: crate::key::KeyError| SecretError::Invalid { path: path.to_owned(), what: error.to_string() };
    let made = containing(key, names).map_err(invalid)?;
    write(path, &made).map_err(|source| SecretError::Unwritable { path: path.to_owned(), source })?;
    Ok(made)
}

/// What is no certificate is replaced.
fn read(path: &Path) -> Option<CertificateDer<'static>> {
    let text = read_regular(path, BYTES_MAX, Links::Refused).ok()?;
    CertificateDer::from_pem_slice(&text).ok()
}

fn fits(kept: &CertificateDer<'_>, key: &PrivateKey, names: &[String]) -> bool {
    let Ok(parsed) = ParsedCertificate::try_from(kept) else { return false };
    let has = |name: &String| {
        ServerName::try_from(name.as_str()).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    };
    pin_in(kept).is_ok_and(|pin| pin == key.pin()) && names.iter().all(has)
}

fn write(path: &Path, certificate: &CertificateDer<'_>) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(pem(certificate).as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let mut rest = BASE64.encode(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    while !rest.is_empty() {
        let next = rest.split_off(rest.len().min(LINE_CHARS));
        text += &rest;
        text.push('\n');
        rest = next;
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_certificate_is_kept_until_a_name_or_the_key_is_another() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("page.pem");
        let [key, other] = [PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap()];
        let all = ["node7", "localhost", "127.0.0.1", "::1"];
        let first = kept_in(&path, &key, names(&all)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        assert_eq!(read(&path).unwrap(), first);
        for fewer in [&all[..], &all[..2], &[]] {
            assert_eq!(kept_in(&path, &key, names(fewer)).unwrap(), first, "{fewer:?}");
        }
        let more = kept_in(&path, &key, names(&["node7", "10.0.0.5"])).unwrap();
        assert!(fits(&more, &key, &names(&["10.0.0.5"])) && !fits(&first, &key, &names(&["10.0.0.5"])));
        assert_eq!(read(&path).unwrap(), more);
        let of_other = kept_in(&path, &other, names(&["node7"])).unwrap();
        assert_eq!(pin_in(&of_other).unwrap(), other.pin());
        std::fs::write(&path, "junk").unwrap();
        assert_eq!(pin_in(&kept_in(&path, &key, Vec::new()).unwrap()).unwrap(), key.pin());
    }

    #[test]
    fn what_is_no_name_is_left_out() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("page.pem");
        let key = PrivateKey::generate().unwrap();
        let odd = names(&["", "node 7", "fe80::1%eth0", "knöten", "node_7", "10.0.0.5", "a..b", "node7"]);
        let made = kept_in(&path, &key, odd.clone()).unwrap();
        assert!(fits(&made, &key, &names(&["node_7", "10.0.0.5", "node7"])));
        assert_eq!(kept_in(&path, &key, odd).unwrap(), made);
    }
}
