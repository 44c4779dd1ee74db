//! Histograms of a checkpoint's tensors. Memory and time are bounded for models of any size.

use super::proto::{Histogram, Value};
use super::say;
use common::checkpoint::MODEL_FILE;
use host::files::{Links, read_regular};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use std::path::Path;

/// Largest model that is read for its histograms: 64 million parameters.
const MODEL_BYTES_MAX: u64 = 256 << 20;
/// Most tensors of a model that have a histogram.
const TENSORS_MAX: usize = 1024;
/// Most values of a tensor that are counted; of a larger one it is every n-th.
const VALUES_MAX: usize = 1 << 20;
/// Number of buckets, all of the same width.
const BUCKETS: usize = 30;

/// The histograms of the model in a checkpoint's folder.
///
/// # Errors
/// When it can't be read: why. It may be gone already, if later checkpoints have followed fast.
pub(super) fn of_checkpoint(folder: &Path) -> Result<Vec<Value>, String> {
    let bytes = read_regular(&folder.join(MODEL_FILE), MODEL_BYTES_MAX, Links::Refused)
        .map_err(|error| error.to_string())?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
    let mut names: Vec<_> = tensors.names();
    names.sort_unstable();
    let mut values = Vec::new();
    for name in names.into_iter().take(TENSORS_MAX) {
        let Ok(tensor) = tensors.tensor(name) else { continue };
        if tensor.dtype() == Dtype::F32 {
            let (numbers, _) = tensor.data().as_chunks::<{ size_of::<f32>() }>();
            let every = numbers.len().div_ceil(VALUES_MAX).max(1);
            let numbers = numbers.iter().step_by(every).map(|bytes| f32::from_le_bytes(*bytes));
            values.extend(of_numbers(numbers).map(|histogram| say::of_tensor(name, histogram)));
        }
    }
    Ok(values)
}

/// The histogram of the numbers that are finite; `None` if there are none.
fn of_numbers(numbers: impl Iterator<Item = f32> + Clone) -> Option<Histogram> {
    let numbers = numbers.filter(|number| number.is_finite()).map(f64::from);
    let (min, max) = numbers
        .clone()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), number| (number.min(min), number.max(max)));
    if min > max {
        return None;
    }
    // Numbers that are all equal have one bucket.
    let buckets = if min < max { BUCKETS } else { 1 };
    let width = (max - min) / buckets as f64;
    let mut histogram = Histogram {
        min,
        max,
        bucket_limit: (1..=buckets).map(|end| min + width * end as f64).collect(),
        bucket: vec![0.0; buckets],
        ..Histogram::default()
    };
    for number in numbers {
        let at = if width > 0.0 { ((number - min) / width) as usize } else { 0 };
        histogram.bucket[at.min(buckets - 1)] += 1.0;
        histogram.num += 1.0;
        histogram.sum += number;
        histogram.sum_squares += number * number;
    }
    Some(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_counted_once_and_the_ends_are_in_the_outer_buckets() {
        let numbers = [-1.0, -1.0, 0.0, 2.0, f32::NAN, f32::INFINITY];
        let histogram = of_numbers(numbers.into_iter()).unwrap();
        assert_eq!((histogram.min, histogram.max, histogram.num), (-1.0, 2.0, 4.0));
        assert_eq!((histogram.sum, histogram.sum_squares), (0.0, 6.0));
        assert_eq!(histogram.bucket.len(), BUCKETS);
        assert_eq!((histogram.bucket[0], histogram.bucket[10], histogram.bucket[29]), (2.0, 1.0, 1.0));
        assert!((histogram.bucket_limit[29] - 2.0).abs() < 1e-12);
    }

    #[test]
    fn equal_numbers_have_one_bucket_and_none_no_histogram() {
        let histogram = of_numbers([0.5; 7].into_iter()).unwrap();
        assert_eq!((histogram.bucket, histogram.bucket_limit), (vec![7.0], vec![0.5]));
        assert_eq!(of_numbers([].into_iter()), None);
        assert_eq!(of_numbers([f32::NAN].into_iter()), None);
        let far = of_numbers([f32::MIN, f32::MAX].into_iter()).unwrap();
        assert_eq!((far.bucket[0], far.bucket[29]), (1.0, 1.0));
    }

    #[test]
    fn a_folder_without_a_model_says_why() {
        let folder = tempfile::tempdir().unwrap();
        assert!(of_checkpoint(folder.path()).is_err());
        std::fs::write(folder.path().join(MODEL_FILE), b"\xff\xff\xff\xff\xff\xff\xff\xff{}").unwrap();
        assert!(of_checkpoint(folder.path()).is_err());
    }
}
