//! Whether a store keeps to conditions. Some accept them and write all the same: then two coordinators would
//! both think that they have the lock.

use super::bucket::{Bucket, LOCK_MAX};
use super::error::MirrorError;
use super::key;
use object_store::UpdateVersion;

/// Tries the store with an object, which is removed again.
///
/// # Errors
/// When the store can't be asked, or does not keep to conditions.
pub(super) async fn probe(bucket: &Bucket) -> Result<(), MirrorError> {
    let key = key::probe(host::random());
    let found = conditions(bucket, &key).await;
    let removed = bucket.remove(&key).await;
    found?;
    Ok(removed?)
}

async fn conditions(bucket: &Bucket, key: &str) -> Result<(), MirrorError> {
    let unfit = |what| MirrorError::Unfit { url: bucket.url().to_owned(), what };
    let put = |text: &str| bucket.create(key, text.into(), LOCK_MAX);
    match put("first").await {
        Ok(_) => {}
        // The answer to a first try may have been lost: what is there says more.
        Err(error) if error.is_refused() => {}
        Err(error) => return Err(error.into()),
    }
    let first = read(bucket, key, b"first").await?;
    match put("second").await {
        Ok(_) => {
            return Err(unfit(
                "it creates an object that is there already (If-None-Match is ignored), so two coordinators could write the \
                 same checkpoint",
            ));
        }
        Err(error) if error.is_refused() => {}
        Err(error) => return Err(error.into()),
    }
    let replace = |text: &str, version: UpdateVersion| {
        let text = text.into();
        async move { bucket.replace(key, text, &version, LOCK_MAX).await }
    };
    match replace("third", first.clone()).await {
        Ok(_) => {}
        Err(error) if error.is_refused() => {}
        Err(error) => return Err(error.into()),
    }
    read(bucket, key, b"third").await?;
    match replace("fourth", first).await {
        Ok(_) => Err(unfit(
            "it replaces another version of an object than was asked for (If-Match is ignored), so two coordinators could \
             hold the lock",
        )),
        Err(error) if error.is_refused() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads what was just written, and its version.
async fn read(bucket: &Bucket, key: &str, written: &[u8]) -> Result<UpdateVersion, MirrorError> {
    match bucket.read(key, 64, LOCK_MAX).await? {
        Some(object) if object.bytes == written => Ok(object.version),
        _ => Err(MirrorError::Unfit {
            url: bucket.url().to_owned(),
            what: "what was just written there is not what is read",
        }),
    }
}
