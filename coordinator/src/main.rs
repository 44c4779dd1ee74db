//! The `coordinator` program: flags, logs, signals, the summary, exit codes. Everything else is in the
//! library.

#![forbid(unsafe_code)]

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use common::event::MistakesRecord;
use coordinator::RunError;
use coordinator::ask_tell::{self, AskTellError};
use coordinator::cli::tokens::TokenFlags;
use coordinator::cli::{Flags, Reports};
use coordinator::notify::Outcome;
use coordinator::observe::console::{Console, ProgressMode};
use coordinator::observe::table::evaluation_table;
use coordinator::observe::tui;
use coordinator::record::report::Mistakes;
use coordinator::record::write::write_into;
use coordinator::run::Summary;
use coordinator::run_folder;
use coordinator::single_run::{Options, check, describe, inspect, prepare, preview};
use coordinator::sweep::{self, SweepError};
use host::logging::LogFormat;
use host::stop::StopRequests;
use host::trace::Begin;
use host::{REPORT_GRACE, printable_lines};
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// mimalloc instead of glibc's allocator, which returns pages and faults them in again with every step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The client of the bucket would log each try of a request.
const QUIET: &[&str] = &["object_store"];
/// Longest time from the first request to stop to the end of the program.
const STOP_MAX: Duration = Duration::from_secs(60);

/// What the flags ask for.
enum Wanted<'a> {
    Run(Box<Options>),
    Search(&'a Path),
    /// A search that a program outside drives.
    AskTell,
}

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|first| first == "token") {
        return manage_tokens();
    }
    let flags: Flags = host::args::parse();
    let format = flags.shared.log_format;
    let wanted = match &flags.sweep {
        // Flags of a search make sense with each trial's settings.
        Some(file) => Wanted::Search(file),
        None if flags.ask_tell => Wanted::AskTell,
        None => {
            Wanted::Run(Box::new(flags.options().unwrap_or_else(|error| host::args::exit(&error, format))))
        }
    };
    if flags.reports.tui && !std::io::stderr().is_terminal() {
        let message =
            "--tui draws on standard error, which is no terminal; leave it out, or watch with --http";
        host::args::exit(&Flags::command().error(ErrorKind::ArgumentConflict, message), format);
    }
    // What is drawn has the progress.
    let progress = if flags.reports.tui { ProgressMode::Off } else { flags.reports.progress };
    let console = match Console::new(progress, format) {
        Ok(console) => console,
        Err(error) => {
            let error = anyhow::anyhow!("can't start the console thread: {error}");
            return host::exit_code("coordinator", format, Err(error));
        }
    };
    host::logging::init(format, QUIET, console.clone());
    host::open_files::raise_limit();
    let result = match wanted {
        Wanted::Run(options) => run(*options, &flags, &console),
        Wanted::Search(file) => search(file, &flags, &console),
        Wanted::AskTell => be_driven(&flags, &console),
    };
    console.flush(REPORT_GRACE);
    host::exit_code("coordinator", format, result)
}

/// `coordinator token`: its arguments begin after that.
fn manage_tokens() -> ExitCode {
    let done = TokenFlags::parse_from(std::env::args_os().skip(1)).run().map(|text| {
        // If standard output is closed, nobody reads it.
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        0
    });
    host::exit_code("coordinator token", LogFormat::Text, done)
}

/// Returns the exit code of a run that has not failed.
fn run(options: Options, flags: &Flags, console: &Console) -> anyhow::Result<u8> {
    flags.shared.check_trace()?;
    if flags.data.inspect {
        let sheet = flags.data.sheet.as_deref();
        show(console, &usable(inspect(&options, sheet, console), flags)?);
        return Ok(0);
    }
    if let Some(path) = &flags.data.preview {
        show(console, &usable(preview(&options, path, console), flags)?);
        return Ok(0);
    }
    if flags.data.describe {
        show(console, &usable(describe(&options, console), flags)?);
        return Ok(0);
    }
    if flags.checkpoints.dry_run {
        show(console, &usable(check(&options, console), flags)?);
        return Ok(0);
    }
    let prepared = usable(prepare(options, console), flags)?;
    if let Some(folder) = &flags.reports.run_dir {
        let settings = host::args::settings::<Flags>(std::env::args_os().collect())?;
        run_folder::write_config(folder, settings, &prepared.settings())?;
    }
    match until_stopped(flags, console, |stop| told(prepared.run(stop), &flags.reports, console))? {
        Ok(summary) => {
            show(console, &tell(&summary));
            Ok(if summary.test.is_some() { 0 } else { flags.reports.stopped_exit_code })
        }
        Err(error) => {
            if let RunError::Tested { test, .. } = &error {
                show(console, &evaluation_table("test", &test.confusion, &test.classes, test.totals.loss()));
            }
            Err(error.into())
        }
    }
}

