//! Images and labels in memory: a data set once it has been read, and the samples that are sent to workers.

use crate::data::spec::DataSpec;

/// Labelled images of one form: `labels.len()` images, each `[height, width, channels]` bytes, from 0 (dark)
/// to 255 (bright).
///
/// ```
/// use common::data::samples::Samples;
/// use common::data::spec::DataSpec;
///
/// // Two grey images of 2 x 3 pixels in 4 classes.
/// let spec = DataSpec::new(2, 3, 1, 4).unwrap();
/// let samples = Samples::new(spec, vec![0; 12], vec![3, 0]).unwrap();
/// assert_eq!((samples.len(), samples.image(1).len()), (2, 6));
/// assert!(Samples::new(spec, vec![0; 12], vec![3, 4]).is_err(), "label 4 is not a class");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Samples {
    spec: DataSpec,
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

/// Reason why pixels and labels are not samples.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum SamplesError {
    /// The lengths of the two buffers disagree.
    #[error("{labels} labels need {expected} bytes of pixels, got {pixels}")]
    Length {
        pixels: usize,
        labels: usize,
        /// Bytes that this number of images has.
        expected: usize,
    },
    /// A label is not a class.
    #[error("label {label} of sample {index} is not below the number of classes, {classes}")]
    Label { index: usize, label: u16, classes: usize },
}

impl Samples {
    /// Checks and wraps pixels (`[n, height, width, channels]`, u8) and labels (`[n]`).
    ///
    /// # Errors
    /// When the lengths disagree or a label is not a class.
    pub fn new(spec: DataSpec, pixels: Vec<u8>, labels: Vec<u16>) -> Result<Self, SamplesError> {
        let expected = labels.len().saturating_mul(spec.image_bytes());
        if expected != pixels.len() {
            return Err(SamplesError::Length { pixels: pixels.len(), labels: labels.len(), expected });
        }
        let classes = spec.classes();
        if let Some(index) = labels.iter().position(|&label| usize::from(label) >= classes) {
            return Err(SamplesError::Label { index, label: labels[index], classes });
        }
        Ok(Self { spec, pixels, labels })
    }

    /// Form of the images, and number of classes.
    #[must_use]
    pub fn spec(&self) -> DataSpec {
        self.spec
    }

    /// Number of labelled images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Pixels of all samples, `[len, height, width, channels]`.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Labels of all samples, `[len]`.
    #[must_use]
    pub fn labels(&self) -> &[u16] {
        &self.labels
    }

    /// Pixels and labels, in the form that [`new`](Self::new) takes.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<u16>) {
        (self.pixels, self.labels)
    }

    /// Pixels of sample `index`, `[height, width, channels]`.
    ///
    /// # Panics
    /// When `index` is out of range.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        let bytes = self.spec.image_bytes();
        &self.pixels[index * bytes..(index + 1) * bytes]
    }

    /// A copy of the samples at `indices`, in that order.
    ///
    /// # Panics
    /// When an index is out of range.
    #[must_use]
    pub fn gather(&self, indices: &[u32]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * self.spec.image_bytes());
        let mut labels = Vec::with_capacity(indices.len());
        for &index in indices {
            pixels.extend_from_slice(self.image(index as usize));
            labels.push(self.labels[index as usize]);
        }
        Self { spec: self.spec, pixels, labels }
    }

    /// The first `count` samples, or all if there are fewer.
    #[must_use]
    pub fn first(mut self, count: usize) -> Self {
        self.labels.truncate(count);
        self.pixels.truncate(count * self.spec.image_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: DataSpec = match DataSpec::new(2, 3, 1, 300) {
        Ok(spec) => spec,
        Err(_) => panic!("sizes in range"),
    };
    const BYTES: usize = SPEC.image_bytes();

    #[test]
    fn gather_copies_images_with_their_labels() {
        let mut pixels = vec![0; 3 * BYTES];
        pixels[2 * BYTES] = 9;
        let all = Samples::new(SPEC, pixels, vec![4, 5, 299]).unwrap();
        let some = all.gather(&[2, 0]);
        assert_eq!(some.labels(), [299, 4]);
        assert_eq!((some.image(0)[0], some.image(1)[0]), (9, 0));
        assert_eq!(all.clone().first(2), all.gather(&[0, 1]));
    }

    #[test]
    fn lengths_that_disagree_and_labels_out_of_range_are_refused() {
        assert_eq!(
            Samples::new(SPEC, vec![0; BYTES], vec![1, 2]),
            Err(SamplesError::Length { pixels: BYTES, labels: 2, expected: 2 * BYTES })
        );
        assert_eq!(
            Samples::new(SPEC, vec![0; 2 * BYTES], vec![1, 300]),
            Err(SamplesError::Label { index: 1, label: 300, classes: 300 })
        );
    }
}
