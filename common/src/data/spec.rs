//! The form of a data set's samples: size of the images, number of classes.
//!
//! It is part of a run's identity: networks, messages and reports take their sizes from here.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Largest height and width of an image, in pixels.
pub const SIDE_MAX: usize = 256;
/// Most channels of a pixel: grey, grey and alpha, RGB, RGBA.
pub const CHANNELS_MAX: usize = 4;
/// Smallest number of classes.
pub const CLASSES_MIN: usize = 2;
/// Largest number of classes.
pub const CLASSES_MAX: usize = 1000;

/// The form of a data set's samples; always within the bounds above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DataSpec {
    height: usize,
    width: usize,
    channels: usize,
    classes: usize,
}

/// Reason why sizes or a text are not the form of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum SpecError {
    /// A size is out of its range.
    #[error("{what} is {got}; it must be {min} to {max}")]
    Range { what: &'static str, got: usize, min: usize, max: usize },
    /// The text is not written as `HEIGHTxWIDTHxCHANNELS, N classes`.
    #[error("the form of samples is written HEIGHTxWIDTHxCHANNELS, N classes")]
    Text,
}

impl DataSpec {
    /// Form of images with `height` rows, `width` columns and `channels` bytes per pixel, in `classes`
    /// classes.
    ///
    /// # Errors
    /// When a size is out of its range.
    pub const fn new(
        height: usize,
        width: usize,
        channels: usize,
        classes: usize,
    ) -> Result<Self, SpecError> {
        let sizes = [
            ("the height of an image", height, 1, SIDE_MAX),
            ("the width of an image", width, 1, SIDE_MAX),
            ("the number of channels", channels, 1, CHANNELS_MAX),
            ("the number of classes", classes, CLASSES_MIN, CLASSES_MAX),
        ];
        let mut i = 0;
        while i < sizes.len() {
            let (what, got, min, max) = sizes[i];
            if got < min || got > max {
                return Err(SpecError::Range { what, got, min, max });
            }
            i += 1;
        }
        Ok(Self { height, width, channels, classes })
    }

    /// Height of an image, in pixels.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// Width of an image, in pixels.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Number of values per pixel.
    #[must_use]
    pub const fn channels(&self) -> usize {
        self.channels
    }

    /// Number of classes; labels are `0..classes`.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Size of an image in bytes, `[height, width, channels]`.
    #[must_use]
    pub const fn image_bytes(&self) -> usize {
        self.height * self.width * self.channels
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, width, channels, classes } = self;
        write!(f, "{height}x{width}x{channels}, {classes} classes")
    }
}

impl FromStr for DataSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (sizes, classes) = text.split_once(", ").ok_or(SpecError::Text)?;
        let number = |text: &str| text.parse().map_err(|_| SpecError::Text);
        let sizes = sizes.split('x').map(number).collect::<Result<Vec<usize>, _>>()?;
        let [height, width, channels] = sizes[..] else { return Err(SpecError::Text) };
        let classes = number(classes.strip_suffix(" classes").ok_or(SpecError::Text)?)?;
        Self::new(height, width, channels, classes)
    }
}

impl From<DataSpec> for String {
    fn from(spec: DataSpec) -> Self {
        spec.to_string()
    }
}

impl TryFrom<String> for DataSpec {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_out_of_range_are_refused_by_name() {
        for (sizes, what) in [
            ([0, 1, 1, 2], "height"),
            ([1, 257, 1, 2], "width"),
            ([1, 1, 5, 2], "channels"),
            ([1, 1, 1, 1], "classes"),
            ([1, 1, 1, 1001], "classes"),
        ] {
            let [height, width, channels, classes] = sizes;
            let error = DataSpec::new(height, width, channels, classes).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_parsed(height in 1..=SIDE_MAX, width in 1..=SIDE_MAX, channels in 1..=CHANNELS_MAX, classes in CLASSES_MIN..=CLASSES_MAX) {
            let spec = DataSpec::new(height, width, channels, classes).unwrap();
            prop_assert_eq!(spec.to_string().parse(), Ok(spec));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<DataSpec>();
        }
    }
}