/// What a run comes to, once its report is written and a command was told of it.
async fn told(
    run: impl Future<Output = Result<Summary, RunError>>,
    reports: &Reports,
    console: &Console,
) -> Result<Summary, RunError> {
    let began = Instant::now();
    let result = run.await;
    let took = began.elapsed();
    // Signals are still heard meanwhile.
    tokio::task::block_in_place(|| {
        let mistakes = result.as_ref().ok().and_then(|summary| summary.mistakes.clone());
        reports.run_dir.iter().for_each(|folder| write_report(folder, mistakes.clone(), console));
        reports.notify.iter().for_each(|command| Outcome::of(&result, took).tell(command));
    });
    result
}

/// Writes the page of a run that has ended. One that can't be written costs a warning, and not the run.
fn write_report(folder: &Path, mistakes: Option<MistakesRecord>, console: &Console) {
    let mistakes = match mistakes {
        Some(record) => Mistakes::Shown(record),
        None => Mistakes::Absent("They are known of a complete run.".to_owned()),
    };
    match write_into(folder, &mistakes) {
        Ok(path) => console.line(&format!("the report is in {}", path.display())),
        Err(error) => tracing::warn!(%error, "there is no report of the run"),
    }
}

/// Searches over settings. Returns the exit code of a search that has not failed.
fn search(file: &Path, flags: &Flags, console: &Console) -> anyhow::Result<u8> {
    flags.shared.check_trace()?;
    let args = std::env::args_os().collect();
    if flags.checkpoints.dry_run {
        show(console, &usable(sweep::check(file, args, console), flags)?);
        return Ok(0);
    }
    let prepared = usable(sweep::prepare(file, args, console), flags)?;
    let report = until_stopped(flags, console, |stop| prepared.run(stop))??;
    show(console, &report.text);
    Ok(if report.is_complete { 0 } else { flags.reports.stopped_exit_code })
}

/// Trains what a program outside tells. Returns the exit code of a search that has not failed.
fn be_driven(flags: &Flags, console: &Console) -> anyhow::Result<u8> {
    flags.shared.check_trace()?;
    let prepared = usable(ask_tell::prepare(std::env::args_os().collect(), console), flags)?;
    let lines = (std::io::stdin(), std::io::stdout());
    let is_complete = until_stopped(flags, console, |stop| prepared.run(lines.0, lines.1, stop))??;
    Ok(if is_complete { 0 } else { flags.reports.stopped_exit_code })
}

/// Starts the trace, and does the work on a runtime on which signals ask for its end.
fn until_stopped<W: Future>(
    flags: &Flags,
    console: &Console,
    work: impl FnOnce(StopRequests) -> W,
) -> anyhow::Result<W::Output> {
    flags.shared.start_trace("coordinator", Begin::Anew)?;
    // Two threads, so that two workers' tensors are decoded at the same time. The driver's arithmetic has its
    // own thread.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let stop = host::stop::on_signals(false)?;
        let Flags { shared, reports, .. } = flags;
        tokio::spawn(leave_at_third(stop.clone(), console.clone(), shared.log_format, reports.tui));
        anyhow::Ok(work(stop).await)
    })
}

/// An error that may be a mistake in the flags.
trait Usage: std::error::Error + Send + Sync + 'static {
    fn is_usage(&self) -> bool;
}

impl Usage for RunError {
    fn is_usage(&self) -> bool {
        self.is_usage()
    }
}

impl Usage for SweepError {
    fn is_usage(&self) -> bool {
        self.is_usage()
    }
}

