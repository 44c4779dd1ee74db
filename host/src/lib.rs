//! What both programs share on their outside: flags that may come from a file, logs, traces, exit codes, the clock,
//! how files are opened, the ways between processes of one machine.
//!
//! Nothing here knows of training.

pub mod args;
pub mod clock;
pub mod files;
pub mod local_socket;
pub mod logging;
mod pace;
mod printable;
pub mod shared_memory;
pub mod stop;
pub mod tcp;
pub mod trace;

pub use pace::paced;
pub use printable::{printable, printable_lines};

use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::ExitCode;

/// Turns a program's end into its exit code: 0 for success, 1 for failure with one line that says why. A trace is
/// written out first.
///
/// An error's message names its cause itself, so the chain is not added to it; a backtrace never is.
pub fn exit_code(program: &str, result: anyhow::Result<()>) -> ExitCode {
    trace::finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&format!("{program}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line, or several, to standard error; there is nobody to tell if that fails. Control characters are escaped.
pub fn report(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{}", printable_lines(line));
}

/// A number that the system draws: another one for each process and each call. Nothing that is computed may depend on it.
#[must_use]
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
