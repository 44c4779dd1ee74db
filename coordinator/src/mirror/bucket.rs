//! Requests to a bucket, each with a deadline, and with bounds on what is read.
//!
//! Keys are below the prefix. [`conditional`](super::conditional) has what a folder lacks.

use super::conditional;
use super::request::RequestError;
use super::source::Reading;
use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::path::Path as ObjectPath;
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, UpdateVersion,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a request, with all its retries; and for the next piece of an answer.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(90);
/// The same for a request about the lock.
pub(super) const LOCK_MAX: Duration = Duration::from_secs(8);
/// Longest wait for a whole listing, of up to a hundred pages.
const LIST_MAX: Duration = Duration::from_secs(300);
/// Size of a part of a larger file, in bytes. S3 wants 5 MiB at least; the files of tests have kilobytes.
pub(super) const PART: usize = if cfg!(test) { 1 << 10 } else { 8 << 20 };

/// A place in a store.
#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    url: String,
    /// The folder, if it is one.
    folder: Option<PathBuf>,
}

/// An object that was read.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) bytes: Vec<u8>,
    pub(super) version: UpdateVersion,
}

impl Bucket {
    /// The objects below `prefix`, which people know by that URL.
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        prefix: ObjectPath,
        url: &str,
        folder: Option<PathBuf>,
    ) -> Self {
        Self { store, prefix, url: url.to_owned(), folder }
    }

    /// URL of the prefix.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// URL of an object.
    pub(super) fn url_of(&self, key: &str) -> String {
        format!("{}/{key}", self.url)
    }

    /// Puts an object where there is none. An error that [is a refusal](RequestError::is_refused) says that
    /// there is one.
    pub(super) async fn create(
        &self,
        key: &str,
        bytes: Vec<u8>,
        most: Duration,
    ) -> Result<UpdateVersion, RequestError> {
        let path = self.path(key);
        let put = self.store.put_opts(&path, bytes.into(), PutMode::Create.into());
        let put = self.within("create", key, most, put).await?;
        self.versioned(key, put.into())
    }

    /// Puts an object in place of that version. An error that [is a refusal](RequestError::is_refused) says
    /// that there is another one.
    pub(super) async fn replace(
        &self,
        key: &str,
        bytes: Vec<u8>,
        version: &UpdateVersion,
        most: Duration,
    ) -> Result<UpdateVersion, RequestError> {
        let path = self.path(key);
        let put = async {
            match &self.folder {
                Some(folder) => conditional::replace(&*self.store, folder, &path, bytes, version).await,
                None => {
                    let mode = PutMode::Update(version.clone());
                    self.store.put_opts(&path, bytes.into(), mode.into()).await
                }
            }
        };
        let put = self.within("replace", key, most, put).await?;
        self.versioned(key, put.into())
    }

    /// Puts an object, whatever was there.
    pub(super) async fn put(&self, key: &str, bytes: Bytes) -> Result<(), RequestError> {
        let path = self.path(key);
        self.within("write", key, REQUEST_MAX, self.store.put(&path, bytes.into())).await?;
        Ok(())
    }

    /// Puts an object part by part, from a file.
    pub(super) async fn put_parts(&self, key: &str, file: &mut Reading<'_>) -> Result<(), RequestError> {
        let path = self.path(key);
        let mut upload = self.within("write", key, REQUEST_MAX, self.store.put_multipart(&path)).await?;
        let written = async {
            while let Some(part) = file.next().await? {
                self.within("write", key, REQUEST_MAX, upload.put_part(PutPayload::from(part))).await?;
            }
            self.within("write", key, REQUEST_MAX, upload.complete()).await
        };
        let written = written.await;
        if written.is_err() {
            // The store keeps parts that nobody ends until a rule of the bucket removes them.
            let _ = self.within("abort", key, LOCK_MAX, upload.abort()).await;
        }
        written.map(|_| ())
    }

    /// Reads an object of at most `bytes_max` bytes; `None` if there is none.
    pub(super) async fn read(
        &self,
        key: &str,
        bytes_max: u64,
        most: Duration,
    ) -> Result<Option<Object>, RequestError> {
        let mut bytes = Vec::new();
        let reading = self.read_to(key, bytes_max, most, |piece| {
            bytes.extend_from_slice(&piece);
            std::future::ready(Ok(()))
        });
        let slow = |_| RequestError::Slow { action: "read", url: self.url_of(key), waited: most };
        let meta = match tokio::time::timeout(most, reading).await.map_err(slow)? {
            Err(error) if error.is_missing() => return Ok(None),
            other => other?,
        };
        let version = self.versioned(key, UpdateVersion { e_tag: meta.e_tag, version: meta.version })?;
        Ok(Some(Object { bytes, version }))
    }

    /// Reads an object of at most `bytes_max` bytes piece by piece. Whether it is whole is not said by the
    /// store alone: fewer bytes than it announced are an error too.
    pub(super) async fn read_to<T, F>(
        &self,
        key: &str,
        bytes_max: u64,
        most: Duration,
        mut take: T,
    ) -> Result<ObjectMeta, RequestError>
    where
        T: FnMut(Bytes) -> F,
        F: Future<Output = Result<(), RequestError>>,
    {
        let path = self.path(key);
        let got = self.within("read", key, most, self.store.get_opts(&path, GetOptions::default())).await?;
        let meta = got.meta.clone();
        let too_long = |bytes| RequestError::TooLong { url: self.url_of(key), bytes, bytes_max };
        if meta.size > bytes_max {
            return Err(too_long(meta.size));
        }
        let mut pieces = got.into_stream();
        let mut bytes = 0;
        while let Some(piece) = self.within_some("read", key, most, pieces.next()).await? {
            bytes += piece.len() as u64;
            if bytes > bytes_max {
                return Err(too_long(bytes));
            }
            take(piece).await?;
        }
        if bytes < meta.size {
            return Err(RequestError::TooShort { url: self.url_of(key), bytes, expected: meta.size });
        }
        Ok(meta)
    }

    /// Keys and sizes of the objects below the prefix; `None` if there are more than `most`.
    pub(super) async fn list(&self, most: usize) -> Result<Option<Vec<(String, u64)>>, RequestError> {
        let slow = |_| RequestError::Slow { action: "list", url: self.url.clone(), waited: LIST_MAX };
        tokio::time::timeout(LIST_MAX, self.list_all(most)).await.map_err(slow)?
    }

    async fn list_all(&self, most: usize) -> Result<Option<Vec<(String, u64)>>, RequestError> {
        let below = (!self.prefix.is_root()).then_some(&self.prefix);
        let mut found = self.store.list(below);
        let mut objects = Vec::new();
        while let Some(meta) = self.within_some("list", "", REQUEST_MAX, found.next()).await? {
            let Some(parts) = meta.location.prefix_match(&self.prefix) else { continue };
            let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            objects.push((parts.join("/"), meta.size));
            if objects.len() > most {
                return Ok(None);
            }
        }
        Ok(Some(objects))
    }

    /// Removes an object. A missing one is no error.
    pub(super) async fn remove(&self, key: &str) -> Result<(), RequestError> {
        let path = self.path(key);
        match self.within("remove", key, REQUEST_MAX, self.store.delete(&path)).await {
            Err(error) if error.is_missing() => Ok(()),
            other => other,
        }
    }

    /// Removes what is no object and lies below a key all the same: a file that a killed process was writing
    /// in a folder.
    pub(super) async fn sweep(&self, key: &str) {
        if let Some(folder) = &self.folder {
            let path = folder.join(key);
            // What stays takes room, and is not read.
            let _ = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(path)).await;
        }
    }

    fn path(&self, key: &str) -> ObjectPath {
        key.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn versioned(&self, key: &str, version: UpdateVersion) -> Result<UpdateVersion, RequestError> {
        let has_none = version.e_tag.is_none() && version.version.is_none();
        if has_none { Err(RequestError::NoVersion { url: self.url_of(key) }) } else { Ok(version) }
    }

    async fn within<T>(
        &self,
        action: &'static str,
        key: &str,
        most: Duration,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, RequestError> {
        match tokio::time::timeout(most, request).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(source)) => Err(RequestError::Failed { action, url: self.url_of(key), source }),
            Err(_) => Err(RequestError::Slow { action, url: self.url_of(key), waited: most }),
        }
    }

    async fn within_some<T>(
        &self,
        action: &'static str,
        key: &str,
        most: Duration,
        request: impl Future<Output = Option<object_store::Result<T>>>,
    ) -> Result<Option<T>, RequestError> {
        let request = async { request.await.transpose() };
        self.within(action, key, most, request).await
    }
}