impl Usage for AskTellError {
    fn is_usage(&self) -> bool {
        self.is_usage()
    }
}

/// What was prepared. A mistake in the flags ends the program as one that shows without the data does.
fn usable<T, E: Usage>(prepared: Result<T, E>, flags: &Flags) -> anyhow::Result<T> {
    match prepared {
        Err(error) if error.is_usage() => {
            let error = Flags::command().error(ErrorKind::ValueValidation, error);
            host::args::exit(&error, flags.shared.log_format)
        }
        other => Ok(other?),
    }
}

/// Writes to standard output. If that is closed, nobody reads it.
fn show(console: &Console, text: &str) {
    console.flush(REPORT_GRACE);
    let _ = std::io::stdout().lock().write_all(printable_lines(text).as_bytes());
}

/// Ends the program without a checkpoint at a third signal, or when the first one was [`STOP_MAX`] ago. A
/// second one changes nothing: launchers send it to the group and to the process. Local workers end with the
/// program, because their input closes.
async fn leave_at_third(mut stop: StopRequests, console: Console, format: LogFormat, has_tui: bool) {
    if stop.wait_for(|&count| count >= 1).await.is_err() {
        return;
    }
    let deadline = Instant::now() + STOP_MAX;
    if let Ok(Ok(_)) = timeout_at(deadline, stop.wait_for(|&count| count >= 2)).await {
        console.line("asked to stop again; a third time ends the program without a checkpoint of this step");
    }
    let why = match timeout_at(deadline, stop.wait_for(|&count| count >= 3)).await {
        Ok(Ok(_)) => "asked three times to stop",
        Ok(Err(_)) => return,
        Err(_) => "asked to stop a minute ago",
    };
    if has_tui {
        tui::leave();
    }
    console.flush(REPORT_GRACE);
    let error = anyhow::anyhow!("{why}; stopped at once, without a checkpoint of the step in progress");
    let _ = host::exit_code("coordinator", format, Err(error));
    std::process::exit(1);
}

fn tell(summary: &Summary) -> String {
    let mut text = String::new();
    let Summary { dataset, steps, steps_total, train_seconds, samples_per_s, .. } = summary;
    if let Some(test) = &summary.test {
        let _ = writeln!(
            text,
            "{}",
            evaluation_table("test", &test.confusion, &test.classes, test.totals.loss())
        );
    } else {
        let _ = writeln!(text, "stopped; the same command goes on from here");
    }
    for test in &summary.other_tests {
        let totals = &test.totals;
        let accuracy = 100.0 * totals.accuracy();
        let name = format!("{}{}", test.weights, if test.has_views { ", 9 views" } else { " weights" });
        let counts = format!("({} of {}), mean loss {:.4}", totals.correct, totals.samples, totals.loss());
        let _ = writeln!(text, "{name:<19} test accuracy {accuracy:.2} % {counts}");
    }
    if summary.other_tests.iter().any(|test| !test.weights.are_last()) {
        let _ = writeln!(text, "best by validation  the {} weights", summary.best_weights);
    }
    if let Some(epochs) = summary.waited_in_vain {
        let _ = writeln!(text, "stopped early       no better validation in {epochs} epochs");
    }
    let _ = writeln!(text, "data set            {dataset}");
    let _ = writeln!(text, "steps               {steps} of {steps_total}");
    if *train_seconds > 0.0 {
        let _ = writeln!(text, "training            {train_seconds:.1} s, {samples_per_s:.0} samples/s");
    }
    if let Some(best) = &summary.best {
        let accuracy = 100.0 * best.correct as f64 / best.samples.max(1) as f64;
        let _ = writeln!(text, "best validation     {accuracy:.2} % after {} steps", best.step);
    }
    let _ = writeln!(text, "checkpoint          {}", summary.checkpoint.display());
    if let Some(mirrored) = &summary.mirrored {
        let _ = writeln!(text, "mirror              {mirrored}");
    }
    let _ = writeln!(text, "model.safetensors      sha256 {}", summary.model_sha256);
    let _ = writeln!(text, "optimizer.safetensors  sha256 {}", summary.optimizer_sha256);
    text
}
