//! A server that is told of a run: its address, which anybody may read, and the login, which nobody may.

use super::login::{Login, LoginError, Read};
use super::mlflow::Uri;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tracing::warn;
use ureq::{Agent, RequestBuilder};
use url::{Host, Url};

/// Its address and the login for it.
#[derive(Clone, Debug)]
pub struct Server {
    uri: Uri,
    login: Login,
}

impl Server {
    pub(crate) fn new(uri: Uri, login: Login) -> Self {
        Self { uri, login }
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// What asks it, with a deadline for an answer. A status that is no success is an answer too. A login is
    /// for this server alone, so with one nobody is sent on to another server.
    pub(crate) fn agent(&self, timeout: Duration) -> Agent {
        let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(timeout));
        let config = if self.login.is_empty() { config } else { config.max_redirects(0) };
        config.build().new_agent()
    }

    /// Adds the login to a request.
    pub(crate) fn show_login<Body>(&self, request: RequestBuilder<Body>) -> RequestBuilder<Body> {
        self.login.show(request)
    }

    /// Warns, once in a process, where others can read the login. The flag is that which names the server.
    pub(crate) fn warn_of_readers(&self, flag: &'static str) {
        static WARNED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
        if self.is_readable() && WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(flag) {
            warn!(
                uri = %self.uri,
                "{flag} sends a login without TLS, so that others on the way can read it; use https://"
            );
        }
    }

    /// Whether there is a login that leaves this machine without TLS.
    fn is_readable(&self) -> bool {
        let Ok(url) = Url::parse(&self.uri.to_string()) else { return !self.login.is_empty() };
        let stays = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
            None => false,
        };
        !self.login.is_empty() && url.scheme() != "https" && !stays
    }
}

/// Takes the address that a flag has, and the login from the environment. Unlike clap's own parsers it does
/// not repeat the value of the flag, which may have a password in a place where none is taken.
#[derive(Clone, Copy)]
pub(crate) struct ServerParser(fn(Read) -> Result<Login, LoginError>);

impl ServerParser {
    /// For trackers of MLflow.
    pub(crate) const MLFLOW: Self = Self(Login::of_mlflow);
    /// For collectors of OpenTelemetry's traces.
    pub(crate) const OTLP: Self = Self(Login::of_otlp);

    fn server(self, address: &OsStr, read: Read) -> Result<Server, String> {
        let uri = address.to_str().ok_or("the address is no UTF-8")?.parse()?;
        Ok(Server::new(uri, self.0(read).map_err(|error| error.to_string())?))
    }
}

impl TypedValueParser for ServerParser {
    type Value = Server;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Server, clap::Error> {
        self.server(value, &|variable| std::env::var_os(variable)).map_err(|problem| {
            let flag = arg.map(ToString::to_string).unwrap_or_default();
            let message = format!("{flag}: {problem}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests;
