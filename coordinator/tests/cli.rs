//! What a person meets who gets something wrong: one line that says what to do, and the right exit code.
//!
//! Being here, these tests also make `cargo test` build the program for the tests of other crates.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn coordinator(args: &[&str]) -> Output {
    let folder =
        std::env::temp_dir().join(format!("lockstep-cli-{}-{args:?}", std::process::id()).replace('/', "_"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_coordinator"));
    command.env_remove("RUST_LOG").stdin(Stdio::null()).args(args);
    command.args(["--checkpoint-dir", folder.to_str().expect("a readable name")]);
    let output = command.output().expect("the program starts");
    let _ = std::fs::remove_dir_all(folder);
    output
}

#[track_caller]
fn check(args: &[&str], code: i32, words: &[&str]) {
    let output = coordinator(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in: {errors}");
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn bad_flags_are_named_and_end_with_code_2() {
    check(&["--speed", "3"], 2, &["--speed"]);
    check(&["--workers", "none"], 2, &["--workers", "MIN:MAX"]);
    check(&["--batch-size", "0", "--dataset", "digits"], 2, &["--batch-size", "1 or more"]);
    check(&["--val-split", "60000", "--dataset", "digits"], 2, &["--val-split", "60000 training samples"]);
    check(&["--config", "/no/such/file.toml"], 2, &["/no/such/file.toml"]);
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&["--dataset", "digits", "--bind", &address], 1, &[&address, "in use", "--bind"]);
}

#[test]
fn a_folder_without_data_is_named() {
    let folder = std::env::temp_dir();
    let folder = folder.to_str().unwrap();
    check(&["--dataset", folder], 1, &[folder, "train-images-idx3-ubyte"]);
    check(&["--dataset", "mnits"], 1, &["mnits", "spelling"]);
}

#[test]
fn help_names_every_group_of_flags() {
    let output = coordinator(&["--help"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    for group in ["Cluster:", "Data:", "Training:", "Checkpoints:", "Reports:"] {
        assert!(text.contains(group), "{group}");
    }
}
