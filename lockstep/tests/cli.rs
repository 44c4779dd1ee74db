//! The program's help. Being here, this test makes `cargo test` build the program for the tests of other
//! crates.

use std::process::Command;

#[test]
fn help_names_every_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_lockstep")).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    for command in ["evaluate", "export", "predict", "serve"] {
        assert!(text.contains(command), "{command} is not in: {text}");
    }
}
