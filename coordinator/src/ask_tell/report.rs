//! The observer that tells the program outside of a trial's validations.

use super::line::Answer;
use super::output::Output;
use crate::observe::Observer;
use common::event::Event;

/// Tells of one trial.
pub(super) struct Report {
    pub(super) trial: u32,
    pub(super) output: Output,
}

impl Observer for Report {
    fn observe(&mut self, event: &Event) {
        if let Event::Validation(validation) = event {
            self.output.tell(&Answer::of(self.trial, &validation.evaluation));
        }
    }
}
