//! Training settings that depend on the data: how many samples are held out, and the numbers by which pixels
//! are normalized.
//!
//! The numbers are measured anew at each start, also where a checkpoint has them: what it says must be what
//! the data says.

use crate::training_flags::TrainingFlags;
use common::data::normalize::{Measured, Normalization};
use common::data::sampler::Split;
use common::data::samples::Samples;
use common::train::config::TrainingConfig;

/// The settings for these training samples, and what a person should know of them. `base` is how many samples
/// a checkpoint holds out whose settings are to be taken.
pub(super) fn settle(
    mut training: TrainingConfig,
    flags: &TrainingFlags,
    base: Option<u32>,
    train: &Samples,
) -> (TrainingConfig, Option<String>) {
    let samples = train.len() as u32;
    training.val_split = flags.held_out(base, samples);
    // A split that leaves nothing is refused where the configuration is checked.
    if training.normalize == Normalization::Unit || training.val_split >= samples {
        return (training, None);
    }
    let split = Split::draw(samples, training.val_split, training.seed);
    let Measured { normalization, constant } = Normalization::measure(train, &split.train);
    training.normalize = normalization;
    let channels: Vec<String> = constant.iter().map(ToString::to_string).collect();
    let note = (!channels.is_empty()).then(|| {
        format!(
            "--normalize standard: all training samples have one value in channel {}, which is divided by 1",
            channels.join(", ")
        )
    });
    (training, note)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::data::spec::DataSpec;

    #[test]
    fn only_what_is_trained_on_is_measured_and_a_channel_of_one_value_is_named() {
        let spec = DataSpec::new(1, 1, 2, 2).unwrap();
        let pixels = (0..40u8).flat_map(|index| [7, 6 * index]).collect();
        let train = Samples::new(spec, pixels, (0..40).map(|index| index % 2).collect()).unwrap();
        let flags = TrainingFlags { normalize: Some("standard".parse().unwrap()), ..Default::default() };
        let settled = |held_out: &str| {
            let flags = TrainingFlags { val_split: Some(held_out.parse().unwrap()), ..flags.clone() };
            settle(flags.resolve(None).unwrap(), &flags, None, &train)
        };
        let (training, note) = settled("0");
        let all: Vec<u32> = (0..40).collect();
        assert_eq!(training.normalize, Normalization::measure(&train, &all).normalization);
        let note = note.unwrap();
        assert!(note.contains("channel 0, which is divided by 1"), "{note}");
        let (fewer, _) = settled("10");
        assert_eq!(fewer.val_split, 10);
        assert_ne!(fewer.normalize, training.normalize);
        let (refused, note) = settled("40");
        assert_eq!((refused.val_split, refused.normalize.fits(2), note), (40, false, None));
    }
}
