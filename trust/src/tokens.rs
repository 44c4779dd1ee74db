//! The tokens that a coordinator has given out: a folder with a file for each.
//!
//! ```text
//! tokens/NAME       the token, and a second line `uses N` where only N workers may join with it
//! tokens/NAME.I     the Ith worker that has joined with it: its instance, in hexadecimal
//! ```
//!
//! 1. The folder is all there is: a token that is removed is revoked, also for a coordinator that is running.
//! 2. A worker is counted once, however often it connects: its instance is written down. A file is made under
//!    the next number that is free, so that two coordinators can't both give away the last use.

use crate::key::{Pin, PrivateKey};
use crate::secret_file::{self, SecretError};
use crate::token::Token;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The token that is made where there is none.
pub const DEFAULT_NAME: &str = "default";
/// Most tokens of a coordinator.
const TOKENS_MAX: usize = 1024;
/// Most workers that a token with `uses` may be for.
pub const USES_MAX: u32 = 1024;
const NAME_CHARS_MAX: usize = 64;

/// The name of a token: 1 to 64 letters, digits, `-` or `_`. It stands in logs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenName(String);

impl Default for TokenName {
    fn default() -> Self {
        Self(DEFAULT_NAME.to_owned())
    }
}

impl FromStr for TokenName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let valid = (1..=NAME_CHARS_MAX).contains(&text.len()) && text.chars().all(is_known);
        let name = valid.then(|| Self(text.to_owned()));
        name.ok_or_else(|| format!("a token's name has 1 to {NAME_CHARS_MAX} letters, digits, - or _"))
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token, as its coordinator keeps it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What a worker is started with.
    pub token: Token,
    /// How many workers may join with it; any number where it is `None`.
    pub uses: Option<NonZeroU32>,
}

/// A token's file, as far as it can be told from another one without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    name: TokenName,
    inode: u64,
    /// When the system has last changed it: seconds and nanoseconds.
    when: (i64, i64),
}

/// The keys of the workers that a coordinator knows, each with the name of its token.
pub type KnownKeys = BTreeMap<Pin, TokenName>;

/// Why a worker may not join with a token that is known.
#[derive(Debug, thiserror::Error)]
pub enum NoUse {
    /// As many workers as it is for have joined.
    #[error(
        "the token {name} is for {uses} workers, and as many have joined with it; coordinator token new NAME makes another"
    )]
    UsedUp {
        /// Name of the token, by which it is revoked.
        name: TokenName,
        /// How many workers it is for.
        uses: NonZeroU32,
    },
    /// It can't be written down.
    #[error(transparent)]
    File(#[from] SecretError),
}

/// All tokens that a coordinator has given out, by their folder.
#[derive(Clone, Debug)]
pub struct Tokens {
    folder: PathBuf,
    pin: Pin,
}

impl Tokens {
    pub(crate) fn open(folder: &Path, pin: Pin) -> Result<Self, SecretError> {
        secret_file::folder(folder)?;
        Ok(Self { folder: folder.to_owned(), pin })
    }

    /// The file of a token.
    #[must_use]
    pub fn path(&self, name: &TokenName) -> PathBuf {
        self.folder.join(&name.0)
    }

    /// Makes a token of that name, in a file of its own.
    ///
    /// # Errors
    /// When there is one of that name, or it can't be written.
    pub fn create(&self, name: &TokenName, uses: Option<NonZeroU32>) -> Result<Token, SecretError> {
        let path = self.path(name);
        let token =
            Token::new(self.pin).map_err(|source| SecretError::Unwritable { path: path.clone(), source })?;
        // It has room for both without a copy that would stay in memory.
        let mut text = token.reveal();
        if let Some(uses) = uses {
            text.push_str(&format!("\nuses {uses}"));
        }
        text.push('\n');
        secret_file::create(&path, text.as_bytes())?;
        Ok(token)
    }

    /// Reads the token of that name.
    ///
    /// # Errors
    /// When there is none of that name, others can read it, or it is another coordinator's.
    pub fn read(&self, name: &TokenName) -> Result<Kept, SecretError> {
        let path = self.path(name);
        let bytes = secret_file::read(&path)?;
        parse(&bytes, self.pin).map_err(|what| SecretError::Invalid { path, what })
    }

