//! The test samples that a model gets most wrong, by what it takes each of them for.

use crate::dataset::png;
use common::data::classes::ClassNames;
use common::data::samples::Samples;
use common::event::{Mistake, MistakesRecord};
use common::ids::Step;
use common::train::pseudo::{CONFIDENCE_ONE, Guess};
use std::cmp::Reverse;

/// Most mistakes that are told.
const MISTAKES_MAX: usize = 24;

/// What is told of these guesses of all test samples, after that step: the worst are those of whose answer
/// the model is surest.
///
/// # Panics
/// When there are more guesses than samples, or a class has no name.
#[must_use]
pub fn of(step: Step, guesses: &[Guess], test: &Samples, classes: &ClassNames) -> MistakesRecord {
    let is_wrong = |&at: &usize| guesses[at].class != test.labels()[at];
    let mut wrong: Vec<usize> = (0..guesses.len()).filter(is_wrong).collect();
    let count = wrong.len() as u64;
    wrong.sort_by_key(|&at| Reverse(guesses[at].confidence));
    wrong.truncate(MISTAKES_MAX);
    let mistake = |index: usize| {
        let Guess { class: answer, confidence } = guesses[index];
        let [class, answer] =
            [test.labels()[index], answer].map(|class| classes.get(class.into()).to_owned());
        let probability = f64::from(confidence) / f64::from(CONFIDENCE_ONE);
        Mistake { index, class, answer, probability, png: png(test, index) }
    };
    MistakesRecord { step, count, worst: wrong.into_iter().map(mistake).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::data::digits::{PIXELS, SPEC};

    #[test]
    fn the_surest_wrong_answers_come_first_and_not_more_than_a_page_shows() {
        let classes = ClassNames::numbers(SPEC.classes());
        let samples = Samples::new(SPEC, vec![7; 40 * PIXELS], vec![3; 40]).unwrap();
        let mut guesses: Vec<Guess> = (0..40).map(|at| Guess { class: 5, confidence: at * 100 }).collect();
        guesses[39].class = 3;
        guesses[2].confidence = CONFIDENCE_ONE;
        let told = of(Step(9), &guesses, &samples, &classes);
        assert_eq!((told.step, told.count, told.worst.len()), (Step(9), 39, MISTAKES_MAX));
        let places: Vec<usize> = told.worst.iter().map(|mistake| mistake.index).collect();
        assert_eq!(places[..3], [2, 38, 37]);
        let worst = &told.worst[0];
        assert_eq!((worst.class.as_str(), worst.answer.as_str(), worst.probability), ("3", "5", 1.0));
        let picture = image::load_from_memory(&worst.png).unwrap().into_luma8();
        assert_eq!(picture.into_raw(), vec![7; PIXELS]);
    }

    #[test]
    fn a_model_without_a_mistake_has_none_to_show() {
        let samples = Samples::new(SPEC, vec![0; PIXELS], vec![3]).unwrap();
        let guesses = [Guess { class: 3, confidence: CONFIDENCE_ONE }];
        let told = of(Step(9), &guesses, &samples, &ClassNames::numbers(SPEC.classes()));
        assert_eq!(told, MistakesRecord { step: Step(9), count: 0, worst: Vec::new() });
    }
}
