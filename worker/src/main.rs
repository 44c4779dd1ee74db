//! The `worker` program: flags, logs, signals, exit code. Everything else is in the library.

#![forbid(unsafe_code)]

use common::protocol::worker::Exit;
use host::lines::Lines;
use host::trace::Begin;
use std::process::ExitCode;
use std::sync::Arc;
use worker::Options;
use worker::cli::Flags;

/// mimalloc instead of glibc's allocator, which returns pages and faults them in again with every leaf.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let flags: Flags = host::args::parse();
    let format = flags.shared.log_format;
    let options = flags.options().unwrap_or_else(|error| host::args::exit(&error, format));
    let console = match Lines::on_stderr(format) {
        Ok(lines) => Arc::new(lines),
        Err(error) => {
            let error = anyhow::anyhow!("can't start the console thread: {error}");
            return host::exit_code("worker", format, Err(error));
        }
    };
    host::logging::init(format, &[], Arc::clone(&console));
    let result = run(&flags, options);
    console.flush(host::REPORT_GRACE);
    host::exit_code("worker", format, result)
}

fn run(flags: &Flags, options: Options) -> anyhow::Result<u8> {
    flags.shared.start_trace(&format!("worker {}", options.name), Begin::Join)?;
    // This thread does all that is not computing. A second one would have to be woken for each message.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let exit = runtime.block_on(async {
        let stop = host::stop::on_signals(flags.until_stdin_closes)?;
        anyhow::Ok(worker::run(options, stop).await?)
    });
    // Not waited for: a name look-up or a compute thread may hang.
    runtime.shutdown_background();
    let exit = exit?;
    match exit {
        Exit::Finished | Exit::Idle { .. } => {
            tracing::info!("{exit}");
            Ok(0)
        }
        Exit::Left => {
            tracing::info!("{exit}");
            Ok(flags.stopped_exit_code)
        }
        Exit::Refused(_) => {
            let why = format!("{exit} (coordinator {})", flags.connect);
            host::tell_failure("worker", flags.shared.log_format, &why);
            Ok(host::REFUSED)
        }
        Exit::GaveUp { .. } => anyhow::bail!("{exit} (coordinator {}; is it running there?)", flags.connect),
    }
}
