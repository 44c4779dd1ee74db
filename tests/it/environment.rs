//! What local workers inherit of the coordinator's surroundings.

use tests::golden::{Bench, assert_golden};
use tests::process::Process;

#[test]
fn what_is_set_for_the_coordinator_is_not_set_for_its_workers() {
    let bench = Bench::new();
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("run.toml");
    // Every flag of the run may stand there, and none of them is a worker's.
    std::fs::write(&config, "keep = 2\n").expect("a file");
    let prepare = [
        format!("export LOCKSTEP_CONFIG='{}'", config.display()),
        "export LOCKSTEP_THREADS=1 LOCKSTEP_LOG_FORMAT=text LOCKSTEP_NAME=other".to_owned(),
        "export LOCKSTEP_CONNECT=127.0.0.1:1 LOCKSTEP_GIVE_UP=1".to_owned(),
    ];
    let flags = bench.flags(&["--bind", "127.0.0.1:0", "--workers", "1", "--local"]);
    assert_golden(&Process::start_after(&prepare.join("; "), "coordinator", &flags).wait());
}

#[test]
fn switches_empty_variables_and_durations_are_read_as_people_write_them() {
    for (yes, no) in [("1", "0"), ("yes", "no"), ("true", "FALSE"), ("on", "off")] {
        let bench = Bench::new();
        let prepare = format!(
            "export LOCKSTEP_LOCAL={yes} LOCKSTEP_CHECKPOINT_REQUIRED={no} LOCKSTEP_SEED= LOCKSTEP_TRACE= \
             LOCKSTEP_CONFIG= LOCKSTEP_MAX_STEPS= LOCKSTEP_HEARTBEAT_TIMEOUT=20s LOCKSTEP_ANSWER_TIMEOUT=5m"
        );
        let flags = bench.flags(&["--bind", "127.0.0.1:0", "--threads", "1"]);
        assert_golden(&Process::start_after(&prepare, "coordinator", &flags).wait());
    }
}

#[test]
fn a_wrappers_flags_are_overridden_by_those_that_follow() {
    let bench = Bench::new();
    let flags = [
        "--workers",
        "7",
        "--seed",
        "9",
        "--hidden",
        "5,5",
        "--local",
        "--bind",
        "127.0.0.1:0",
        "--threads=1",
    ];
    let more = [&flags[..], &["--workers=1", "--seed=1", "--hidden=64", "--local"]].concat();
    assert_golden(&Process::start("coordinator", &bench.flags(&more)).wait());
}
