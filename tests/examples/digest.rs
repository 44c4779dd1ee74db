//! Prints the digest of this machine's self-test. Exit code 1 means that it is not the promised one.
//!
//! `tests/cpus/run` starts it on every CPU that can be imitated.

#![allow(clippy::print_stdout, reason = "its result")]

use common::selftest::PROMISED;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    let digest = worker::selftest::digest()?;
    println!("{digest}");
    Ok(if digest == PROMISED { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
