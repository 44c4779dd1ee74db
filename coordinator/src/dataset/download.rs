//! Downloads one of a data set's four files from a public mirror to the data folder, completely and verified,
//! or not at all.
//!
//! This file decides which mirror is asked when, and how a file is placed: written under a temporary name,
//! verified, synced, renamed. So concurrent downloads, and a crash at any moment, leave complete files only.
//! The caller's `check` verifies the content; [`mirror`] talks to a mirror. A broken transfer starts from the
//! beginning, because the largest file has only 26 MB. Called by [`named`](super::named); blocks.

mod mirror;

pub use mirror::FetchError;
pub(super) use mirror::Limits;

use super::DatasetError;
use super::parts::{Content, Part};
use crate::folder::{self, NewFolder};
use backon::{BackoffBuilder, ExponentialBuilder};
use host::files::{FileError, is_unsupported, open_directory};
use indicatif::MultiProgress;
use mirror::{Client, Failure, Mirror};
use std::fs;
use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use tracing::info;

/// Rounds over all mirrors for a file, as long as another attempt may help. They bridge a short failure, and
/// an outage is reported within minutes.
const ROUNDS: usize = 3;
/// Prefix of a file that is not verified yet; no data set has a file of such a name.
const TEMPORARY_PREFIX: &str = ".download-";
/// Age after which a temporary file is abandoned: a live transfer writes every few seconds.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

/// Why a file could not be downloaded.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No mirror delivered the file.
    #[error("{file}: {}", list(tried))]
    Refused {
        file: String,
        /// Each mirror, and why its last attempt failed.
        tried: Vec<(String, FetchError)>,
    },
    /// The folder can't be written.
    #[error("cannot keep files in {}: {why}", folder.display())]
    Disk { folder: PathBuf, why: io::Error },
}

/// The mirrors, and which of them have answered since the program began.
pub(super) struct Mirrors {
    client: Client,
    mirrors: Vec<Mirror>,
}

impl Mirrors {
    /// The mirrors at these addresses, through the environment's proxy. Progress is shown among `bars`, if
    /// there are any.
    pub(super) fn public(bases: &[&str], bars: Option<MultiProgress>) -> Self {
        Self::new(
            bases.iter().map(|&base| base.to_owned()),
            Limits::PUBLIC,
            ureq::Proxy::try_from_env(),
            bars,
        )
    }

    /// Mirrors with these base addresses, each of which ends with a slash.
    pub(super) fn new(
        bases: impl IntoIterator<Item = String>,
        limits: Limits,
        proxy: Option<ureq::Proxy>,
        bars: Option<MultiProgress>,
    ) -> Self {
        let mirrors = bases.into_iter().map(Mirror::new).collect();
        Self { client: Client::new(limits, proxy, bars), mirrors }
    }

    /// Downloads `file` to the folder, in gzip. Returns its path and the result of `check`, which is called
    /// with a temporary file in the same folder.
    ///
    /// A mirror that did not answer is not asked again, not even for later files.
    ///
    /// # Errors
    /// When no mirror delivered a file that `check` accepts, or the folder can't be written. The folder is
    /// unchanged then.
    pub(super) fn fetch(
        &mut self,
        folder: &Path,
        part: Part,
        check: impl Fn(&Path) -> Result<Vec<u8>, DatasetError>,
    ) -> Result<Content, DownloadError> {
        let file = format!("{}.gz", part.name);
        let disk = |why| DownloadError::Disk { folder: folder.to_owned(), why };
        let mut kept = NewFolder::create(folder).map_err(disk)?;
        remove_abandoned(folder);
        let pauses = ExponentialBuilder::new().with_min_delay(self.client.limits.pause);
        let pauses = pauses.with_max_times(ROUNDS - 1).build();
        let mut failures: Vec<Option<FetchError>> = self.mirrors.iter().map(|_| None).collect();
        for pause in iter::once(Duration::ZERO).chain(pauses) {
            if !failures.iter().any(is_worth_a_try) {
                break;
            }
            thread::sleep(pause);
            for (mirror, failure) in self.mirrors.iter_mut().zip(&mut failures) {
                if !is_worth_a_try(failure) {
                    continue;
                }
                match attempt(mirror, &self.client, folder, &file, &check) {
                    Ok(content) => {
                        kept.keep();
                        return Ok(content);
                    }
                    Err(Failure::Disk(why)) => return Err(disk(why)),
                    Err(Failure::Mirror(error)) => {
                        if error.may_pass() {
                            info!(file, mirror = mirror.base(), %error, "a download attempt failed");
                        }
                        *failure = Some(error);
                    }
                }
            }
        }
        let bases = self.mirrors.iter().map(|mirror| mirror.base().to_owned());
        let tried = bases.zip(failures).filter_map(|(base, failure)| Some((base, failure?))).collect();
        Err(DownloadError::Refused { file, tried })
    }
}

fn is_worth_a_try(last: &Option<FetchError>) -> bool {
    last.as_ref().is_none_or(FetchError::may_pass)
}

/// Makes one attempt at one mirror.
fn attempt(
    mirror: &mut Mirror,
    client: &Client,
    folder: &Path,
    file: &str,
    check: impl Fn(&Path) -> Result<Vec<u8>, DatasetError>,
) -> Result<Content, Failure> {
    let mut temporary = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(folder::permissions())
        .tempfile_in(folder)?;
    let bytes = mirror.fetch(client, file, &mut temporary)?;
    let content = check(temporary.path()).map_err(|error| match error {
        DatasetError::Read { source: FileError::System(source), .. } => Failure::Disk(source),
        why => FetchError::Foreign { bytes, why: Box::new(why) }.into(),
    })?;
    let target = folder.join(file);
    if_there_are_syncs(temporary.as_file().sync_all())?;
    folder::put(temporary, &target)?;
    if_there_are_syncs(open_directory(folder)?.sync_all())?;
    info!(file, mirror = mirror.base(), bytes, "downloaded");
    Ok((target, content))
}

/// The outcome of a sync, which counts for nothing on a file system that has none.
fn if_there_are_syncs(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if is_unsupported(&error) => Ok(()),
        other => other,
    }
}

/// Removes temporary files of killed downloads. Nothing depends on it, so failures are ignored.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX));
        let idle = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let idle = idle.and_then(|modified| modified.elapsed().ok());
        if ours && idle.is_some_and(|idle| idle > ABANDONED_AFTER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn list(tried: &[(String, FetchError)]) -> String {
    let each: Vec<String> = tried.iter().map(|(base, error)| format!("{base} {error}")).collect();
    each.join("; ")
}

#[cfg(test)]
pub(super) mod tests;
