//! Flags of `lockstep submit`, and the command.

use super::{Trained, described, threads, threads_or_all};
use crate::submission;
use clap::Args;
use host::printable_lines;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Flags of `lockstep submit`.
#[derive(Clone, Debug, Args)]
pub struct Submit {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub trained: Trained,
    /// Test of Kaggle's digit recogniser: a table without labels, as its test.csv or in gzip
    #[arg(long, value_name = "test.csv")]
    pub kaggle: PathBuf,
    /// The submission; an older one is replaced, and no other file
    #[arg(long, value_name = "FILE.csv")]
    pub output: PathBuf,
    /// Number of threads [default: all cores]
    #[arg(long, value_name = "N", env = "LOCKSTEP_THREADS", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
}

impl Submit {
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let model = self.trained.open()?;
        let threads = threads_or_all(self.threads);
        let rows = submission::write(&model, &self.kaggle, &self.output, threads)?;
        let text =
            format!("{}\nfile                {}, {rows} rows\n", described(&model), self.output.display());
        Ok(printable_lines(&text).into_owned())
    }
}
