//! The `lockstep` program: flags, logs, exit codes. Everything else is in the library.

#![forbid(unsafe_code)]

use clap::Parser;
use coordinator::observe::console::{Console, ProgressMode};
use host::REPORT_GRACE;
use host::logging::LogFormat;
use lockstep::cli::Flags;
use std::io::Write;
use std::process::ExitCode;

/// mimalloc instead of glibc's allocator, which returns pages and faults them in again with every batch.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let console = match Console::new(ProgressMode::Auto, LogFormat::Text) {
        Ok(console) => console,
        Err(error) => {
            let error = anyhow::anyhow!("can't start the console thread: {error}");
            return host::exit_code("lockstep", LogFormat::Text, Err(error));
        }
    };
    host::logging::init(LogFormat::Text, &[], console.clone());
    let result = flags.command.run(&console).map(|text| {
        console.flush(REPORT_GRACE);
        // If it is closed, nobody reads it.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        0
    });
    console.flush(REPORT_GRACE);
    host::exit_code("lockstep", LogFormat::Text, result)
}