    /// The names of all tokens, in order.
    ///
    /// # Errors
    /// When the folder can't be read, or has too many.
    pub fn names(&self) -> Result<Vec<TokenName>, SecretError> {
        let unreadable =
            |source: io::Error| SecretError::Unreadable { path: self.folder.clone(), source: source.into() };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unreadable)? {
            let name = entry.map_err(unreadable)?.file_name();
            names.extend(name.to_str().and_then(|name| name.parse().ok()));
            if names.len() > TOKENS_MAX {
                let what = format!("more than {TOKENS_MAX} tokens; revoke those that nobody uses");
                return Err(SecretError::Invalid { path: self.folder.clone(), what });
            }
        }
        names.sort();
        Ok(names)
    }

    /// What changes when a token is made, revoked or replaced, and costs no arithmetic to see.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn traces(&self) -> Result<Vec<Trace>, SecretError> {
        let trace = |name: TokenName| {
            let metadata = self.path(&name).symlink_metadata().ok()?;
            let when = (metadata.ctime(), metadata.ctime_nsec());
            Some(Trace { name, inode: metadata.ino(), when })
        };
        Ok(self.names()?.into_iter().filter_map(trace).collect())
    }

    /// How many workers have joined with a token that is for so many.
    #[must_use]
    pub fn used(&self, name: &TokenName, uses: NonZeroU32) -> u32 {
        (1..=uses.get()).take_while(|&number| self.use_path(name, number).exists()).count() as u32
    }

    /// Removes a token, and what is written about its use.
    ///
    /// # Errors
    /// When there is none of that name, or it can't be removed.
    pub fn revoke(&self, name: &TokenName) -> Result<(), SecretError> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(|source| SecretError::Unreadable { path, source: source.into() })?;
        for number in 1..=USES_MAX {
            if fs::remove_file(self.use_path(name, number)).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The keys of all tokens, and the errors of those that can't be read: one damaged file keeps out its own
    /// workers only.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn known_keys(&self) -> Result<(KnownKeys, Vec<SecretError>), SecretError> {
        let mut known = KnownKeys::new();
        let mut errors = Vec::new();
        for name in self.names()? {
            let key = self.read(&name).and_then(|kept| {
                let invalid = |error: crate::key::KeyError| SecretError::Invalid {
                    path: self.path(&name),
                    what: error.to_string(),
                };
                PrivateKey::of_worker(&kept.token).map_err(invalid)
            });
            match key {
                Ok(key) => drop(known.insert(key.pin(), name)),
                // It was revoked a moment ago.
                Err(error) if error.is_missing() => {}
                Err(error) => errors.push(error),
            }
        }
        Ok((known, errors))
    }

    /// Counts a worker that joins with a token, unless it was counted before or the token is for any number.
    ///
    /// # Errors
    /// When the token is used up, was revoked, or its use can't be written down.
    pub fn join(&self, name: &TokenName, instance: u64) -> Result<(), NoUse> {
        let Some(uses) = self.read(name)?.uses else { return Ok(()) };
        let own = format!("{instance:016x}\n");
        for number in 1..=uses.get() {
            let path = self.use_path(name, number);
            match secret_file::read(&path) {
                Ok(taken) if taken.as_slice() == own.as_bytes() => return Ok(()),
                Ok(_) => continue,
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error.into()),
            }
            match secret_file::create(&path, own.as_bytes()) {
                Err(error) if error.is_there() => {}
                made => return Ok(made?),
            }
        }
        Err(NoUse::UsedUp { name: name.clone(), uses })
    }

    /// A token's name has no dot, so that these are no tokens.
    fn use_path(&self, name: &TokenName, number: u32) -> PathBuf {
        self.folder.join(format!("{name}.{number}"))
    }
}

