//! How objects are named below the prefix.
//!
//! | key | what |
//! |---|---|
//! | `step-<12 digits>/manifest.json` | the manifest of a whole checkpoint, put last |
//! | `step-<12 digits>/<attempt>/<file>` | a file of a checkpoint, of one attempt to upload it |
//! | `lock.json` | who mirrors here |
//! | `probe-<16 hex digits>` | an object with which a start tries the store |
//!
//! An attempt is named by the incarnation of the coordinator that made it and by the beginning of the
//! manifest's SHA-256. So a manifest tells which attempts are its own, and an incarnation which ones are
//! dead.

use crate::store::{directory, step_of};
use common::checkpoint::{MANIFEST_FILE, digest};
use common::ids::Step;
use std::fmt::{self, Display};

/// Key of the lock.
pub(super) const LOCK: &str = "lock.json";
/// Prefix of the objects with which the store is tried.
const PROBE: &str = "probe-";
/// Hexadecimal digits of a number, and of the beginning of a digest.
const DIGITS: usize = 16;

/// What a key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Manifest(Step),
    Data(Step, Attempt, String),
    Probe,
    /// The lock, or something that is not ours.
    Other,
}

/// An attempt to upload a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attempt {
    /// Incarnation of the coordinator that made it.
    pub(super) incarnation: u64,
    /// The checkpoint's manifest.
    pub(super) manifest: ManifestId,
}

/// Beginning of the SHA-256 of a `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ManifestId(String);

impl ManifestId {
    /// The id of the manifest with these bytes.
    pub(super) fn of(manifest: &[u8]) -> Self {
        let mut digits = digest(manifest);
        digits.truncate(DIGITS);
        Self(digits)
    }
}

impl Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.incarnation, self.manifest.0)
    }
}

impl Key {
    /// The meaning of a key below the prefix, which may be anything.
    pub(super) fn parse(key: &str) -> Self {
        let parts: Vec<&str> = key.split('/').collect();
        match parts[..] {
            [step, MANIFEST_FILE] => step_of(step).map_or(Self::Other, Self::Manifest),
            [step, attempt, file] => match (step_of(step), parse_attempt(attempt)) {
                (Some(step), Some(attempt)) => Self::Data(step, attempt, file.to_owned()),
                _ => Self::Other,
            },
            [name] if name.strip_prefix(PROBE).is_some_and(is_hex) => Self::Probe,
            _ => Self::Other,
        }
    }
}

fn parse_attempt(text: &str) -> Option<Attempt> {
    let (incarnation, manifest) = text.split_once('-')?;
    let has_form = is_hex(incarnation) && is_hex(manifest);
    let incarnation = u64::from_str_radix(incarnation, 16).ok().filter(|_| has_form)?;
    Some(Attempt { incarnation, manifest: ManifestId(manifest.to_owned()) })
}

fn is_hex(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Key of the manifest of a checkpoint.
pub(super) fn manifest(step: Step) -> String {
    format!("{}/{MANIFEST_FILE}", directory(step))
}

/// What the keys of an attempt begin with.
pub(super) fn attempt(step: Step, attempt: &Attempt) -> String {
    format!("{}/{attempt}", directory(step))
}

/// Key of a file of a checkpoint.
pub(super) fn data(step: Step, of: &Attempt, file: &str) -> String {
    format!("{}/{file}", attempt(step, of))
}

/// Key of an object to try the store with.
pub(super) fn probe(number: u64) -> String {
    format!("{PROBE}{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_they_were_written_and_others_are_not_ours() {
        let attempt = Attempt { incarnation: 7, manifest: ManifestId::of(b"{}") };
        let of_data = data(Step(12), &attempt, "model.safetensors");
        assert_eq!(of_data, "step-000000000012/0000000000000007-44136fa355b3678a/model.safetensors");
        assert_eq!(Key::parse(&of_data), Key::Data(Step(12), attempt, "model.safetensors".to_owned()));
        assert_eq!(Key::parse(&manifest(Step(12))), Key::Manifest(Step(12)));
        assert_eq!(Key::parse(&probe(1)), Key::Probe);
        for other in [
            "",
            LOCK,
            "step-12/manifest.json",
            "step-000000000012",
            "step-000000000012/manifest.json/x",
            "step-000000000012/7-44136fa355b3678a/model.safetensors",
            "step-000000000012/0000000000000007-44136FA355B3678A/model.safetensors",
            "step-000000000012/000000000000+007-44136fa355b3678a/model.safetensors",
            "probe-1",
            "probe-0000000000000001/x",
            "../step-000000000012/manifest.json",
        ] {
            assert_eq!(Key::parse(other), Key::Other, "{other}");
        }
    }
}
