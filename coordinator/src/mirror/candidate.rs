//! Checkpoints in the bucket, as their manifests tell, and their download.
//!
//! The bucket's content is anybody's until it is validated. A manifest is read up to its largest size; only
//! files whose names this program knows are read, and of each no more bytes than the manifest records, once
//! the configuration in it says that there can be so many. What was downloaded is verified as any checkpoint.

use super::bucket::{Bucket, REQUEST_MAX};
use super::contents::Contents;
use super::error::MirrorError;
use super::key::{self, Attempt, ManifestId};
use super::request::RequestError;
use super::source::file_names;
use common::checkpoint::{
    LABELS_FILE, MANIFEST_BYTES_MAX, MANIFEST_FILE, Manifest, OPTIMIZER_FILE, labels_bytes_max,
    tensors_bytes_max,
};
use common::ids::Step;
use common::train::config::RunConfig;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// Longest wait for a whole file, of up to gigabytes.
const TRANSFER_MAX: Duration = Duration::from_secs(3600);

/// A checkpoint whose manifest is intact.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) step: Step,
    pub(super) manifest: Manifest,
    /// The manifest as it was read.
    pub(super) bytes: Vec<u8>,
    /// Attempts of that manifest whose files have their sizes, the newest first.
    pub(super) attempts: Vec<Attempt>,
}

/// Checkpoints in the bucket, the newest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    pub(super) intact: Vec<Candidate>,
    /// Steps whose manifest is none, and why.
    pub(super) damaged: Vec<(Step, String)>,
}

impl Candidate {
    pub(super) fn id(&self) -> ManifestId {
        ManifestId::of(&self.bytes)
    }

    /// The files to download, with their sizes.
    ///
    /// # Errors
    /// When the configuration can't be run, or a file is recorded that it can't have.
    pub(super) fn files(&self) -> Result<Vec<(&'static str, u64)>, String> {
        let config = RunConfig::from_fields(&self.manifest.config);
        let config = config.map_err(|error| format!("its configuration can't be used: {error}"))?;
        let layout = config.model().layout();
        let most = |file| match file {
            OPTIMIZER_FILE => tensors_bytes_max(layout, config.training().optimizer.slots()),
            LABELS_FILE => labels_bytes_max(config.unlabelled()),
            _ => tensors_bytes_max(layout, &[""]),
        };
        let mut files = Vec::new();
        for file in file_names(&self.manifest) {
            let record = self.manifest.files.get(file).ok_or(format!("{MANIFEST_FILE} records no {file}"))?;
            if record.bytes > most(file) {
                return Err(format!(
                    "{MANIFEST_FILE} records {} bytes of {file}, which it can't have",
                    record.bytes
                ));
            }
            files.push((file, record.bytes));
        }
        Ok(files)
    }
}

/// Reads all manifests below the prefix but those from `forget_from` on.
pub(super) async fn read(
    bucket: &Bucket,
    contents: &Contents,
    forget_from: Option<Step>,
) -> Result<Candidates, MirrorError> {
    let mut found = Candidates::default();
    let counts = |step: &Step| forget_from.is_none_or(|from| *step < from);
    for step in contents.checkpoints().into_iter().rev().filter(counts) {
        let object = match bucket.read(&key::manifest(step), MANIFEST_BYTES_MAX, REQUEST_MAX).await {
            Ok(Some(object)) => object,
            Ok(None) => continue,
            Err(error @ (RequestError::TooLong { .. } | RequestError::TooShort { .. })) => {
                found.damaged.push((step, error.to_string()));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match Manifest::parse(&object.bytes) {
            Ok(manifest) if manifest.position.step == step => {
                let mut attempts = contents.attempts(step, &ManifestId::of(&object.bytes));
                attempts.retain(|attempt| {
                    let bytes = |file| manifest.files.get(file).map(|record| record.bytes);
                    let is_there = |file| bytes(file) == contents.bytes(step, attempt, file);
                    file_names(&manifest).all(is_there)
                });
                found.intact.push(Candidate { step, manifest, bytes: object.bytes, attempts });
            }
            Ok(manifest) => {
                let other = manifest.position.step;
                found.damaged.push((step, format!("{MANIFEST_FILE} is that of step {other}")));
            }
            Err(error) => found.damaged.push((step, error.to_string())),
        }
    }
    Ok(found)
}

/// Downloads a checkpoint's files of that attempt into an empty folder.
pub(super) async fn download(
    bucket: &Bucket,
    candidate: &Candidate,
    attempt: &Attempt,
    into: &Path,
) -> Result<(), RequestError> {
    let files = candidate.files().map_err(|what| {
        let url = bucket.url_of(&key::manifest(candidate.step));
        RequestError::Unusable { url, what }
    })?;
    for (file, bytes) in files {
        let mut new = create(&into.join(file))?;
        let key = key::data(candidate.step, attempt, file);
        let reading = bucket.read_to(&key, bytes, REQUEST_MAX, |piece| {
            std::future::ready(new.write_all(&piece).map_err(|error| here(&into.join(file), &error)))
        });
        let slow = |_| RequestError::Slow { action: "read", url: bucket.url_of(&key), waited: TRANSFER_MAX };
        tokio::time::timeout(TRANSFER_MAX, reading).await.map_err(slow)??;
        finish(&new, &into.join(file))?;
    }
    let path = into.join(MANIFEST_FILE);
    let mut new = create(&path)?;
    new.write_all(&candidate.bytes).map_err(|error| here(&path, &error))?;
    finish(&new, &path)
}

fn create(path: &Path) -> Result<File, RequestError> {
    File::create_new(path).map_err(|error| here(path, &error))
}

/// Makes a file durable, where files can be.
fn finish(file: &File, path: &Path) -> Result<(), RequestError> {
    match file.sync_all() {
        Err(error) if !host::files::is_unsupported(&error) => Err(here(path, &error)),
        _ => Ok(()),
    }
}

fn here(path: &Path, error: &std::io::Error) -> RequestError {
    RequestError::Here { what: format!("cannot write {}: {error}", path.display()) }
}