/// Reads a token's file.
fn parse(bytes: &[u8], pin: Pin) -> Result<Kept, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is no token".to_owned())?;
    let mut lines = text.lines();
    let token: Token = lines.next().unwrap_or_default().parse().map_err(|error| format!("{error}"))?;
    if token.pin() != pin {
        return Err("it is a token of another coordinator; it belongs where workers are started".to_owned());
    }
    let uses = match lines.next() {
        None => None,
        Some(line) => {
            let uses = line.strip_prefix("uses ").and_then(|uses| uses.parse().ok());
            Some(uses.ok_or_else(|| "its second line is not `uses N`".to_owned())?)
        }
    };
    Ok(Kept { token, uses })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use std::os::unix::fs::PermissionsExt;

    fn name(text: &str) -> TokenName {
        text.parse().unwrap()
    }

    fn tokens(place: &tempfile::TempDir) -> Tokens {
        Identity::open(place.path()).unwrap().tokens().unwrap()
    }

    #[test]
    fn a_token_is_known_until_it_is_revoked() {
        let place = tempfile::tempdir().unwrap();
        let tokens = tokens(&place);
        let token = tokens.create(&name("lab"), None).unwrap();
        let pin = PrivateKey::of_worker(&token).unwrap().pin();
        assert!(tokens.create(&name("lab"), None).unwrap_err().is_there());
        tokens.create(&name("other"), None).unwrap();
        assert_eq!(tokens.names().unwrap(), [name("lab"), name("other")]);
        assert_eq!(tokens.known_keys().unwrap().0.get(&pin), Some(&name("lab")));
        assert_eq!(tokens.read(&name("lab")).unwrap().token, token);
        let traces = tokens.traces().unwrap();
        assert_eq!(tokens.traces().unwrap(), traces);
        tokens.revoke(&name("lab")).unwrap();
        assert!(!tokens.known_keys().unwrap().0.contains_key(&pin));
        assert!(tokens.revoke(&name("lab")).unwrap_err().is_missing());
        tokens.create(&name("lab"), None).unwrap();
        assert_ne!(tokens.traces().unwrap(), traces, "another token of the same name");
    }

    #[test]
    fn a_token_is_used_up_by_as_many_workers_as_it_is_for() {
        let place = tempfile::tempdir().unwrap();
        let tokens = tokens(&place);
        tokens.create(&name("two"), NonZeroU32::new(2)).unwrap();
        for instance in [5, 6, 5, 6] {
            tokens.join(&name("two"), instance).unwrap();
        }
        assert_eq!(tokens.used(&name("two"), NonZeroU32::new(2).unwrap()), 2);
        assert!(matches!(tokens.join(&name("two"), 7), Err(NoUse::UsedUp { .. })));
        assert_eq!(tokens.names().unwrap(), [name("two")]);
        tokens.revoke(&name("two")).unwrap();
        tokens.create(&name("two"), NonZeroU32::new(1)).unwrap();
        tokens.join(&name("two"), 7).unwrap();
    }

    #[test]
    fn the_last_use_is_given_away_once() {
        let place = tempfile::tempdir().unwrap();
        let tokens = tokens(&place);
        tokens.create(&name("three"), NonZeroU32::new(3)).unwrap();
        let joined = std::thread::scope(|scope| {
            let joining = |instance| {
                scope.spawn({
                    let tokens = &tokens;
                    move || tokens.join(&name("three"), instance).is_ok()
                })
            };
            let all: Vec<_> = (1..=8).map(joining).collect();
            all.into_iter().filter(|_| true).map(|one| one.join().unwrap()).filter(|&ok| ok).count()
        });
        assert_eq!(joined, 3);
    }

    #[test]
    fn a_file_that_is_no_token_of_this_coordinator_keeps_out_nobody_else() {
        let [place, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let tokens = tokens(&place);
        tokens.create(&name("good"), None).unwrap();
        let foreign = Identity::open(other.path()).unwrap().tokens().unwrap();
        foreign.create(&name("lab"), None).unwrap();
        fs::copy(foreign.path(&name("lab")), tokens.path(&name("foreign"))).unwrap();
        tokens.create(&name("open"), None).unwrap();
        fs::set_permissions(tokens.path(&name("open")), fs::Permissions::from_mode(0o644)).unwrap();
        secret_file::create(&tokens.path(&name("junk")), b"junk\n").unwrap();
        let (known, errors) = tokens.known_keys().unwrap();
        assert_eq!((known.len(), errors.len()), (1, 3), "{errors:?}");
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "lab-2_b", &"x".repeat(64)] {
            assert!(good.parse::<TokenName>().is_ok());
        }
        for bad in ["", "a b", "../x", "a.1", "é", &"x".repeat(65)] {
            assert!(bad.parse::<TokenName>().is_err(), "{bad}");
        }
    }
}
