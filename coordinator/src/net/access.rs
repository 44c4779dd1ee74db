//! Who may come over TCP: holders of this coordinator's tokens.
//!
//! The tokens are files (`trust::tokens`). They are read again every [`LOOK`], so that a token that was made
//! or revoked meanwhile counts.

use crate::observe::console::Console;
use host::reachable::to_connect_to;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};
use trust::identity::Identity;
use trust::key::{KeyError, Pin};
use trust::secret_file::SecretError;
use trust::tls;
use trust::token::Token;
use trust::tokens::{KnownKeys, NoUse, TokenName, Tokens};

/// Interval between two looks at the tokens: a revoked one is known within it.
const LOOK: Duration = Duration::from_secs(1);

/// Why a coordinator can't say who may come.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The identity or its tokens can't be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The key can't be used.
    #[error("the coordinator's key: {0}")]
    Key(#[from] KeyError),
    /// There is no place for an identity.
    #[error(
        "there is no home folder in which to keep the coordinator's identity; name a folder with --identity, or use --insecure \
         where the network is to be trusted"
    )]
    NoFolder,
}

/// A key that a worker has proved, and the name of the token that it is derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProvedKey {
    pub(crate) pin: Pin,
    pub(crate) token: TokenName,
}

/// A coordinator's tokens and its side of TLS.
pub(crate) struct Access {
    side: tls::Coordinator,
    tokens: Tokens,
    known: tls::Known,
    changed: watch::Sender<()>,
}

/// A token for a person to copy.
pub(crate) struct Invitation {
    pub(crate) token: Token,
    /// The file in which the token lies.
    pub(crate) file: PathBuf,
}

impl Access {
    /// Access by the tokens of the identity in a folder. If there is none, one is made.
    ///
    /// # Errors
    /// When the identity or the tokens can't be read or made.
    pub(crate) fn open(folder: &Path) -> Result<Self, AccessError> {
        let identity = Identity::open(folder)?;
        let tokens = identity.tokens()?;
        if tokens.names()?.is_empty() {
            let name = TokenName::default();
            match tokens.create(&name, None) {
                // Another coordinator of this identity was faster.
                Err(error) if error.is_there() => {}
                made => drop(made?),
            }
            info!(token = %name, folder = %folder.display(), "made a token for workers");
        }
        let (keys, errors) = tokens.known_keys()?;
        errors.iter().for_each(|error| warn!(%error, "a token can't be used"));
        let known = Arc::new(RwLock::new(keys));
        let side = tls::Coordinator::new(identity.key(), Arc::clone(&known))?;
        Ok(Self { side, tokens, known, changed: watch::channel(()).0 })
    }

    /// The side of TLS.
    pub(crate) fn side(&self) -> &tls::Coordinator {
        &self.side
    }

    /// A token to copy: the default one, or the first that any number of workers may use, or the first.
    ///
    /// # Errors
    /// When it can't be read.
    pub(crate) fn invitation(&self) -> Result<Option<Invitation>, SecretError> {
        let names = self.tokens.names()?;
        let kept = names.iter().filter_map(|name| Some((name, self.tokens.read(name).ok()?)));
        let best = kept.min_by_key(|(name, kept)| (kept.uses.is_some(), **name != TokenName::default()));
        Ok(best.map(|(name, kept)| Invitation { token: kept.token, file: self.tokens.path(name) }))
    }

