//! Progress of the run: a bar on a terminal, else a line now and then.
//!
//! Steps are shown as the number done out of all. Speeds come from the caller; only the bar's ETA is computed
//! here.

use super::console::Console;
use common::event::StepRecord;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Interval between two lines of the same epoch: often enough to see life, seldom enough for a log.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of a run. When dropped without [`finish`](Self::finish), it removes its bar.
pub struct Progress {
    console: Console,
    total_steps: u64,
    shown: Shown,
    /// Record of the last step.
    last: Option<StepRecord>,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Cadence),
    Nothing,
}

impl Progress {
    /// Progress of a run of `total_steps`, of which `resumed_at_step` were done before.
    #[must_use]
    pub fn new(total_steps: u64, resumed_at_step: u64, console: &Console) -> Self {
        let shown = if let Some(bars) = console.bars() {
            let bar = ProgressBar::new(total_steps).with_style(style()).with_position(resumed_at_step);
            let bar = bars.add(bar);
            // Steps done before the resumption must not count as done in no time.
            bar.reset_eta();
            Shown::Bar(bar)
        } else if console.tells_steps() {
            Shown::Lines(Cadence::default())
        } else {
            Shown::Nothing
        };
        Self { console: console.clone(), total_steps, shown, last: None }
    }

    /// Shows a committed step.
    pub fn step(&mut self, view: &StepRecord) {
        self.step_at(view, Instant::now());
    }

    fn step_at(&mut self, view: &StepRecord, now: Instant) {
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_message(describe(view));
                bar.set_position(view.step.0 + 1);
            }
            Shown::Lines(cadence) => {
                let of_old_epoch = self.last.as_ref().filter(|last| last.epoch != view.epoch);
                if let Some(last) = of_old_epoch
                    && cadence.owes()
                {
                    self.console.line(&line(last, self.total_steps));
                }
                if cadence.is_due(now) {
                    self.console.line(&line(view, self.total_steps));
                }
            }
            Shown::Nothing => {}
        }
        self.last = Some(view.clone());
    }

    /// Shows the number of workers. Only a bar shows it at once; the log has lines about it.
    pub fn workers(&mut self, workers: usize) {
        if let Some(last) = &mut self.last {
            last.workers = workers;
        }
        if let Shown::Bar(bar) = &self.shown {
            bar.set_message(self.last.as_ref().map_or_else(|| count(workers), describe));
        }
    }

    /// Ends the progress: the bar stays as it is, lines end with the last step.
    pub fn finish(mut self) {
        match &mut self.shown {
            Shown::Bar(bar) => bar.abandon(),
            Shown::Lines(cadence) => {
                if let Some(last) = &self.last
                    && cadence.owes()
                {
                    self.console.line(&line(last, self.total_steps));
                }
            }
            Shown::Nothing => {}
        }
    }
}

/// Rule for which steps get a line: the first, then one every [`LINE_EVERY`].
#[derive(Default)]
struct Cadence {
    told: Option<Instant>,
    /// Whether steps have passed since the last line.
    behind: bool,
}

impl Cadence {
    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.told.is_none_or(|told| now.duration_since(told) >= LINE_EVERY);
        if due {
            self.told = Some(now);
        }
        self.behind = !due;
        due
    }

    /// Whether the last step had no line. Asked before it is given one out of turn.
    fn owes(&mut self) -> bool {
        std::mem::take(&mut self.behind)
    }
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} ETA {eta}");
    style.expect("the template is constant and well-formed")
}

fn line(view: &StepRecord, total_steps: u64) -> String {
    format!("{}/{total_steps} steps {}", view.step.0 + 1, describe(view))
}

fn describe(view: &StepRecord) -> String {
    let StepRecord { epoch, loss, accuracy, samples_per_s, workers, .. } = view;
    let percent = 100.0 * accuracy;
    let workers = count(*workers);
    format!("epoch {epoch} loss {loss:.4} acc {percent:.1}% {samples_per_s:.0} samples/s {workers}")
}

fn count(workers: usize) -> String {
    let plural = if workers == 1 { "" } else { "s" };
    format!("{workers} worker{plural}")
}

#[cfg(test)]
mod tests;
