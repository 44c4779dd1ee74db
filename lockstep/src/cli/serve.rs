//! Flags of `lockstep serve`, and the command.

use super::{Trained, cores, described, threads};
use crate::serve::{self, Entrance};
use clap::Args;
use clap::builder::BoolishValueParser;
use coordinator::observe::console::Console;
use coordinator::session::Trust;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Flags of `lockstep serve`.
#[derive(Clone, Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub trained: Trained,
    /// Address to listen on; 0.0.0.0:PORT is all addresses of this machine; with port 0 a free port is chosen
    /// and printed
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "LOCKSTEP_HTTP",
        value_parser = host::address::to_listen_on,
        default_value = "127.0.0.1:8080"
    )]
    pub http: String,
    /// Folder of the key and of page.token, the token that is needed beyond loopback; a coordinator may have
    /// the same [default: lockstep/identity in the user's configuration folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKSTEP_IDENTITY", conflicts_with = "insecure")]
    pub identity: Option<PathBuf>,
    /// Let whoever reaches the port ask, without a token and without encryption
    #[arg(long, env = "LOCKSTEP_INSECURE", value_parser = BoolishValueParser::new())]
    pub insecure: bool,
    /// Number of threads that compute with the model [default: all cores]
    #[arg(long, value_name = "N", env = "LOCKSTEP_THREADS", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
}

impl Serve {
    pub(super) fn run(&self, console: &Console) -> anyhow::Result<String> {
        let model = self.trained.open()?;
        let described = described(&model);
        let trust = Trust {
            is_insecure: self.insecure,
            identity: self.identity.clone(),
            shows_token: std::io::stderr().is_terminal(),
        };
        let entrance = Entrance { address: self.http.clone(), trust };
        serve::run(model, &described, &entrance, self.threads.unwrap_or_else(cores), console)?;
        Ok(String::new())
    }
}
