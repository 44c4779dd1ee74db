//! Who may ask a server of pages, and how it says where it is.
//!
//! 1. On loopback everybody may, by plain HTTP.
//! 2. Beyond loopback there is TLS with the coordinator's key, and whoever has the page token may
//!    (`guard`). Key, token and certificate are files in the identity's folder.
//! 3. With `--insecure` everybody may there too, by plain HTTP. Every start warns of it.
//! 4. The token is shown on a terminal only. Logs are read by many, so they name its file.

use super::guard::Guard;
use super::host_header::Names;
use crate::net::access::{AccessError, Trust};
use axum::Router;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use host::address::split;
use host::reachable::to_connect_to;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};
use trust::identity::{Identity, default_folder};
use trust::key::Pin;
use trust::page_token::PageToken;
use trust::tls;

/// Hosts under which a listener on all addresses is asked on its own machine.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Who may ask a server of pages, and by what they are known.
#[derive(Clone)]
pub struct Access {
    bound: SocketAddr,
    protection: Option<Protection>,
}

/// TLS, and a token to be shown.
#[derive(Clone)]
struct Protection {
    side: TlsAcceptor,
    token: PageToken,
    guard: Arc<Guard>,
    pin: Pin,
    token_file: PathBuf,
    certificate_file: PathBuf,
}

impl Access {
    /// Access to a server that listens at `bound`, which the operator wrote as `listened_on`.
    ///
    /// # Errors
    /// When the identity, the token or the certificate can't be read or made.
    pub fn open(listened_on: &str, bound: SocketAddr, trust: &Trust) -> Result<Self, AccessError> {
        if bound.ip().is_loopback() || trust.is_insecure {
            return Ok(Self { bound, protection: None });
        }
        let folder = trust.identity.clone().or_else(default_folder).ok_or(AccessError::NoFolder)?;
        trust::core_dumps::refuse();
        let identity = Identity::open(&folder)?;
        let token = identity.page_token()?;
        let certificate = identity.page_certificate(hosts(listened_on, bound))?;
        let protection = Protection {
            side: tls::page(identity.key(), certificate)?,
            guard: Arc::new(Guard::new(token.clone())),
            token,
            pin: identity.key().pin(),
            token_file: identity.page_token_file(),
            certificate_file: identity.page_certificate_file(),
        };
        Ok(Self { bound, protection: Some(protection) })
    }

    /// Where a browser finds the server, without the token.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.protection {
            None => format!("http://{}", self.bound),
            Some(_) => format!("https://{}/", best_address(self.bound)),
        }
    }

    /// What a person opens in a browser, with the token; `None` where none is needed, or nobody may see it.
    #[must_use]
    pub fn link(&self, trust: &Trust) -> Option<String> {
        let protection = self.protection.as_ref().filter(|_| trust.shows_token)?;
        Some(format!("{}?token={}", self.url(), *protection.token.reveal()))
    }

    /// Says in the log what is needed to ask, or that nothing is. `what` is what everybody could do then.
    pub fn note(&self, what: &str) {
        let Self { bound, protection } = self;
        match protection {
            Some(Protection { token_file, certificate_file, pin, .. }) => info!(
                token_file = %token_file.display(),
                certificate = %certificate_file.display(),
                pin = format!("sha256//{}", BASE64_STANDARD.encode(pin.0)),
                "who asks needs the page token"
            ),
            None if !bound.ip().is_loopback() => warn!(
                "--insecure: everybody who can reach {bound} can {what}: there is no password and no encryption"
            ),
            None => {}
        }
    }

    /// The side of TLS; `None` where everybody may ask.
    pub(super) fn side(&self) -> Option<&TlsAcceptor> {
        self.protection.as_ref().map(|protection| &protection.side)
    }

    /// Routes that only those reach who may ask.
    pub(super) fn guarded(&self, router: Router) -> Router {
        match &self.protection {
            None => router,
            Some(protection) => Guard::before(Arc::clone(&protection.guard), router),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.protection.as_ref().map(|protection| &protection.token);
        f.debug_struct("Access").field("bound", &self.bound).field("token", &token).finish()
    }
}

/// The best way to dial a listener from elsewhere.
fn best_address(bound: SocketAddr) -> String {
    to_connect_to(bound).into_iter().next().unwrap_or_else(|| bound.to_string())
}

/// Host names and addresses by which a server may be asked.
fn hosts(listened_on: &str, bound: SocketAddr) -> Vec<String> {
    let dialable = to_connect_to(bound);
    let dialable = dialable.iter().filter_map(|address| split(address)).map(|(host, _)| host.to_owned());
    let own = Names::of(listened_on);
    let hosts = own.iter().map(str::to_owned).chain(dialable).chain(LOCAL.map(str::to_owned));
    let is_all = |host: &str| host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_unspecified());
    hosts.filter(|host| !is_all(host)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn access(bound: &str, is_insecure: bool, folder: &Path) -> Access {
        let trust = Trust { is_insecure, identity: Some(folder.to_owned()), shows_token: true };
        Access::open(bound, bound.parse().unwrap(), &trust).unwrap()
    }

    #[test]
    fn only_beyond_loopback_is_there_a_token_unless_everybody_may_ask() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("identity");
        for (bound, is_insecure) in [("127.0.0.1:80", false), ("[::1]:80", false), ("0.0.0.0:80", true)] {
            let open = access(bound, is_insecure, &folder);
            assert_eq!(open.url(), format!("http://{bound}"));
            assert!(open.side().is_none() && !folder.exists(), "{bound}");
        }
        let guarded = access("10.0.0.5:80", false, &folder);
        assert_eq!(guarded.url(), "https://10.0.0.5:80/");
        assert!(guarded.side().is_some());
    }

    #[test]
    fn the_token_is_in_the_link_for_a_person_and_nowhere_else() {
        let place = tempfile::tempdir().unwrap();
        let guarded = access("10.0.0.5:80", false, place.path());
        let text = std::fs::read_to_string(place.path().join("page.token")).unwrap();
        let mut trust = Trust { shows_token: true, ..Trust::default() };
        assert_eq!(guarded.link(&trust).unwrap(), format!("https://10.0.0.5:80/?token={}", text.trim()));
        trust.shows_token = false;
        assert_eq!(guarded.link(&trust), None);
        assert!(!format!("{guarded:?}").contains(&text[4..12]), "{guarded:?}");
    }

    #[test]
    fn hosts_are_those_that_can_be_dialled() {
        let hosts = hosts("node7.example:80", "0.0.0.0:80".parse().unwrap());
        for host in ["node7.example", "localhost", "127.0.0.1", "::1"] {
            assert!(hosts.iter().any(|own| own == host), "{host} is not in {hosts:?}");
        }
        assert!(!hosts.iter().any(|host| host == "0.0.0.0"), "{hosts:?}");
    }
}
