//! File systems that lack renames, syncs or locks, as mounted object stores do: the run says what it goes
//! without, and ends with the same bits.

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use tests::golden::{Bench, STOPPED, assert_golden};
use tests::preload::Preload;
use tests::process::{Process, checkpoints};

/// A C library without the calls that such a file system does not have.
const POOR: &str = "
#include <errno.h>

#define LACKS(name, ...) int name(__VA_ARGS__) { errno = ENOSYS; return -1; }
LACKS(rename, const char *from, const char *to)
LACKS(renameat, int from_at, const char *from, int to_at, const char *to)
LACKS(renameat2, int from_at, const char *from, int to_at, const char *to, unsigned flags)
LACKS(flock, int file, int operation)
LACKS(fsync, int file)
LACKS(fdatasync, int file)
";

/// Flags of a run with a worker of its own.
const LOCAL: [&str; 7] = ["--bind", "127.0.0.1:0", "--workers", "1", "--local", "--threads", "1"];

fn start(bench: &Bench, poor: &Preload, more: &[&str]) -> Process {
    Process::start_after(&poor.line(), "coordinator", &bench.flags(&[&LOCAL, more].concat()))
}

#[test]
fn a_run_on_a_poor_file_system_says_what_it_lacks_and_goes_on() {
    let poor = Preload::build(POOR);
    let bench = Bench::new();
    for (at, signal) in [(10, SIGKILL), (30, SIGTERM), (60, SIGKILL)] {
        let mut run = start(&bench, &poor, &[]);
        run.wait_for_checkpoint(bench.folder(), at);
        run.signal(signal);
        let outcome = run.wait();
        assert!(outcome.code.is_none_or(|code| code == STOPPED), "{}", outcome.errors);
        for words in ["can't rename folders", "can't sync", "no locks"] {
            assert!(outcome.errors.contains(words), "{words}: {}", outcome.errors);
        }
    }
    assert_golden(&start(&bench, &poor, &[]).wait());
    let metrics = std::fs::read_to_string(bench.folder().join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"kind\":\"step\"").count(), 288);
}

#[test]
fn what_a_run_begins_anew_from_is_kept_there_too() {
    let poor = Preload::build(POOR);
    let bench = Bench::new();
    let _ = bench.stopped(1, 20, SIGTERM);
    let kept = checkpoints(bench.folder());
    assert_golden(&start(&bench, &poor, &["--resume", "never"]).wait());
    let aside = bench.folder().join("earlier-1");
    assert_eq!(checkpoints(&aside), kept);
    assert!(aside.join("metrics.jsonl").is_file());
}
