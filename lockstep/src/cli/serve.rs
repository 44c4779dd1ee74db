//! Flags of `lockstep serve`, and the command.

use super::{Trained, cores, described, threads};
use crate::serve;
use clap::Args;
use std::num::NonZeroUsize;

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
    /// Number of threads that compute with the model [default: all cores]
    #[arg(long, value_name = "N", env = "LOCKSTEP_THREADS", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
}

impl Serve {
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let model = self.trained.open()?;
        let described = described(&model);
        serve::run(model, &described, &self.http, self.threads.unwrap_or_else(cores))?;
        Ok(String::new())
    }
}
