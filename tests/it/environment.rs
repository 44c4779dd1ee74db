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
