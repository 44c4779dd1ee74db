//! Flags of `lockstep runs`, `lockstep compare` and `lockstep report`, and the commands.

use super::{Data, threads, threads_or_all};
use crate::runs::compare::Comparison;
use crate::runs::list::{self, Row};
use crate::runs::several::Several;
use crate::runs::{mistakes, page};
use anyhow::bail;
use clap::Args;
use coordinator::observe::console::Console;
use coordinator::record::write::{CARD_FILE, REPORT_FILE, put, write_into};
use coordinator::record::{self, Recorded, find, html, report};
use coordinator::run_folder::METRICS_FILE;
use host::printable_lines;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Flags of `lockstep runs`.
#[derive(Clone, Debug, Args)]
pub struct Runs {
    /// Folder in which runs are looked for, and in the folders in it
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// Print a line of JSON for each run
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV, a row for each run
    #[arg(long)]
    pub csv: bool,
}

/// Flags of `lockstep compare`.
#[derive(Clone, Debug, Args)]
pub struct Compare {
    /// Folders of runs
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
    /// File for a page with the curves of all runs in the same pictures; an older page is replaced
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,
}

/// Flags of `lockstep report`.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// Folder of the run; or one with several, such as a search's, which get one page together
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// File for the page alone [default: report.html in the folder, and README.md beside it for a run]
    #[arg(long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub data: Data,
    /// Number of threads that look for the model's mistakes [default: all cores]
    #[arg(long, value_name = "N", env = "LOCKSTEP_THREADS", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
}

impl Runs {
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let folder = &self.folder;
        let cannot = |error| anyhow::anyhow!("cannot look for runs in {}: {error}", folder.display());
        let found = find::runs(folder).map_err(cannot)?;
        let mut rows = Vec::new();
        for path in &found.runs {
            match record::read(path) {
                Ok(run) => {
                    tell_problems(&run);
                    rows.push(Row::of(&run, folder));
                }
                Err(error) => host::report(&error.to_string()),
            }
        }
        if found.is_cut {
            host::report("there are very many folders, and not all were looked at; name a smaller one");
        }
        if rows.is_empty() {
            bail!(
                "there is no run in {}: no folder in it has a metrics.jsonl that can be read",
                folder.display()
            );
        }
        Ok(match (self.json, self.csv) {
            (true, _) => list::json(&rows)?,
            (_, true) => list::csv(&rows),
            _ => list::text(&rows),
        })
    }
}

impl Compare {
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let runs = self.runs.iter().map(|path| record::read(path)).collect::<Result<Vec<_>, _>>()?;
        runs.iter().for_each(tell_problems);
        let comparison = Comparison::of(&runs);
        let mut text = comparison.text();
        if let Some(path) = &self.html {
            put(path, &page::page(&runs, &comparison), html::MARK)?;
            text += &format!("the curves are in {}\n", path.display());
        }
        Ok(printable_lines(&text).into_owned())
    }
}

impl Report {
    pub(super) fn run(&self, console: &Console) -> anyhow::Result<String> {
        if !self.run.join(METRICS_FILE).exists() && self.run.is_dir() {
            return self.of_several();
        }
        let run = record::read(&self.run)?;
        tell_problems(&run);
        let mistakes = mistakes::of(&run, &self.data, threads_or_all(self.threads), console);
        let text = match &self.output {
            Some(path) => {
                put(path, &report::page(&run, &mistakes), html::MARK)?;
                format!("the report is in {}\n", path.display())
            }
            None => {
                let path = write_into(&self.run, &mistakes)?;
                format!("the report is in {}, the model card in {CARD_FILE} beside it\n", path.display())
            }
        };
        Ok(printable_lines(&text).into_owned())
    }
}

impl Report {
    /// The page of a folder with several runs.
    fn of_several(&self) -> anyhow::Result<String> {
        let folder = &self.run;
        let cannot = |error| anyhow::anyhow!("cannot look for runs in {}: {error}", folder.display());
        let found = find::runs(folder).map_err(cannot)?;
        let several = Several::read(folder, &found.runs, |error| host::report(&error.to_string()));
        if several.trials.is_empty() {
            bail!(
                "{}: there is no metrics.jsonl in it, and no run below it; name the folder of a run",
                folder.display()
            );
        }
        let path = self.output.clone().unwrap_or_else(|| folder.join(REPORT_FILE));
        put(&path, &several.page(), html::MARK)?;
        let text = format!("the report of {} runs is in {}\n", several.trials.len(), path.display());
        Ok(printable_lines(&text).into_owned())
    }
}

/// Says what could not be read of a run.
fn tell_problems(run: &Recorded) {
    run.problems.told.iter().for_each(|problem| host::report(problem));
    if run.problems.more > 0 {
        host::report(&format!("{}: {} more lines can't be read", run.folder.display(), run.problems.more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_help_names_the_files() {
        let mut command = crate::cli::Flags::command();
        let help = command.find_subcommand_mut("report").unwrap().render_long_help().to_string();
        assert!(help.contains(REPORT_FILE) && help.contains(CARD_FILE), "{help}");
    }
}
