//! The program's help. Being here, this test makes `cargo test` build the program for the tests of other
//! crates.

use std::process::Command;

#[test]
fn help_says_how_to_connect() {
    let output = Command::new(env!("CARGO_BIN_EXE_worker")).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("--connect <HOST:PORT>"), "{text}");
}
