//! The program's help. Being here, this test makes `cargo test` build the program for the tests of other
//! crates.

use std::process::Command;

#[test]
fn help_names_every_group_of_flags() {
    let output = Command::new(env!("CARGO_BIN_EXE_coordinator")).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout);
    for group in ["Cluster:", "Data:", "Training:", "Checkpoints:", "Reports:"] {
        assert!(text.contains(group), "{group} is not in: {text}");
    }
}
