//! The limit of open files: it is raised where the system allows, and else named with what is needed.

use tests::golden::{Bench, assert_golden};
use tests::process::Process;

const LOCAL: [&str; 7] = ["--bind", "127.0.0.1:0", "--workers", "24", "--local", "--threads", "1"];

fn start(bench: &Bench, limit: &str, more: &[&str]) -> Process {
    Process::start_after(limit, "coordinator", &bench.flags(&[&LOCAL, more].concat()))
}

#[test]
fn a_low_soft_limit_of_open_files_is_raised() {
    let bench = Bench::new();
    // Each of the 24 workers takes ten files of the coordinator.
    assert_golden(&start(&bench, "ulimit -Sn 100", &[]).wait());
}

#[test]
fn too_low_a_limit_of_open_files_is_named_with_what_is_needed() {
    let bench = Bench::new();
    let outcome = start(&bench, "ulimit -Hn 100 -Sn 100 || ulimit -n 100", &[]).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    for words in ["304 open files are needed", "allows 100", "ulimit -Hn 304"] {
        assert!(outcome.errors.contains(words), "{words}: {}", outcome.errors);
    }
    assert!(!outcome.errors.contains("cargo build"), "{}", outcome.errors);
}
