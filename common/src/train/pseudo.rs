//! Pseudo-labels: labels that a network gives to samples that have none, for itself to learn from (Lee 2013).
//!
//! 1. At the beginning of each epoch from a given one on, the teacher guesses every unlabelled sample. It is
//!    the average of the weights, where there is one (Tarvainen and Valpola 2017), or those that are trained.
//! 2. A [`Guess`] is the most likely class and its probability. Where that reaches the threshold, the sample
//!    is trained on with that class in this epoch, and no others are. The teacher sees each image as it is,
//!    the training an augmented one (Sohn et al. 2020).
//! 3. An epoch has as many places as there are samples, labelled or not, whatever was guessed ([`places`]).
//!    So the number of steps, on which schedules depend, is known before the first one.
//!
//! A probability is rounded down to a whole number of [`CONFIDENCE_ONE`]ths, so that two programs compare
//! whole numbers.

use crate::ids::Epoch;
use crate::rng::Stream;

/// Confidence of a guess whose probability is 1.
pub const CONFIDENCE_ONE: u16 = u16::MAX;
/// Stands for no label where labels are kept: no class has that number.
pub const NO_LABEL: u16 = u16::MAX;

/// How a network learns from samples without a label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SelfTraining {
    /// Smallest probability with which a guess becomes a label, 0 or more and below 1.
    pub threshold: f64,
    /// First epoch with pseudo-labels, from 1.
    pub from: u64,
    /// Smallest share of an epoch's places that labelled samples have, 0 or more and below 1.
    pub labelled_share: f64,
}

impl Default for SelfTraining {
    /// The second epoch is the first with pseudo-labels, so that the network has learned something by then.
    fn default() -> Self {
        Self { threshold: 0.95, from: 2, labelled_share: 0.1 }
    }
}

/// What a network takes a sample for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guess {
    /// Most likely class; of equally likely ones the lowest.
    pub class: u16,
    /// Its probability in [`CONFIDENCE_ONE`]ths, rounded down.
    pub confidence: u16,
}

impl Guess {
    /// The guess of that class with that probability. One that is no number is none at all.
    #[must_use]
    pub fn new(class: u16, probability: f64) -> Self {
        Self { class, confidence: (probability * f64::from(CONFIDENCE_ONE)) as u16 }
    }
}

/// Labels of the unlabelled samples in one epoch, in the samples' order: a class, or [`NO_LABEL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PseudoLabels(Vec<u16>);

/// Reason why numbers are not pseudo-labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum PseudoLabelsError {
    /// There is not one for each sample.
    #[error("there are {got} pseudo-labels for {expected} unlabelled samples")]
    Count { got: usize, expected: usize },
    /// A label is not a class.
    #[error(
        "pseudo-label {label} of unlabelled sample {index} is not below the number of classes, {classes}"
    )]
    Class { index: usize, label: u16, classes: usize },
}

impl PseudoLabels {
    /// The guesses that reach the threshold.
    #[must_use]
    pub fn choose(guesses: &[Guess], threshold: f64) -> Self {
        let least = threshold * f64::from(CONFIDENCE_ONE);
        let label = |guess: &Guess| if f64::from(guess.confidence) >= least { guess.class } else { NO_LABEL };
        Self(guesses.iter().map(label).collect())
    }

    /// Checks labels that may come from anywhere, for so many unlabelled samples.
    ///
    /// # Errors
    /// When there are more or fewer, or one is not a class.
    pub fn new(labels: Vec<u16>, samples: usize, classes: usize) -> Result<Self, PseudoLabelsError> {
        if labels.len() != samples {
            return Err(PseudoLabelsError::Count { got: labels.len(), expected: samples });
        }
        let is_one = |label: u16| label == NO_LABEL || usize::from(label) < classes;
        match labels.iter().position(|&label| !is_one(label)) {
            Some(index) => Err(PseudoLabelsError::Class { index, label: labels[index], classes }),
            None => Ok(Self(labels)),
        }
    }

    /// The labels, with [`NO_LABEL`] where there is none.
    #[must_use]
    pub fn as_slice(&self) -> &[u16] {
        &self.0
    }
}

