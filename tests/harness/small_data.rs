//! A folder of four IDX files with few images, with which a whole run takes a second.
//!
//! The images are the first ones of the embedded digits. No batch size divides their numbers, on purpose.

use common::data::digits::{Half, SPEC, draw};
use common::data::samples::Samples;
use std::path::Path;
use tempfile::TempDir;

/// Images for training and validation.
pub const TRAIN: u32 = 643;
/// Images for the test.
pub const TEST: u32 = 101;

/// The first `count` samples of that half of the embedded digits.
///
/// # Panics
/// Never: there are as many images as labels.
#[must_use]
pub fn drawn(half: Half, count: u32) -> Samples {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for index in 0..count {
        let (image, label) = draw(half, index);
        pixels.extend(image);
        labels.push(label.into());
    }
    Samples::new(SPEC, pixels, labels).expect("as many images as labels")
}

/// A small data set, whose folder is removed when it is dropped.
#[derive(Debug)]
pub struct SmallData(TempDir);

impl SmallData {
    /// Draws and writes [`TRAIN`] and [`TEST`] images.
    #[must_use]
    pub fn write() -> Self {
        Self::of(TRAIN, TEST)
    }

    /// Draws and writes `train` and `test` images.
    ///
    /// # Panics
    /// When the temporary folder can't be written.
    #[must_use]
    pub fn of(train: u32, test: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, half, count) in [("train", Half::Train, train), ("t10k", Half::Test, test)] {
            let (images, labels) = common::data::idx::encode(&drawn(half, count));
            let write =
                |kind, bytes| std::fs::write(folder.path().join(format!("{name}-{kind}-ubyte")), bytes);
            write("images-idx3", images).and_then(|()| write("labels-idx1", labels)).expect("room for it");
        }
        Self(folder)
    }

    /// The folder, as a value of `--dataset`.
    ///
    /// # Panics
    /// When the system's folder for temporary files has a name that is not UTF-8.
    #[must_use]
    pub fn folder(&self) -> &str {
        let path: &Path = self.0.path();
        path.to_str().expect("a folder for temporary files with a readable name")
    }
}
