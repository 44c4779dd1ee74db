//! What a person meets who starts a worker and gets something wrong.
//!
//! Being here, these tests also make `cargo test` build the program for the tests of other crates.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn worker(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
    command.env_remove("RUST_LOG").stdin(Stdio::null()).args(args);
    command.output().expect("the program starts")
}

#[track_caller]
fn check(args: &[&str], code: i32, words: &[&str]) {
    let output = worker(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in: {errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn bad_flags_are_named_and_end_with_code_2() {
    check(&[], 2, &["--connect"]);
    check(&["--connect", "nowhere"], 2, &["--connect", "HOST:PORT"]);
    check(&["--connect", "127.0.0.1:1", "--threads", "0"], 2, &["--threads"]);
}

#[test]
fn an_absent_coordinator_is_named_and_given_up_in_time() {
    // A port that was free a moment ago: nobody listens there now.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    check(&["--connect", &address, "--give-up", "1"], 1, &[&address, "is it running there?"]);
}
