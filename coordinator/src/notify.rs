//! A command that is run when a run is over (`--notify`), with what it came to as JSON on its standard input.
//!
//! It may do anything but hold the program up: after a while it is killed, with all that it has started.

use crate::RunError;
use crate::run::Summary;
use crate::run::outcome::Evaluated;
use serde::Serialize;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tracing::warn;

/// Longest time that the command may take.
const NOTIFY_GRACE: Duration = Duration::from_secs(30);
/// Time between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Most characters of an error's text.
const ERROR_CHARS_MAX: usize = 4096;

/// What a run came to.
#[derive(Debug, Default, Serialize)]
pub struct Outcome<'a> {
    /// `complete`, `stopped` or `failed`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test_loss: Option<f64>,
    /// Folder of the last checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<&'a Path>,
    /// SHA-256 of its `model.safetensors`, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_sha256: Option<&'a str>,
    /// Time since the run began or went on.
    seconds: f64,
    /// Time spent in training steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    train_seconds: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Why the command has not done what it was to do.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error("it can't be started: {0}")]
    Start(io::Error),
    #[error("it ended with {0}")]
    Failed(ExitStatus),
    #[error("it took more than {} s and was killed", .0.as_secs_f64())]
    Slow(Duration),
}

impl<'a> Outcome<'a> {
    /// What there is to say of a run that took so long.
    #[must_use]
    pub fn of(result: &'a Result<Summary, RunError>, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        match result {
            Ok(summary) => Self {
                outcome: if summary.test.is_some() { "complete" } else { "stopped" },
                dataset: Some(&summary.dataset),
                steps: Some(summary.steps),
                steps_total: Some(summary.steps_total),
                checkpoint: Some(&summary.checkpoint),
                model_sha256: Some(&summary.model_sha256),
                seconds,
                train_seconds: Some(summary.train_seconds),
                ..Self::default()
            }
            .tested(summary.test.as_ref()),
            Err(error) => {
                let test = if let RunError::Tested { test, .. } = error { Some(&**test) } else { None };
                let error = error.to_string().chars().take(ERROR_CHARS_MAX).collect();
                Self { outcome: "failed", seconds, error: Some(error), ..Self::default() }.tested(test)
            }
        }
    }

    fn tested(self, test: Option<&Evaluated>) -> Self {
        let totals = test.map(|test| &test.totals);
        Self {
            test_accuracy: totals.map(|totals| totals.accuracy()),
            test_loss: totals.map(|totals| totals.loss()),
            ..self
        }
    }

    /// Runs the command by `sh -c`, and waits for its end. What goes wrong is a warning.
    pub fn tell(&self, command: &str) {
        if let Err(error) = self.tell_within(command, NOTIFY_GRACE) {
            warn!(command, %error, "the command of --notify has failed");
        }
    }

    fn tell_within(&self, command: &str, most: Duration) -> Result<(), NotifyError> {
        // A path need not be text.
        let text = serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned()) + "\n";
        let mut shell = Command::new("sh");
        // What it says is for a person: standard output has the summary alone.
        let errors = io::stderr().as_fd().try_clone_to_owned().map_err(NotifyError::Start)?;
        shell.arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::from(errors)).process_group(0);
        let mut child = shell.spawn().map_err(NotifyError::Start)?;
        if let Some(mut input) = child.stdin.take() {
            // It may not read; then this thread ends with it.
            let write = move || drop(input.write_all(text.as_bytes()));
            std::thread::Builder::new().name("notify".to_owned()).spawn(write).map_err(NotifyError::Start)?;
        }
        let deadline = Instant::now() + most;
        while Instant::now() < deadline {
            match child.try_wait().map_err(NotifyError::Start)? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(NotifyError::Failed(status)),
                None => std::thread::sleep(LOOK),
            }
        }
        kill(&mut child);
        Err(NotifyError::Slow(most))
    }
}

/// Ends the command with all that it has started.
fn kill(child: &mut Child) {
    if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn summary() -> Summary {
        Summary {
            dataset: "digits".into(),
            steps: 7,
            steps_total: 9,
            test: None,
            other_tests: Vec::new(),
            mistakes: None,
            best_weights: common::train::average::Weights::Last,
            waited_in_vain: None,
            best: None,
            checkpoint: PathBuf::from("a/step-7"),
            model_sha256: "m".into(),
            optimizer_sha256: "o".into(),
            train_seconds: 1.5,
            samples_per_s: 2.0,
            paused: None,
            mirrored: None,
        }
    }

    #[test]
    fn the_command_gets_one_line_of_json() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("told");
        let result = Ok(summary());
        let outcome = Outcome::of(&result, Duration::from_millis(2500));
        outcome.tell_within(&format!("cat > '{}'", path.display()), NOTIFY_GRACE).unwrap();
        let expected = r#"{"outcome":"stopped","dataset":"digits","steps":7,"steps_total":9,"checkpoint":"a/step-7","model_sha256":"m","seconds":2.5,"train_seconds":1.5}"#;
        assert_eq!(fs::read_to_string(path).unwrap(), expected.to_owned() + "\n");
        let failed = Err(RunError::Internal("x".repeat(10_000)));
        let failed = serde_json::to_value(Outcome::of(&failed, Duration::ZERO)).unwrap();
        assert_eq!(failed["outcome"], "failed");
        assert_eq!(failed["error"].as_str().unwrap().chars().count(), ERROR_CHARS_MAX);
    }

    #[test]
    fn one_that_fails_does_not_read_or_does_not_end_holds_nothing_up() {
        let result = Ok(summary());
        let outcome = Outcome::of(&result, Duration::ZERO);
        assert!(outcome.tell_within("true", NOTIFY_GRACE).is_ok(), "it need not read");
        let failed = outcome.tell_within("exit 3", NOTIFY_GRACE).unwrap_err().to_string();
        assert_eq!(failed, "it ended with exit status: 3");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let endless = format!("sleep 1000 & echo $! > '{}'; wait", path.display());
        let slow = outcome.tell_within(&endless, Duration::from_secs(2)).unwrap_err().to_string();
        assert_eq!(slow, "it took more than 2 s and was killed");
        let started: i32 = fs::read_to_string(path).unwrap().trim().parse().unwrap();
        // Nobody is left of it, or a dead process that its new parent has not asked about yet.
        let state = fs::read_to_string(format!("/proc/{started}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z"), "{state}");
    }
}
