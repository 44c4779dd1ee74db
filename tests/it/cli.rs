//! Mistakes on the command line: a person gets one line that says what to do, and the right exit code.

use std::net::TcpListener;
use tests::process::Process;

#[track_caller]
fn check(program: &str, args: &[&str], code: i32, words: &[&str]) {
    let outcome = Process::start(program, args).wait();
    assert_eq!(outcome.code, Some(code), "{}", outcome.errors);
    for word in words {
        assert!(outcome.errors.contains(word), "{word:?} is not in: {}", outcome.errors);
    }
    assert!(!outcome.errors.contains("panicked"), "{}", outcome.errors);
}

#[track_caller]
fn coordinator(args: &[&str], code: i32, words: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let own = ["--checkpoint-dir", folder.path().to_str().expect("a readable name")];
    check("coordinator", &[&own, args].concat(), code, words);
}

#[test]
fn bad_flags_of_the_coordinator_are_named_and_end_with_code_2() {
    coordinator(&["--speed", "3"], 2, &["--speed"]);
    coordinator(&["--workers", "none"], 2, &["--workers", "MIN:MAX"]);
    coordinator(&["--batch-size", "0", "--dataset", "digits"], 2, &["--batch-size", "1 or more"]);
    coordinator(
        &["--val-split", "60000", "--dataset", "digits"],
        2,
        &["--val-split", "60000 training samples"],
    );
    coordinator(&["--config", "/no/such/file.toml"], 2, &["/no/such/file.toml"]);
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    coordinator(&["--dataset", "digits", "--bind", &address], 1, &[&address, "in use", "--bind"]);
}

#[test]
fn a_folder_without_data_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    coordinator(&["--dataset", folder], 1, &[folder, "train-images-idx3-ubyte"]);
    coordinator(&["--dataset", "mnits"], 1, &["mnits", "spelling"]);
}

#[test]
fn bad_flags_of_the_worker_are_named_and_end_with_code_2() {
    check("worker", &[], 2, &["--connect"]);
    check("worker", &["--connect", "nowhere"], 2, &["--connect", "HOST:PORT"]);
    check("worker", &["--connect", "127.0.0.1:1", "--threads", "0"], 2, &["--threads"]);
}

#[test]
fn an_absent_coordinator_is_named_and_given_up_in_time() {
    // A port that was free a moment ago: nobody listens there now.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    check("worker", &["--connect", &address, "--give-up", "1"], 1, &[&address, "is it running there?"]);
}
