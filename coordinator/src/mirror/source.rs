//! A checkpoint on this machine's disk that is to be uploaded.
//!
//! Its files are opened at once: they can be read even if the folder is removed meanwhile. Nothing is kept in
//! memory but the manifest, and a part of the file that is being sent.

use super::bucket::PART;
use super::key::ManifestId;
use super::request::RequestError;
use bytes::Bytes;
use common::checkpoint::{MANIFEST_BYTES_MAX, MANIFEST_FILE, MODEL_FILE, Manifest, OPTIMIZER_FILE};
use common::ids::Step;
use common::train::config::hex;
use host::files::{FileError, Links, open_regular, read_regular};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// A checkpoint whose files are open.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) step: Step,
    /// Content of its `manifest.json`.
    pub(super) manifest: Vec<u8>,
    pub(super) id: ManifestId,
    /// The checkpoint with the best validation so far.
    pub(super) best: Option<Step>,
    pub(super) files: Vec<SourceFile>,
}

/// A file of it.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    pub(super) name: &'static str,
    pub(super) bytes: u64,
    sha256: String,
    file: Arc<File>,
}

/// The names of the files that a manifest records, besides itself.
pub(super) fn file_names(manifest: &Manifest) -> impl Iterator<Item = &'static str> {
    [MODEL_FILE, OPTIMIZER_FILE].into_iter().chain(manifest.more_files())
}

impl Source {
    /// Opens the checkpoint in that folder.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let failed = |name: &str, error: FileError| {
            io::Error::other(format!("cannot read {}: {error}", folder.join(name).display()))
        };
        let manifest = read_regular(&folder.join(MANIFEST_FILE), MANIFEST_BYTES_MAX, Links::Refused);
        let manifest = manifest.map_err(|error| failed(MANIFEST_FILE, error))?;
        let parsed = Manifest::parse(&manifest).map_err(io::Error::other)?;
        let mut files = Vec::new();
        for name in file_names(&parsed) {
            let Some(record) = parsed.files.get(name) else { continue };
            let file = open_regular(&folder.join(name), u64::MAX, Links::Refused);
            let file = Arc::new(file.map_err(|error| failed(name, error))?);
            files.push(SourceFile { name, bytes: record.bytes, sha256: record.sha256.clone(), file });
        }
        let id = ManifestId::of(&manifest);
        let best = parsed.position.best.map(|best| best.step);
        Ok(Self { step: parsed.position.step, manifest, id, best, files })
    }
}

/// A file that is being read from its beginning to its end.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    of: &'a SourceFile,
    at: u64,
    digest: Sha256,
}

impl<'a> Reading<'a> {
    pub(super) fn new(of: &'a SourceFile) -> Self {
        Self { of, at: 0, digest: Sha256::new() }
    }

    /// The next part; `None` at the end. The whole must have the digest that the manifest records.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, RequestError> {
        let here = |what: String| RequestError::Here { what: format!("{}: {what}", self.of.name) };
        let bytes = (self.of.bytes - self.at).min(PART as u64) as usize;
        if bytes == 0 {
            return Ok(None);
        }
        let (file, at) = (Arc::clone(&self.of.file), self.at);
        let read = tokio::task::spawn_blocking(move || {
            let mut part = vec![0; bytes];
            file.read_exact_at(&mut part, at).map(|()| part)
        });
        let part = match read.await {
            Ok(Ok(part)) => part,
            Ok(Err(error)) => return Err(here(format!("cannot read it: {error}"))),
            Err(error) => return Err(here(error.to_string())),
        };
        self.digest.update(&part);
        self.at += bytes as u64;
        if self.at == self.of.bytes && hex(&self.digest.finalize_reset()) != self.of.sha256 {
            return Err(here("it is not as it was written: the disk has damaged it".to_owned()));
        }
        Ok(Some(part.into()))
    }
}
