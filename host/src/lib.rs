//! What both programs share outside the training: flags from a file, logs, traces, exit codes, the clock,
//! opening of files, addresses, connections, and shared memory and pipes within a machine.
//!
//! Nothing here depends on the training.

pub mod address;
pub mod args;
pub mod clock;
pub mod cores;
pub mod dial;
pub mod duration;
pub mod files;
pub mod lines;
pub mod local_socket;
pub mod logging;
pub mod open_files;
mod pace;
pub mod pipes;
mod printable;
pub mod reachable;
pub mod service;
pub mod shared_memory;
pub mod stop;
pub mod tcp;
pub mod trace;
pub mod usage;

pub use pace::paced;
pub use printable::{printable, printable_lines};

use crate::logging::LogFormat;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::Duration;
use tracing::Level;

/// Longest wait for a terminal to take a program's last lines. A terminal that was stopped for longer does
/// not delay the end.
pub const REPORT_GRACE: Duration = Duration::from_secs(2);

/// Exit code of a program that was told to stop before its end: whoever started it may start it again
/// (`EX_TEMPFAIL` of sysexits.h).
pub const STOPPED: u8 = 75;
/// Exit code of a worker that was refused for good: another start would be refused too (`EX_NOPERM` of
/// sysexits.h).
pub const REFUSED: u8 = 77;

/// Converts a program's result to its exit code: its own, or 1 for failure, with one line that gives the
/// reason. A trace is written out first.
///
/// An error's message includes its cause, so neither the chain nor a backtrace is added.
pub fn exit_code(program: &str, format: LogFormat, result: anyhow::Result<u8>) -> ExitCode {
    trace::finish();
    match result {
        Ok(code) => code.into(),
        Err(error) => {
            tell_failure(program, format, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Writes why a program fails, as one line.
pub fn tell_failure(program: &str, format: LogFormat, why: &str) {
    let message = match format {
        LogFormat::Text => format!("{program}: {why}"),
        LogFormat::Json => why.to_owned(),
    };
    write_to_stderr(&format.lines(Level::ERROR, program, &message));
}

/// Writes one or several lines to standard error, with control characters escaped. A failure is ignored, and
/// a terminal that takes nothing is waited for no longer than [`REPORT_GRACE`].
pub fn report(text: &str) {
    write_to_stderr(&LogFormat::Text.lines(Level::INFO, "", text));
}

/// Writes whole lines as they are; otherwise as [`report`].
pub(crate) fn write_to_stderr(lines: &str) {
    // Without a thread there is no report; the exit code says it all the same.
    if let Ok(stderr) = lines::Lines::on_stderr(LogFormat::Text) {
        stderr.push(lines.as_bytes().to_vec());
        stderr.flush(REPORT_GRACE);
    }
}

/// The version of the programs, with the commit that they were built from where the build was told of it by
/// the variable `LOCKSTEP_COMMIT`.
#[must_use]
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let number = env!("CARGO_PKG_VERSION");
        option_env!("LOCKSTEP_COMMIT")
            .map_or_else(|| number.to_owned(), |commit| format!("{number} (commit {commit})"))
    });
    &VERSION
}

/// A random number from the system, another one at each call. No computed value may depend on it.
#[must_use]
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
