//! Training settings that depend on the data: how many samples are held out, whether each class has as many
//! as are wanted of it, the numbers by which pixels are normalized, and balanced class weights.
//!
//! The numbers are measured anew at each start, also where a checkpoint has them: what it says must be what
//! the data says.

use crate::RunError;
use crate::training_flags::TrainingFlags;
use common::data::classes::ClassNames;
use common::data::normalize::{Measured, Normalization};
use common::data::samples::Samples;
use common::data::split::{Split, TooFew, most_held_out};
use common::train::config::TrainingConfig;

/// The settings for these training samples, and what a person should know of them. `base` is how many samples
/// a checkpoint holds out whose settings are to be taken.
///
/// # Errors
/// When a class would have no sample left to train on, or fewer than are wanted.
pub(super) fn settle(
    mut training: TrainingConfig,
    flags: &TrainingFlags,
    base: Option<u32>,
    train: &Samples,
    classes: &ClassNames,
) -> Result<(TrainingConfig, Option<String>), RunError> {
    let samples = train.len() as u32;
    let most = most_held_out(train.labels());
    let held_out = flags.held_out(base, samples, most);
    training.val_split = held_out;
    // A split that leaves nothing is refused where the configuration is checked.
    if (most + 1..samples).contains(&held_out) {
        return Err(RunError::Flags(format!(
            "--val-split holds out {held_out} of {samples} training samples and leaves less than one of each class to \
             train on; hold out at most {most}"
        )));
    }
    if held_out >= samples {
        return Ok((training, None));
    }
    let mut split = Split::draw(train.labels(), held_out, training.seed);
    if let Some(count) = training.per_class {
        let few = split.with_few(train.labels(), train.spec().classes(), count, training.seed);
        split = few.map_err(|few| too_few(count, held_out, few, classes))?;
    }
    if let Some(weights) = flags.objective.balanced(train, &split.train) {
        training.objective.class_weights = weights;
    }
    if training.normalize == Normalization::Unit {
        return Ok((training, None));
    }
    let mut measured = split.train;
    if training.self_training.is_some() {
        measured.extend(split.rest);
        measured.sort_unstable();
    }
    let Measured { normalization, constant } = Normalization::measure(train, &measured);
    training.normalize = normalization;
    let channels: Vec<String> = constant.iter().map(ToString::to_string).collect();
    let note = (!channels.is_empty()).then(|| {
        format!(
            "--normalize standard: all training samples have one value in channel {}, which is divided by 1",
            channels.join(", ")
        )
    });
    Ok((training, note))
}

fn too_few(count: u32, held_out: u32, few: TooFew, classes: &ClassNames) -> RunError {
    let TooFew { class, left } = few;
    let name = host::printable(classes.get(class));
    RunError::Flags(format!(
        "--per-class {count}: of class {class} ({name}) there are {left} training samples, {held_out} of all being held \
         out by --val-split; take fewer of each class, or hold out fewer"
    ))
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
            settle(flags.resolve(None).unwrap(), &flags, None, &train, &ClassNames::numbers(2))
        };
        let (training, note) = settled("0").unwrap();
        let all: Vec<u32> = (0..40).collect();
        assert_eq!(training.normalize, Normalization::measure(&train, &all).normalization);
        let note = note.unwrap();
        assert!(note.contains("channel 0, which is divided by 1"), "{note}");
        let (fewer, _) = settled("10").unwrap();
        assert_eq!(fewer.val_split, 10);
        assert_ne!(fewer.normalize, training.normalize);
        let (refused, note) = settled("40").unwrap();
        assert_eq!((refused.val_split, refused.normalize.fits(2), note), (40, false, None));
        assert!(settled("38").is_ok());
        let error = settled("39").unwrap_err().to_string();
        assert!(error.contains("39 of 40") && error.contains("at most 38"), "{error}");
    }

    #[test]
    fn by_default_each_class_keeps_a_sample() {
        let spec = DataSpec::new(1, 1, 1, 10).unwrap();
        let train = Samples::new(spec, vec![0; 10], (0..10).collect()).unwrap();
        let flags = TrainingFlags::default();
        let (training, _) =
            settle(flags.resolve(None).unwrap(), &flags, None, &train, &ClassNames::numbers(10)).unwrap();
        assert_eq!(training.val_split, 0);
    }

    #[test]
    fn few_samples_are_measured_alone_and_a_class_without_them_is_named() {
        let spec = DataSpec::new(1, 1, 1, 3).unwrap();
        let labels: Vec<u16> = (0..30).map(|index| if index < 4 { 2 } else { index % 2 }).collect();
        let train = Samples::new(spec, (0..30).map(|index| index * 8).collect(), labels).unwrap();
        let settled = |count| {
            let mut flags =
                TrainingFlags { normalize: Some("standard".parse().unwrap()), ..Default::default() };
            flags.val_split = Some("0".parse().unwrap());
            flags.transfer.per_class = count;
            let classes = ClassNames::new(["cat", "dog", "bat\u{1b}"]);
            settle(flags.resolve(None).unwrap(), &flags, None, &train, &classes)
        };
        assert_ne!(settled(Some(3)).unwrap().0.normalize, settled(None).unwrap().0.normalize);
        let error = settled(Some(5)).unwrap_err().to_string();
        assert!(
            error.starts_with("--per-class 5: of class 2 (bat\\u001b) there are 4 training samples"),
            "{error}"
        );
    }
}