/// The samples at the places of an epoch, in an order that is still to be drawn.
///
/// 1. A share of the `places`, rounded up, is for the `labelled` samples, and at least one for each.
/// 2. The others are for the `chosen` ones, which have a pseudo-label: each has one place. Where they are too
///    many, those of this epoch are drawn.
/// 3. Places that are left go to labelled samples. These take turns, so that none has two places more than
///    another.
///
/// # Panics
/// When there is no labelled sample.
#[must_use]
pub fn places(
    places: u32,
    labelled: &[u32],
    chosen: &[u32],
    labelled_share: f64,
    (seed, epoch): (u64, Epoch),
) -> Vec<u32> {
    assert!(!labelled.is_empty(), "a network needs a labelled sample to begin with");
    let own = ((labelled_share * f64::from(places)).ceil() as u32).max(labelled.len() as u32);
    let most = places.saturating_sub(own) as usize;
    let mut samples = chosen.to_vec();
    if chosen.len() > most {
        let mut stream = Stream::new(seed, "samples with a pseudo-label", &[epoch.0]);
        let order = stream.permutation(chosen.len() as u32);
        samples = order[..most].iter().map(|&at| chosen[at as usize]).collect();
    }
    let turns = Stream::new(seed, "turns of labelled samples", &[epoch.0]).permutation(labelled.len() as u32);
    let left = places as usize - samples.len();
    samples.extend(turns.iter().cycle().take(left).map(|&at| labelled[at as usize]));
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_that_reach_the_threshold_become_labels() {
        let guesses =
            [Guess::new(3, 0.95), Guess::new(1, 0.949), Guess::new(0, 1.0), Guess::new(2, f64::NAN)];
        assert_eq!(guesses.map(|guess| guess.confidence), [62_258, 62_192, CONFIDENCE_ONE, 0]);
        let labels = |threshold| PseudoLabels::choose(&guesses, threshold).0;
        // 0.95 lies between 62,258 and 62,259 of 65,535.
        assert_eq!(labels(0.95), [NO_LABEL, NO_LABEL, 0, NO_LABEL]);
        assert_eq!(labels(0.9499), [3, NO_LABEL, 0, NO_LABEL]);
        assert_eq!(labels(0.0), [3, 1, 0, 2]);
    }

    #[test]
    fn labels_from_anywhere_are_classes_and_one_for_each_sample() {
        let new = |labels: &[u16]| PseudoLabels::new(labels.to_vec(), 3, 10);
        assert_eq!(new(&[9, NO_LABEL, 0]).unwrap().as_slice(), [9, NO_LABEL, 0]);
        assert_eq!(new(&[1, 2]), Err(PseudoLabelsError::Count { got: 2, expected: 3 }));
        assert_eq!(new(&[1, 10, 2]), Err(PseudoLabelsError::Class { index: 1, label: 10, classes: 10 }));
    }

    /// How often each sample below 100 is at a place.
    fn counts(labelled: u32, chosen: u32, share: f64, epoch: u64) -> Vec<usize> {
        let [labelled, chosen] = [0..labelled, 50..50 + chosen].map(|samples| samples.collect::<Vec<u32>>());
        let samples = places(50, &labelled, &chosen, share, (7, Epoch(epoch)));
        assert_eq!(samples.len(), 50);
        let mut counts = vec![0; 100];
        samples.iter().for_each(|&at| counts[at as usize] += 1);
        counts
    }

    #[test]
    fn chosen_samples_have_one_place_and_labelled_ones_share_the_others() {
        for (labelled, chosen, share) in [(4, 0, 0.1), (4, 20, 0.1), (4, 46, 0.0), (7, 43, 0.0), (50, 0, 0.5)]
        {
            let counts = counts(labelled, chosen, share, 3);
            let [own, others] = [&counts[..labelled as usize], &counts[50..50 + chosen as usize]];
            assert!(others.iter().all(|&count| count == 1), "{labelled} {chosen}: {counts:?}");
            let least = (50 - chosen as usize) / labelled as usize;
            assert!(own.iter().all(|&count| count == least || count == least + 1), "{counts:?}");
        }
    }

    #[test]
    fn labelled_samples_keep_their_share_and_the_others_are_drawn_anew() {
        let of = |epoch| counts(4, 46, 0.21, epoch);
        // 21 percent of 50 places are 10.5.
        assert_eq!(of(1)[..50].iter().sum::<usize>(), 11);
        assert!(of(1)[50..].iter().all(|&count| count <= 1));
        assert_ne!(of(1)[50..], of(2)[50..]);
        assert_eq!(of(1), of(1));
        // Each labelled one has a place, however small their share is.
        assert!(counts(20, 30, 0.1, 1)[..20].iter().all(|&count| count == 1));
    }

    #[test]
    fn places_do_not_change_between_versions() {
        assert_eq!(places(8, &[0, 1, 2], &[3, 4, 5, 6, 7, 8], 0.5, (1, Epoch(1))), PLACES);
    }

    /// Printed once by this very test; a change gives old runs other samples, and raises the version of the
    /// arithmetic.
    const PLACES: [u32; 8] = [6, 3, 7, 5, 1, 0, 2, 1];
}
