//! What a listing of the prefix says: which checkpoints are there, and what is left of dead attempts. No I/O.
//!
//! 1. A step is a checkpoint if its manifest is there. Its data is in an attempt of that manifest.
//! 2. Of a step with a manifest, attempts of other manifests are dead; of a step without one, all are.
//! 3. An attempt is never taken for dead by a coordinator of a lower incarnation. So one that was suspended
//!    for long, and has lost its lock without knowing, removes nothing of its successor's.

use super::key::{Attempt, Key, ManifestId};
use common::ids::Step;
use std::collections::BTreeMap;

/// The objects below a prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    steps: BTreeMap<Step, Stored>,
    /// Keys of objects with which a start has tried the store.
    pub(super) probes: Vec<String>,
}

/// The objects of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stored {
    has_manifest: bool,
    /// Sizes of the files of each attempt, in bytes.
    attempts: BTreeMap<Attempt, BTreeMap<String, u64>>,
}

impl Contents {
    /// The contents of a prefix with these keys and sizes.
    pub(super) fn of<'a>(objects: impl IntoIterator<Item = (&'a str, u64)>) -> Self {
        let mut contents = Self::default();
        for (key, bytes) in objects {
            match Key::parse(key) {
                Key::Manifest(step) => contents.steps.entry(step).or_default().has_manifest = true,
                Key::Data(step, attempt, file) => {
                    let stored = contents.steps.entry(step).or_default();
                    stored.attempts.entry(attempt).or_default().insert(file, bytes);
                }
                Key::Probe => contents.probes.push(key.to_owned()),
                Key::Other => {}
            }
        }
        contents
    }

    /// Steps with a manifest, ascending.
    pub(super) fn checkpoints(&self) -> Vec<Step> {
        self.steps.iter().filter(|(_, stored)| stored.has_manifest).map(|(&step, _)| step).collect()
    }

    /// Attempts of that manifest, the newest first.
    pub(super) fn attempts(&self, step: Step, manifest: &ManifestId) -> Vec<Attempt> {
        let stored = self.steps.get(&step).into_iter().flat_map(|stored| stored.attempts.keys());
        stored.rev().filter(|attempt| attempt.manifest == *manifest).cloned().collect()
    }

    /// All attempts of a step, with the names of their files.
    pub(super) fn all_attempts(&self, step: Step) -> impl Iterator<Item = (&Attempt, Vec<&str>)> {
        let attempts = self.steps.get(&step).into_iter().flat_map(|stored| &stored.attempts);
        attempts.map(|(attempt, files)| (attempt, files.keys().map(String::as_str).collect()))
    }

    /// Size of a file of an attempt, in bytes.
    pub(super) fn bytes(&self, step: Step, attempt: &Attempt, file: &str) -> Option<u64> {
        self.steps.get(&step)?.attempts.get(attempt)?.get(file).copied()
    }

    /// Highest incarnation of an attempt; 0 if there is none.
    pub(super) fn incarnation_max(&self) -> u64 {
        let attempts = self.steps.values().flat_map(|stored| stored.attempts.keys());
        attempts.map(|attempt| attempt.incarnation).max().unwrap_or(0)
    }

    /// Attempts that are dead, for a coordinator of that incarnation that uploads nothing now. `manifests`
    /// are those that are known.
    pub(super) fn dead(&self, own: u64, manifests: &BTreeMap<Step, ManifestId>) -> Vec<(Step, Attempt)> {
        let is_dead = |step: Step, stored: &Stored, attempt: &Attempt| {
            attempt.incarnation <= own
                && match manifests.get(&step) {
                    _ if !stored.has_manifest => true,
                    Some(manifest) => attempt.manifest != *manifest,
                    // It could not be read, and nothing is known of it.
                    None => false,
                }
        };
        let mut dead = Vec::new();
        for (&step, stored) in &self.steps {
            let of_step = stored.attempts.keys().filter(|attempt| is_dead(step, stored, attempt));
            dead.extend(of_step.map(|attempt| (step, attempt.clone())));
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::super::key;
    use super::*;

    fn attempt(incarnation: u64, manifest: &[u8]) -> Attempt {
        Attempt { incarnation, manifest: ManifestId::of(manifest) }
    }

    #[test]
    fn attempts_without_their_manifest_are_dead_and_those_of_successors_are_not() {
        let [whole, other, cut, next] =
            [attempt(2, b"a"), attempt(1, b"b"), attempt(3, b"c"), attempt(4, b"d")];
        let keys = [
            key::manifest(Step(5)),
            key::data(Step(5), &whole, "model.safetensors"),
            key::data(Step(5), &other, "model.safetensors"),
            key::data(Step(9), &cut, "model.safetensors"),
            key::data(Step(9), &next, "model.safetensors"),
            key::manifest(Step(7)),
            key::data(Step(7), &other, "model.safetensors"),
            key::LOCK.to_owned(),
            key::probe(3),
        ];
        let contents = Contents::of(keys.iter().map(|key| (key.as_str(), 10)));
        assert_eq!(contents.checkpoints(), [Step(5), Step(7)]);
        assert_eq!(contents.attempts(Step(5), &ManifestId::of(b"a")), std::slice::from_ref(&whole));
        assert_eq!(contents.bytes(Step(5), &whole, "model.safetensors"), Some(10));
        assert_eq!((contents.incarnation_max(), contents.probes.len()), (4, 1));
        // The manifest of step 7 can't be read: nothing of it is removed.
        let known = BTreeMap::from([(Step(5), ManifestId::of(b"a"))]);
        let dead = |own| contents.dead(own, &known);
        assert_eq!(dead(3), [(Step(5), other.clone()), (Step(9), cut)]);
        assert_eq!(dead(1), [(Step(5), other)]);
        assert_eq!(dead(4).len(), 3);
    }
}
