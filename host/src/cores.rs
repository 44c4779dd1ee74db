//! Which cores processes run on.

#[cfg(target_os = "linux")]
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu};
use std::num::NonZeroU32;

/// The core that a process is kept to; `None` if it may run on several, or the system can't tell.
#[cfg(target_os = "linux")]
#[must_use]
pub fn only_core_of(process: NonZeroU32) -> Option<usize> {
    let process = rustix::process::Pid::from_raw(i32::try_from(process.get()).ok()?)?;
    let allowed = sched_getaffinity(Some(process)).ok()?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    cores.next().filter(|_| cores.next().is_none())
}

/// Returns `None`: asked on Linux only.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn only_core_of(_process: NonZeroU32) -> Option<usize> {
    None
}

/// The core that this thread runs on at the moment; `None` if the system can't tell.
#[cfg(target_os = "linux")]
#[must_use]
pub fn current() -> Option<usize> {
    Some(sched_getcpu())
}

/// Returns `None`: asked on Linux only.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn current() -> Option<usize> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::thread::sched_setaffinity;

    #[test]
    fn a_process_that_is_kept_to_one_core_is_known() {
        let before = sched_getaffinity(None).unwrap();
        let core = current().unwrap();
        let mut one = CpuSet::new();
        one.set(core);
        // It is asked about this thread, as about any process, by its number.
        let thread = NonZeroU32::new(rustix::thread::gettid().as_raw_pid().unsigned_abs()).unwrap();
        sched_setaffinity(None, &one).unwrap();
        assert_eq!(only_core_of(thread), Some(core));
        sched_setaffinity(None, &before).unwrap();
        assert_eq!(only_core_of(thread).is_some(), before.count() == 1);
        assert_eq!(only_core_of(NonZeroU32::MAX), None);
    }
}
