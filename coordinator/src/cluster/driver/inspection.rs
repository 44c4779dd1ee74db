//! What an answer is to the machine, by what its receiver saw of it. Which numbers are out of line is `common::reduce::outliers`'.

use super::Driver;
use common::event::Event;
use common::protocol::coordinator::Verdict;
use common::reduce::outliers::peak;
use proto::message::{Answer, AnswerBody};

impl Driver {
    /// Judges an answer by its numbers.
    pub(super) fn verdict(&self, answer: &Answer) -> Verdict {
        let checksum = answer.checksum();
        match peak_of(answer) {
            _ if !answer.is_finite() => Verdict::NonFinite { checksum },
            Some(peak) if self.peaks.is_out_of_line(peak) => Verdict::OutOfLine { checksum },
            _ => Verdict::Finite { checksum },
        }
    }

    /// Takes an accepted answer as a measure for those to come.
    pub(super) fn measure(&mut self, accepted: &Answer) {
        peak_of(accepted).into_iter().for_each(|peak| self.peaks.accept(peak));
    }

    /// Says that an answer is doubted, and counts it.
    pub(super) fn doubted(&mut self, answer: &Answer) {
        self.round.iter_mut().for_each(|round| round.out_of_line += 1);
        self.tell(Event::GradientDoubted {
            worker: self.name(answer.incarnation).to_owned(),
            piece: answer.node,
            peak: peak_of(answer).unwrap_or_default(),
            usual: self.peaks.median(),
            step: self.trainer.step(),
        });
    }
}

/// The largest magnitude for each sample, where it is a gradient.
fn peak_of(answer: &Answer) -> Option<f32> {
    let is_gradient = matches!(answer.body, AnswerBody::Gradient(_));
    is_gradient.then(|| peak(answer.inspection.largest, answer.totals.samples))
}
