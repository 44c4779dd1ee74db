//! Images and labels in memory: what a data set is once it has been read, and what travels to a worker.

/// Side of every image, in pixels.
pub const SIDE: usize = 28;
/// Pixels of one image.
pub const PIXELS: usize = SIDE * SIDE;
/// Number of classes; labels are `0..CLASSES`.
pub const CLASSES: usize = 10;

/// Some labelled images: `labels.len()` of them, each of [`PIXELS`] bytes, row by row, 0 black to 255 white.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

/// Why pixels and labels do not make samples.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamplesError {
    /// The two buffers disagree.
    #[error("{labels} labels need {} bytes of pixels, got {pixels}", labels * PIXELS)]
    Length {
        /// Bytes of pixels given.
        pixels: usize,
        /// Labels given.
        labels: usize,
    },
    /// A label is not a class.
    #[error("label {label} of sample {index} is not in 0..{CLASSES}")]
    Label {
        /// Position of the sample.
        index: usize,
        /// The label found.
        label: u8,
    },
}

impl Samples {
    /// Checks and wraps pixels (`[n, 28, 28]`, u8) and labels (`[n]`).
    ///
    /// # Errors
    /// When the lengths disagree or a label is not a class.
    pub fn new(pixels: Vec<u8>, labels: Vec<u8>) -> Result<Self, SamplesError> {
        if labels.len().checked_mul(PIXELS) != Some(pixels.len()) {
            return Err(SamplesError::Length { pixels: pixels.len(), labels: labels.len() });
        }
        if let Some(index) = labels.iter().position(|&l| usize::from(l) >= CLASSES) {
            return Err(SamplesError::Label { index, label: labels[index] });
        }
        Ok(Self { pixels, labels })
    }

    /// How many samples there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All pixels, `[len, 28, 28]`.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All labels, `[len]`.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Pixels and labels, as [`new`](Self::new) takes them.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, Vec<u8>) {
        (self.pixels, self.labels)
    }

    /// The pixels of one sample, `[28, 28]`.
    ///
    /// # Panics
    /// When `index` is out of range.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * PIXELS..(index + 1) * PIXELS]
    }

    /// A copy of the samples at `indices`, in that order.
    ///
    /// # Panics
    /// When an index is out of range.
    #[must_use]
    pub fn gather(&self, indices: &[u32]) -> Self {
        let mut pixels = Vec::with_capacity(indices.len() * PIXELS);
        let mut labels = Vec::with_capacity(indices.len());
        for &index in indices {
            pixels.extend_from_slice(self.image(index as usize));
            labels.push(self.labels[index as usize]);
        }
        Self { pixels, labels }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_copies_images_with_their_labels() {
        let mut pixels = vec![0; 3 * PIXELS];
        pixels[2 * PIXELS] = 9;
        let all = Samples::new(pixels, vec![4, 5, 6]).unwrap();
        let some = all.gather(&[2, 0]);
        assert_eq!(some.labels(), [6, 4]);
        assert_eq!((some.image(0)[0], some.image(1)[0]), (9, 0));
    }

    #[test]
    fn lengths_that_disagree_and_labels_out_of_range_are_refused() {
        assert_eq!(
            Samples::new(vec![0; PIXELS], vec![1, 2]),
            Err(SamplesError::Length { pixels: PIXELS, labels: 2 })
        );
        assert_eq!(
            Samples::new(vec![0; 2 * PIXELS], vec![1, 10]),
            Err(SamplesError::Label { index: 1, label: 10 })
        );
    }
}
