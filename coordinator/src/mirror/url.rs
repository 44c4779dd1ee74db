//! Which store an URL means, with credentials from the environment.

use super::bucket::Bucket;
use super::conditional::Folder;
use super::error::MirrorError;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Longest time in which one HTTP request must be answered: a part of a file at 90 kB/s.
const ANSWER_MAX: &str = "60s";
/// Longest time in which a connection must be there.
const CONNECT_MAX: &str = "5s";
/// How often one request is tried anew, when the store is busy or the connection is lost.
const RETRIES: usize = 2;
/// Time after which it is not tried anew.
const RETRY_MAX: Duration = Duration::from_secs(20);

/// Where checkpoints are mirrored to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorUrl {
    url: Url,
    scheme: Scheme,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    S3,
    Google,
    Azure,
    File,
}

/// Why an URL can't be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say all")]
pub enum UrlError {
    #[error("it is s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER")]
    Form,
    #[error(
        "keys and passwords don't belong in an URL, which is logged: set the store's environment variables"
    )]
    Secret,
    #[error("{0}")]
    Store(#[from] object_store::Error),
    #[error("{0}")]
    Path(#[from] object_store::path::Error),
}

impl FromStr for MirrorUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let url: Url = text.parse().map_err(|_| UrlError::Form)?;
        let scheme = match url.scheme() {
            "s3" => Scheme::S3,
            "gs" => Scheme::Google,
            "az" => Scheme::Azure,
            "file" => Scheme::File,
            _ => return Err(UrlError::Form),
        };
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        if has_host == (scheme == Scheme::File) || scheme == Scheme::File && url.path().len() < 2 {
            return Err(UrlError::Form);
        }
        // az://CONTAINER@ACCOUNT.blob.core.windows.net/PREFIX names an account.
        let has_user = !url.username().is_empty() && scheme != Scheme::Azure;
        if url.password().is_some() || has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(UrlError::Secret);
        }
        Ok(Self { url, scheme })
    }
}

impl Display for MirrorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

impl MirrorUrl {
    /// The bucket, which is not asked anything yet. Of a folder that is created for it, the second value
    /// removes what stays empty.
    ///
    /// # Errors
    /// When credentials or settings are missing, or a folder can't be created.
    pub(super) fn open(&self) -> Result<(Bucket, Option<Folder>), MirrorError> {
        let url = self.to_string();
        if let Scheme::File = self.scheme {
            let path = self.url.to_file_path().unwrap_or_else(|()| PathBuf::from(self.url.path()));
            let created = Folder::create(&path);
            let folder = created.map_err(|source| MirrorError::Folder { path: path.clone(), source })?;
            let settings =
                |source| MirrorError::Settings { url: url.clone(), source: UrlError::Store(source) };
            let store = LocalFileSystem::new_with_prefix(&path).map_err(settings)?;
            let store = store.with_fsync(true).with_automatic_cleanup(true);
            return Ok((Bucket::new(Arc::new(store), ObjectPath::default(), &url, Some(path)), Some(folder)));
        }
        let settings = |source| MirrorError::Settings { url: url.clone(), source };
        let prefix = ObjectPath::from_url_path(self.url.path()).map_err(|error| settings(error.into()))?;
        let store = self.store().map_err(|error| settings(error.into()))?;
        Ok((Bucket::new(store, prefix, &url, None), None))
    }

    fn store(&self) -> object_store::Result<Arc<dyn ObjectStore>> {
        // The first one to ask is the only one. Fails only where there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
            max_retries: RETRIES,
            retry_timeout: RETRY_MAX,
        };
        let client = [(ClientConfigKey::Timeout, ANSWER_MAX), (ClientConfigKey::ConnectTimeout, CONNECT_MAX)];
        let url = self.url.as_str();
        Ok(match self.scheme {
            Scheme::S3 => {
                // Not every store has the request that deletes many.
                let builder = AmazonS3Builder::from_env().with_url(url).with_disable_bulk_delete(true);
                let set = |builder: AmazonS3Builder, (key, value)| {
                    builder.with_config(AmazonS3ConfigKey::Client(key), value)
                };
                Arc::new(client.into_iter().fold(builder, set).with_retry(retry).build()?)
            }
            Scheme::Google => {
                let builder = GoogleCloudStorageBuilder::from_env().with_url(url);
                let set = |builder: GoogleCloudStorageBuilder, (key, value)| {
                    builder.with_config(GoogleConfigKey::Client(key), value)
                };
                Arc::new(client.into_iter().fold(builder, set).with_retry(retry).build()?)
            }
            Scheme::Azure | Scheme::File => {
                let builder = MicrosoftAzureBuilder::from_env().with_url(url);
                let set = |builder: MicrosoftAzureBuilder, (key, value)| {
                    builder.with_config(AzureConfigKey::Client(key), value)
                };
                Arc::new(client.into_iter().fold(builder, set).with_retry(retry).build()?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_four_kinds_are_taken_and_others_are_refused() {
        for good in [
            "s3://bucket/a/b",
            "s3://bucket",
            "gs://bucket/a",
            "az://container@account.blob.core.windows.net/a",
            "file:///a",
        ] {
            assert_eq!(good.parse::<MirrorUrl>().unwrap().to_string(), good);
        }
        assert_eq!("s3://bucket/a/".parse::<MirrorUrl>().unwrap().to_string(), "s3://bucket/a");
        for bad in
            ["", "bucket", "s3:///a", "s3://", "file:///", "file://host/a", "https://bucket/a", "/a", "s3:"]
        {
            assert!(matches!(bad.parse::<MirrorUrl>(), Err(UrlError::Form)), "{bad}");
        }
        for secret in
            ["s3://key:secret@bucket/a", "s3://key@bucket/a", "s3://bucket/a?token=1", "gs://bucket/#a"]
        {
            assert!(matches!(secret.parse::<MirrorUrl>(), Err(UrlError::Secret)), "{secret}");
        }
    }
}