    /// The token of a key, unless it was revoked.
    pub(crate) fn token_of(&self, pin: &Pin) -> Option<TokenName> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(pin).cloned()
    }

    /// Counts a worker that joins with a token.
    ///
    /// # Errors
    /// When it may not, with the reason.
    pub(crate) async fn join(&self, token: &TokenName, instance: u64) -> Result<(), NoUse> {
        let tokens = self.tokens.clone();
        let token = token.clone();
        // It fails only where the runtime ends.
        tokio::task::spawn_blocking(move || tokens.join(&token, instance)).await.unwrap_or(Ok(()))
    }

    /// Waits until the token of a key is revoked.
    pub(crate) async fn revoked(self: Arc<Self>, pin: Pin) {
        let mut changed = self.changed.subscribe();
        while self.token_of(&pin).is_some() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Reads the tokens again and again.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut is_readable = true;
        let mut last = None;
        loop {
            tokio::time::sleep(LOOK).await;
            let tokens = self.tokens.clone();
            let before = last.clone();
            let look = move || {
                let traces = Some(tokens.traces()?);
                let keys = if traces == before { None } else { Some(tokens.known_keys()?.0) };
                Ok::<_, SecretError>((traces, keys))
            };
            let Ok(read) = tokio::task::spawn_blocking(look).await else { return };
            match read {
                Ok((traces, keys)) => {
                    is_readable = true;
                    last = traces;
                    keys.into_iter().for_each(|keys| self.take(keys));
                }
                Err(error) if is_readable => {
                    is_readable = false;
                    warn!(%error, "the tokens can't be read; those that were known stay valid");
                }
                Err(_) => {}
            }
        }
    }

    fn take(&self, keys: KnownKeys) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if *known == keys {
            return;
        }
        for name in known.values().filter(|name| !keys.values().any(|other| other == *name)) {
            info!(token = %name, "a token was revoked; its workers are disconnected");
        }
        *known = keys;
        drop(known);
        self.changed.send_replace(());
    }
}

/// Who may come over TCP, as an operator chose it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Whoever reaches the port.
    pub is_insecure: bool,
    /// The folder of the coordinator's identity. Without one, the user's own is used beyond loopback, and
    /// everybody may come on loopback.
    pub identity: Option<PathBuf>,
    /// Whether a person reads standard error, and may see a token there.
    pub shows_token: bool,
}

impl Trust {
    /// The folder of the identity whose tokens workers need; `None` where everybody may come.
    fn folder(&self, is_loopback: bool) -> Result<Option<PathBuf>, AccessError> {
        match &self.identity {
            _ if self.is_insecure => Ok(None),
            Some(folder) => Ok(Some(folder.clone())),
            None if is_loopback => Ok(None),
            None => trust::identity::default_folder().map(Some).ok_or(AccessError::NoFolder),
        }
    }

    /// What a worker needs to join, in words.
    pub(crate) fn describe(&self, is_loopback: bool) -> String {
        match self.folder(is_loopback) {
            Ok(Some(folder)) => format!("a token of the identity in {}", folder.display()),
            Ok(None) if self.is_insecure => "nothing (--insecure)".to_owned(),
            Ok(None) => "nothing: it is reached from this machine only".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Access for a listener; `None` where everybody may come.
    ///
    /// # Errors
    /// As for [`Access::open`], and when the user has no folder for an identity.
    pub(crate) fn access(&self, is_loopback: bool) -> Result<Option<Access>, AccessError> {
        if self.is_insecure && !is_loopback {
            warn!(
                "--insecure: whoever reaches the port can join, and whoever is in between can read and change all"
            );
        }
        let Some(folder) = self.folder(is_loopback)? else { return Ok(None) };
        trust::core_dumps::refuse();
        Access::open(&folder).map(Some)
    }

    /// Shows a person the command that starts a worker on another machine.
    pub(crate) fn show(&self, address: Option<SocketAddr>, invitation: &Invitation, console: &Console) {
        // A machine's name is known to others less often than its address.
        let is_number = |way: &&String| way.parse::<SocketAddr>().is_ok();
        let ways = address.map_or_else(Vec::new, to_connect_to);
        let best = ways.iter().find(is_number).or(ways.first());
        if let Some(best) = best.filter(|_| self.shows_token) {
            console.line(&format!("worker --connect {best} --token {}", *invitation.token.reveal()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_beyond_loopback_needs_tokens_unless_everybody_may_come() {
        let place = tempfile::tempdir().unwrap();
        let access = |is_insecure, identity: Option<&Path>, is_loopback| {
            let identity = identity.map(Path::to_owned);
            let trust = Trust { is_insecure, identity, shows_token: false };
            trust.access(is_loopback).unwrap().is_some()
        };
        assert!(access(false, Some(place.path()), false));
        assert!(access(false, Some(place.path()), true));
        assert!(!access(false, None, true));
        assert!(!access(true, None, false));
    }

    #[test]
    fn the_first_start_makes_a_token_and_later_ones_keep_it() {
        let place = tempfile::tempdir().unwrap();
        let invited = || Access::open(place.path()).unwrap().invitation().unwrap().unwrap();
        let first = invited();
        assert_eq!(invited().token, first.token);
        assert_eq!(first.file, place.path().join("tokens").join("default"));
    }
}
