//! CPU affinity of local workers.
//!
//! Where their compute threads are exactly as many as the cores that this process may use, each worker is
//! pinned to its own cores. Without this, Linux often queues a woken thread behind another worker's for
//! milliseconds while a core is idle, and a step takes as long as its last worker. With fewer threads than
//! cores workers are not pinned: other programs may be busy on any core.

/// The cores among `allowed` for worker `index` of `workers`, each with `threads`; `None` if it may use all
/// of them.
pub(super) fn of_worker(index: u32, workers: u32, threads: u32, allowed: &[usize]) -> Option<&[usize]> {
    let index = index as usize;
    let workers = workers as usize;
    let threads = threads as usize;
    let all_are_used = workers > 1 && workers.checked_mul(threads) == Some(allowed.len());
    all_are_used.then(|| allowed.chunks_exact(threads).nth(index)).flatten()
}

/// The cores that this thread may use; none if they can't be determined.
#[cfg(target_os = "linux")]
pub(super) fn allowed() -> Vec<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None).ok();
    set.map_or(Vec::new(), |set| (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
}

/// Runs `start` with this thread pinned to `cores`. A process that it starts inherits them.
#[cfg(target_os = "linux")]
pub(super) fn within<T>(cores: &[usize], start: impl FnOnce() -> T) -> T {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    let before = sched_getaffinity(None).and_then(|before| sched_setaffinity(None, &set).map(|()| before));
    let started = start();
    // If the system refuses, the worker runs on any core.
    let restored = before.and_then(|before| sched_setaffinity(None, &before));
    if let Err(error) = restored {
        tracing::debug!(%error, ?cores, "can't pin a local worker to its cores");
    }
    started
}

/// Does nothing: affinity is set on Linux only.
#[cfg(not(target_os = "linux"))]
pub(super) fn allowed() -> Vec<usize> {
    Vec::new()
}

/// Does nothing: affinity is set on Linux only.
#[cfg(not(target_os = "linux"))]
pub(super) fn within<T>(_cores: &[usize], start: impl FnOnce() -> T) -> T {
    start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_use_all_cores_get_different_ones_and_others_may_use_all() {
        let cores = [0, 2, 3, 7];
        let of = |workers, threads| -> Vec<_> {
            (0..workers).map(|index| of_worker(index, workers, threads, &cores)).collect()
        };
        assert_eq!(of(4, 1), [Some(&[0][..]), Some(&[2]), Some(&[3]), Some(&[7])]);
        assert_eq!(of(2, 2), [Some(&[0, 2][..]), Some(&[3, 7])]);
        assert_eq!(of(1, 4), [None], "they are all its own");
        assert_eq!(of(2, 1), [None; 2]);
        assert_eq!(of(4, 2), [None; 4]);
        assert_eq!(of_worker(0, 4, 1, &[]), None);
        assert_eq!(of_worker(0, u32::MAX, u32::MAX, &cores), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_has_its_cores_back_after_it_has_started_a_worker() {
        let before = allowed();
        let one = &before[..1];
        assert_eq!(within(one, allowed), one);
        assert_eq!(allowed(), before);
    }
}
