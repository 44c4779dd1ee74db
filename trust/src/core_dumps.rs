//! Core dumps, which would write a process's secrets to a disk.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Has the system write no core dump of this process, neither to a file nor to a program. Where it refuses,
/// nothing changes.
pub fn refuse() {
    // One byte is too little for a file. And it is what the system understands as "not to a program either",
    // unlike 0 (core(5)).
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    let current = Some(maximum.map_or(1, |most| most.min(1)));
    let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
}
