//! What disturbed a run, as one line at its end: workers that came and went, and what had to be done again.
//! Says nothing of a run that nothing disturbed.

use super::Observer;
use super::console::Console;
use common::event::Event;

/// The observer that counts what disturbs a run.
pub(super) struct Disturbances {
    console: Console,
    /// Whether a step was done: workers that join before are expected.
    has_stepped: bool,
    counts: Counts,
}

/// How often each kind of disturbance happened.
#[derive(Debug, Default)]
struct Counts {
    joined: u64,
    left: u64,
    dropped: u64,
    refused: u64,
    late: u64,
    doubted: u64,
    rolled_back: u64,
    unsaved: u64,
}

impl Disturbances {
    pub(super) fn new(console: Console) -> Self {
        Self { console, has_stepped: false, counts: Counts::default() }
    }
}

impl Observer for Disturbances {
    fn observe(&mut self, event: &Event) {
        let counts = &mut self.counts;
        match event {
            Event::Step(_) => self.has_stepped = true,
            Event::WorkerJoined { .. } => counts.joined += u64::from(self.has_stepped),
            Event::WorkerLeft(_) => counts.left += 1,
            Event::WorkerDropped { .. } => counts.dropped += 1,
            Event::WorkerRefused { .. } => counts.refused += 1,
            Event::WorkerLate { .. } => counts.late += 1,
            Event::GradientDoubted { .. } => counts.doubted += 1,
            Event::RunRolledBack { .. } => counts.rolled_back += 1,
            Event::CheckpointFailed { .. } => counts.unsaved += 1,
            Event::RunEnded { .. } => {
                std::mem::take(counts).line().into_iter().for_each(|line| self.console.line(&line));
            }
            _ => {}
        }
    }
}

impl Counts {
    /// The line about them; `None` where nothing happened.
    fn line(&self) -> Option<String> {
        let all = [
            (self.joined, "joined in mid-run"),
            (self.left, "left"),
            (self.dropped, "dropped"),
            (self.refused, "refused"),
            (self.late, "late"),
        ];
        let happened = all.iter().filter(|(count, _)| *count > 0);
        let workers: Vec<String> = happened.map(|(count, what)| format!("{count} {what}")).collect();
        let others = [
            (self.doubted, "gradients computed again"),
            (self.rolled_back, "rollbacks"),
            (self.unsaved, "checkpoints not written"),
        ];
        let happened = others.iter().filter(|(count, _)| *count > 0);
        let others = happened.map(|(count, what)| format!("{what}: {count}"));
        let workers = (!workers.is_empty()).then(|| format!("workers: {}", workers.join(", ")));
        let parts: Vec<String> = workers.into_iter().chain(others).collect();
        (!parts.is_empty()).then(|| format!("disturbances: {}", parts.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_what_happened_and_nothing_else() {
        assert_eq!(Counts::default().line(), None);
        let counts = Counts { joined: 2, dropped: 1, doubted: 3, ..Counts::default() };
        let line = "disturbances: workers: 2 joined in mid-run, 1 dropped; gradients computed again: 3";
        assert_eq!(counts.line().as_deref(), Some(line));
    }
}
