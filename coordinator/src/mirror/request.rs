//! What became of a request to the bucket.

use host::printable;
use object_store::Error;
use std::time::Duration;

/// Longest text of a store's own that is shown, in bytes.
const SHOWN_MAX: usize = 600;

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The store refused, or could not be asked.
    #[error("cannot {action} {url}: {}", shown(source))]
    Failed {
        /// What was asked for.
        action: &'static str,
        /// Of which object.
        url: String,
        /// What the store said.
        source: Error,
    },
    /// Nothing came in time.
    #[error("cannot {action} {url}: no answer within {} s", waited.as_secs())]
    Slow {
        /// What was asked for.
        action: &'static str,
        /// Of which object.
        url: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The object is longer than what it is for.
    #[error("{url} has {bytes} bytes or more, and {bytes_max} is the most that is read")]
    TooLong {
        /// The object.
        url: String,
        /// Its size, or the bytes that were read of it.
        bytes: u64,
        /// Most bytes that are read.
        bytes_max: u64,
    },
    /// The object ended too early.
    #[error("{url} ended after {bytes} bytes, of {expected}")]
    TooShort {
        /// The object.
        url: String,
        /// Bytes that came.
        bytes: u64,
        /// Bytes that were to come.
        expected: u64,
    },
    /// What is there can't be used.
    #[error("{url}: {what}")]
    Unusable {
        /// The object.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store names no version of an object, so that nothing can be written on conditions.
    #[error("{url} has neither ETag nor version")]
    NoVersion {
        /// The object.
        url: String,
    },
    /// A file on this machine can't be read or written.
    #[error("{what}")]
    Here {
        /// What happened, with the file's name.
        what: String,
    },
}

impl RequestError {
    /// Whether there is no such object.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Failed { source: Error::NotFound { .. }, .. })
    }

    /// Whether the object itself is to blame, and another one may do.
    pub(super) fn is_of_object(&self) -> bool {
        let is_bad = matches!(self, Self::TooLong { .. } | Self::TooShort { .. } | Self::Unusable { .. });
        is_bad || self.is_missing()
    }

    /// Whether a condition did not hold: there was such an object already, or another version of it.
    pub(super) fn is_refused(&self) -> bool {
        let refused = |source: &Error| {
            matches!(
                source,
                Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }
            )
        };
        matches!(self, Self::Failed { source, .. } if refused(source))
    }
}

/// What a store said, as one line of bounded length.
fn shown(error: &Error) -> String {
    let text = error.to_string();
    let mut shown = printable(text.trim()).into_owned();
    if shown.len() > SHOWN_MAX {
        let end = (0..=SHOWN_MAX).rev().find(|&end| shown.is_char_boundary(end)).unwrap_or(0);
        shown.truncate(end);
        shown += "...";
    }
    shown
}
