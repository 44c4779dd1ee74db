//! A coordinator's identity: a folder with its key and its tokens. It outlives runs, so that a new run needs
//! no new paste.
//!
//! ```text
//! identity/           0700
//!   coordinator.key   0600   the private key: PKCS #8 in DER
//!   page.token        0600   what opens the web pages, once there are any beyond loopback
//!   page.pem          0644   their certificate
//!   tokens/           0700   see `tokens`
//! ```

use crate::key::PrivateKey;
use crate::page_certificate;
use crate::page_token::PageToken;
use crate::secret_file::{self, SecretError};
use crate::tokens::Tokens;
use etcetera::BaseStrategy;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};

const KEY: &str = "coordinator.key";
const PAGE_TOKEN: &str = "page.token";
const PAGE_CERTIFICATE: &str = "page.pem";
const TOKENS: &str = "tokens";

/// The key of a coordinator, and where its tokens are.
#[derive(Debug)]
pub struct Identity {
    key: PrivateKey,
    folder: PathBuf,
}

/// The folder that is used where none is chosen: `lockstep/identity` in the user's configuration folder.
/// `None` where the user has no home.
#[must_use]
pub fn default_folder() -> Option<PathBuf> {
    Some(etcetera::choose_base_strategy().ok()?.config_dir().join("lockstep").join("identity"))
}

impl Identity {
    /// Opens the identity in a folder, which is made where there is none. So is the key.
    ///
    /// # Errors
    /// When a file is not this user's alone, is damaged, or can't be made.
    pub fn open(folder: &Path) -> Result<Self, SecretError> {
        secret_file::folder(folder)?;
        let path = folder.join(KEY);
        let key = match read_key(&path) {
            Err(error) if error.is_missing() => make_key(&path)?,
            read => read?,
        };
        Ok(Self { key, folder: folder.to_owned() })
    }

    /// The key pair by which workers and readers of pages know this coordinator.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The folder that it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The tokens with which workers join, in a folder within the identity's.
    ///
    /// # Errors
    /// When their folder can't be made, or others can write to it.
    pub fn tokens(&self) -> Result<Tokens, SecretError> {
        Tokens::open(&self.folder.join(TOKENS), self.key.pin())
    }

    /// The token of its web pages, which is made where there is none.
    ///
    /// # Errors
    /// When others can read it, it is damaged, or it can't be made.
    pub fn page_token(&self) -> Result<PageToken, SecretError> {
        PageToken::kept_in(&self.page_token_file())
    }

    /// Where the token of its web pages lies.
    #[must_use]
    pub fn page_token_file(&self) -> PathBuf {
        self.folder.join(PAGE_TOKEN)
    }

    /// The certificate of its web pages, with these host names and addresses. One that was kept is used where
    /// it has them all; what is no name is left out.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn page_certificate(
        &self,
        names: impl IntoIterator<Item = String>,
    ) -> Result<CertificateDer<'static>, SecretError> {
        page_certificate::kept_in(&self.page_certificate_file(), &self.key, names)
    }

    /// Where the certificate of its web pages lies.
    #[must_use]
    pub fn page_certificate_file(&self) -> PathBuf {
        self.folder.join(PAGE_CERTIFICATE)
    }
}

fn read_key(path: &Path) -> Result<PrivateKey, SecretError> {
    let invalid = |error| SecretError::Invalid {
        path: path.to_owned(),
        what: format!(
            "{error}: it is no private key; restore it from a copy, or move the folder away for a new identity, which needs \
             new tokens"
        ),
    };
    PrivateKey::from_pkcs8(secret_file::read(path)?).map_err(invalid)
}

/// Makes a key, unless another process has just made one.
fn make_key(path: &Path) -> Result<PrivateKey, SecretError> {
    let invalid =
        |error: crate::key::KeyError| SecretError::Invalid { path: path.to_owned(), what: error.to_string() };
    let key = PrivateKey::generate().map_err(invalid)?;
    match secret_file::create(path, key.to_pkcs8()) {
        Ok(()) => Ok(key),
        Err(error) if error.is_there() => read_key(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_identity_outlives_the_program() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("identity");
        let pin = Identity::open(&folder).unwrap().key().pin();
        assert_eq!(Identity::open(&folder).unwrap().key().pin(), pin);
        assert_ne!(Identity::open(&place.path().join("other")).unwrap().key().pin(), pin);
    }

    #[test]
    fn a_key_that_was_copied_carelessly_or_damaged_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("identity");
        Identity::open(&folder).unwrap();
        let key = folder.join(KEY);
        fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Identity::open(&folder), Err(SecretError::ReadableByOthers { .. })));
        fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        let whole = fs::read(&key).unwrap();
        fs::write(&key, &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(Identity::open(&folder), Err(SecretError::Invalid { .. })));
    }

    #[test]
    fn many_that_open_one_at_the_same_time_have_one_key() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("identity");
        let open = || Identity::open(&folder).unwrap().key().pin();
        let pins = std::thread::scope(|scope| {
            let opened: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            opened.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(pins.iter().all(|pin| *pin == pins[0]));
    }
}
