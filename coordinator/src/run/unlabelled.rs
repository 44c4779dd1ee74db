//! The samples that a run learns from without their labels: what they are taken for in the present epoch.
//!
//! The true labels of the unlabelled samples are used for one thing, to count how many pseudo-labels are
//! right. `common::train::pseudo` decides which guesses become labels, and which places samples have.

use common::data::samples::Samples;
use common::data::split::Split;
use common::ids::Epoch;
use common::train::pseudo::{NO_LABEL, PseudoLabels, SelfTraining, places};

/// A run's unlabelled samples.
#[derive(Debug)]
pub(crate) struct Unlabelled {
    settings: SelfTraining,
    /// What each sample of the data set is trained on as: a class, or [`NO_LABEL`].
    labels: Vec<u16>,
    /// The epoch whose pseudo-labels are there.
    labelled: Option<Epoch>,
}

impl Unlabelled {
    /// Those of a split of samples with these labels. None has a pseudo-label.
    pub(crate) fn new(settings: SelfTraining, split: &Split, labels: &[u16]) -> Self {
        let mut labels = labels.to_vec();
        split.rest.iter().for_each(|&at| labels[at as usize] = NO_LABEL);
        Self { settings, labels, labelled: None }
    }

    /// Whether pseudo-labels have to be found before that epoch's first step.
    pub(crate) fn lack_labels(&self, epoch: Epoch) -> bool {
        epoch.0 + 1 >= self.settings.from && self.labelled != Some(epoch)
    }

    /// Takes the pseudo-labels of an epoch.
    pub(crate) fn set(&mut self, epoch: Epoch, split: &Split, labels: &PseudoLabels) {
        let both = split.rest.iter().zip(labels.as_slice());
        both.for_each(|(&at, &label)| self.labels[at as usize] = label);
        self.labelled = Some(epoch);
    }

    /// Forgets all pseudo-labels.
    pub(crate) fn forget(&mut self) {
        self.labelled = None;
    }

    /// The pseudo-labels of that epoch, if they are there.
    pub(crate) fn of(&self, epoch: Epoch, split: &Split) -> Option<Vec<u16>> {
        let labels = || split.rest.iter().map(|&at| self.labels[at as usize]).collect();
        (self.labelled == Some(epoch)).then(labels)
    }

    /// The samples at an epoch's places, before their order is drawn.
    pub(crate) fn places(&self, epoch: Epoch, split: &Split, seed: u64) -> Vec<u32> {
        let has_label = |&at: &u32| self.label(at) != NO_LABEL;
        let chosen: Vec<u32> = match self.labelled {
            Some(labelled) if labelled == epoch => split.rest.iter().copied().filter(has_label).collect(),
            _ => Vec::new(),
        };
        let count = split.train.len() + split.rest.len();
        places(count as u32, &split.train, &chosen, self.settings.labelled_share, (seed, epoch))
    }

    /// The label with which a sample of the data set is trained on.
    pub(crate) fn label(&self, index: u32) -> u16 {
        self.labels[index as usize]
    }

    /// The images of the samples at these indices, with the labels that they are trained on as.
    pub(crate) fn gather(&self, all: &Samples, indices: &[u32]) -> Samples {
        let labels = indices.iter().map(|&index| self.label(index)).collect();
        with_labels(all.gather(indices), labels)
    }
}

/// The images of the samples at these indices, all with the label 0.
pub(crate) fn without_labels(all: &Samples, indices: &[u32]) -> Samples {
    with_labels(all.gather(indices), vec![0; indices.len()])
}

fn with_labels(samples: Samples, labels: Vec<u16>) -> Samples {
    let spec = samples.spec();
    let (pixels, _) = samples.into_parts();
    Samples::new(spec, pixels, labels).expect("a class for each image")
}
