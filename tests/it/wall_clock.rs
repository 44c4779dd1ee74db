//! A wall clock that jumps an hour either way has no effect: nothing that a run does is decided by it.

use std::collections::BTreeSet;
use tests::golden::{Bench, assert_golden};
use tests::preload::Preload;
use tests::process::Process;

/// A C library that replaces the system's clock: each reading of the wall clock is one or two hours from the
/// one before.
const JUMPS: &str = "
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static atomic_int looks;
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += (atomic_fetch_add(&looks, 1) % 3 - 1) * 3600;
    return result;
}
";

#[test]
fn a_wall_clock_that_jumps_an_hour_either_way_has_no_effect() {
    let jumps = Preload::build(JUMPS);
    let bench = Bench::new();
    let more = ["--bind", "127.0.0.1:0", "--workers", "2", "--local", "--threads", "1"];
    let outcome = Process::start_after(&jumps.line(), "coordinator", &bench.flags(&more)).wait();
    // Only the log uses the clock: its lines begin with the date and the hour.
    let hours =
        outcome.errors.lines().filter(|line| line.starts_with("20")).filter_map(|line| line.get(..13));
    let hours: BTreeSet<_> = hours.collect();
    assert!(hours.len() > 1, "the clock did not jump:\n{}", outcome.errors);
    assert!(!outcome.errors.contains("worker dropped"), "{}", outcome.errors);
    assert_golden(&outcome);
}
