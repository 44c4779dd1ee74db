//! Which checkpoints need not be kept, in a folder and in a bucket.

use common::ids::Step;

/// Steps of `all` that are removed after the checkpoint of step `saved` was written: all up to it but the
/// `keep` newest ones and the best. Later ones were written before the run was resumed: they stay. `all` is
/// ascending.
pub(crate) fn to_remove(all: &[Step], saved: Step, keep: usize, best: Option<Step>) -> Vec<Step> {
    let past: Vec<Step> = all.iter().copied().filter(|&step| step <= saved).collect();
    let old = &past[..past.len().saturating_sub(keep)];
    old.iter().copied().filter(|&step| Some(step) != best).collect()
}
