//! Joins two halves that were read from tables or arrays into a data set, checked against each other.
//!
//! A half has the most classes that there can be until both are known: the largest label of the two decides
//! how many classes the data set has, as it does for four IDX files.

use super::{Dataset, DatasetError, parts};
use common::data::classes::ClassNames;
use common::data::samples::Samples;
use common::data::spec::{CLASSES_MIN, DataSpec};
use std::path::PathBuf;

/// Samples to train on or to test on, and the file that holds them. They have
/// [`CLASSES_MAX`](common::data::spec::CLASSES_MAX) classes.
pub(super) type Half = (PathBuf, Samples);

/// The data set of these two halves.
///
/// # Errors
/// When one of them is empty, or their images have different forms.
pub(super) fn join(
    name: String,
    (train_path, train): Half,
    (test_path, test): Half,
    note: Option<String>,
) -> Result<Dataset, DatasetError> {
    for (path, samples) in [(train_path, &train), (test_path.clone(), &test)] {
        if samples.is_empty() {
            return Err(DatasetError::Empty(path));
        }
    }
    let labels = train.labels().iter().chain(test.labels());
    let classes = labels.max().map_or(0, |&label| usize::from(label) + 1).max(CLASSES_MIN);
    let train = with_classes(train, classes);
    let test = with_classes(test, classes);
    let of_train = train.spec();
    let of_test = test.spec();
    if of_train != of_test {
        return Err(DatasetError::Forms { path: test_path, train: of_train, test: of_test });
    }
    let digest = parts::digest(&train, &test);
    let classes = ClassNames::numbers(classes);
    Ok(Dataset { name, digest, classes, train, test, note })
}

/// The same samples in `classes` classes, which is more than their largest label.
fn with_classes(samples: Samples, classes: usize) -> Samples {
    let spec = samples.spec();
    let spec = DataSpec::new(spec.height(), spec.width(), spec.channels(), classes);
    let (pixels, labels) = samples.into_parts();
    let samples = spec.ok().and_then(|spec| Samples::new(spec, pixels, labels).ok());
    samples.expect("the sizes were in range, and each label was below the number of classes")
}
