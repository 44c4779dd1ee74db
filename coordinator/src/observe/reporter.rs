//! Output for a person at a terminal: the progress, and a line when a run begins or an epoch ends. Where the
//! log is in JSON its events say all but the progress.

use super::Observer;
use super::console::Console;
use super::progress::Progress;
use common::event::{Departure, Evaluation, Event, PseudoLabelsRecord, RunRecord, ValidationRecord};
use host::logging::LogFormat;

/// The observer that reports a run's progress.
pub(super) struct Reporter {
    console: Console,
    /// Progress from the run's beginning to its end.
    progress: Option<Progress>,
}

impl Reporter {
    pub(super) fn new(console: Console) -> Self {
        Self { console, progress: None }
    }

    fn say(&self, text: &str) {
        if self.console.format() == LogFormat::Text {
            self.console.line(text);
        }
    }

    fn begin(&mut self, run: &RunRecord) {
        self.say(&introduction(run));
        if run.step.0 > run.steps_total {
            self.console.line(&format!(
                "the checkpoint is at step {}, beyond the {} steps of this run: only the test is left",
                run.step, run.steps_total
            ));
        }
        self.progress = Some(Progress::new(run.steps_total, run.step.0, &self.console));
    }
}

impl Observer for Reporter {
    fn observe(&mut self, event: &Event) {
        match event {
            Event::RunStarted(run) | Event::RunResumed(run) => self.begin(run),
            Event::Listening { address, connect, token_file } => {
                self.say(&invitation(address.as_deref(), connect, token_file.as_deref()));
            }
            Event::Validation(validation) => self.say(&epoch_done(validation)),
            Event::PseudoLabels(labels) => self.say(&labels_found(labels)),
            Event::RunEnded { .. } => self.progress.take().into_iter().for_each(Progress::finish),
            Event::Step(step) => self.progress.iter_mut().for_each(|progress| progress.step(step)),
            Event::WorkerJoined { workers, .. }
            | Event::WorkerLeft(Departure { workers, .. })
            | Event::WorkerDropped { departure: Departure { workers, .. }, .. } => {
                self.progress.iter_mut().for_each(|progress| progress.workers(*workers as usize));
            }
            _ => {}
        }
    }
}

/// Text at the start of a run, about what will be done.
fn introduction(run: &RunRecord) -> String {
    let chosen = |field: &str| run.config.get(field).map_or("unknown", String::as_str);
    let unlabelled = match run.unlabelled_samples {
        0 => String::new(),
        count => format!(" ({count} without labels)"),
    };
    format!(
        "training {} ({} parameters) on {}: {} samples{unlabelled}, {} for validation; {} epochs of {} steps",
        chosen("model"),
        run.parameters,
        chosen("dataset"),
        run.train_samples,
        run.validation_samples,
        run.epochs,
        run.steps_per_epoch
    )
}

/// Text about how workers can connect, with a token where they need one.
pub(crate) fn invitation(address: Option<&str>, connect: &[String], token_file: Option<&str>) -> String {
    match (address, connect) {
        (Some(address), [best, others @ ..]) => {
            let others =
                if others.is_empty() { String::new() } else { format!(" (or {})", others.join(", ")) };
            let token = token_file.map_or_else(String::new, |file| format!(", with the token in {file}"));
            format!("listening on {address}; workers join with: worker --connect {best}{others}{token}")
        }
        _ => "no port is open; for others than the local workers to join, add --bind HOST:PORT".to_owned(),
    }
}

fn labels_found(labels: &PseudoLabelsRecord) -> String {
    let PseudoLabelsRecord { epoch, samples, labelled, right, .. } = labels;
    let share = 100.0 * *right as f64 / (*labelled).max(1) as f64;
    format!(
        "epoch {epoch} begins: {labelled} of {samples} unlabelled samples have a label, {share:.2}% of them right"
    )
}

fn epoch_done(validation: &ValidationRecord) -> String {
    let ValidationRecord { evaluation, best, train_loss, train_accuracy } = validation;
    let best = if *best { ", best so far" } else { "" };
    if !evaluation.weights.are_last() {
        let Evaluation { epoch, weights, loss, accuracy, .. } = evaluation;
        return format!(
            "epoch {epoch}, {weights} weights: validation loss {loss:.4} acc {:.2}%",
            100.0 * accuracy
        );
    }
    let training = match (train_loss, train_accuracy) {
        (Some(loss), Some(accuracy)) => format!("training loss {loss:.4} acc {:.2}%, ", 100.0 * accuracy),
        _ => String::new(),
    };
    format!(
        "epoch {} done: {training}validation loss {:.4} acc {:.2}%{best}",
        evaluation.epoch,
        evaluation.loss,
        100.0 * evaluation.accuracy
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_names_addresses_that_can_be_dialled() {
        let connect = ["node7:80", "10.0.0.7:80", "10.1.0.7:80"].map(str::to_owned);
        let ends = ["--connect node7:80", "node7:80 (or 10.0.0.7:80, 10.1.0.7:80)"];
        for (count, end) in [1, 3].into_iter().zip(ends) {
            let text = invitation(Some("0.0.0.0:80"), &connect[..count], None);
            assert!(text.starts_with("listening on 0.0.0.0:80; workers join with: "), "{text}");
            assert!(text.ends_with(end), "{text}");
        }
        let text = invitation(Some("0.0.0.0:80"), &connect[..1], Some("/home/ada/token"));
        assert!(text.ends_with("--connect node7:80, with the token in /home/ada/token"), "{text}");
        assert!(invitation(None, &[], None).contains("--bind HOST:PORT"));
    }
}
