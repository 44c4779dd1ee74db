//! Why a bucket can't be used, for the operator. What a store says itself comes from outside: it is
//! shortened, and control characters are escaped.

use super::request::RequestError;
use super::url::UrlError;
use common::ids::Step;
use std::io;
use std::path::PathBuf;

/// Why a run can't begin with `--mirror`.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum MirrorError {
    /// Credentials or settings are missing.
    #[error(
        "--mirror {url}: {source}; the store's usual environment variables say where and who: docs/mirror.md has them"
    )]
    Settings { url: String, source: UrlError },
    /// The folder of a `file://` URL can't be created.
    #[error("--mirror: cannot create {}: {source}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    /// The store can't be reached, or refuses.
    #[error("--mirror: {0}; mend that, or leave out --mirror")]
    Request(#[from] RequestError),
    /// The store does not do what it must.
    #[error("--mirror {url}: the store can't be used: {what}")]
    Unfit { url: String, what: &'static str },
    /// Another coordinator is there.
    #[error(
        "{url} is in use by another coordinator, {name}, which has renewed its lock just now; stop it, or choose another \
         --mirror"
    )]
    Held {
        url: String,
        /// Machine and folder, with control characters escaped.
        name: String,
    },
    /// The lock is not ours to read.
    #[error("{url} is no lock of this program's ({problem}); if no coordinator mirrors there, remove it")]
    Lock { url: String, problem: String },
    /// The prefix holds too much to be one run's.
    #[error("{url} has more than {most} objects; choose a prefix of its own for this run")]
    TooMany { url: String, most: usize },
    /// The bucket is further than the run that begins.
    #[error(
        "{url} has a checkpoint of step {step} that this run does not go on from, and it would be removed in time; choose \
         another --mirror, or go on with --resume auto"
    )]
    Ahead { url: String, step: Step },
    /// The owner's file can't be written.
    #[error("cannot write {}: {source}", path.display())]
    Owner { path: PathBuf, source: io::Error },
    /// The thread can't be started, or its runtime.
    #[error("can't start the mirror thread: {0}")]
    Thread(#[source] io::Error),
    /// The thread has ended too early, which is a bug.
    #[error("internal error: the mirror thread has ended")]
    Ended,
}
