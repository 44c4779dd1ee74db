//! Augmentation: random changes to the images of a leaf, drawn anew in each epoch.
//!
//! What is drawn is a function of the run's seed, the step and the leaf: whoever computes the leaf, and
//! however often, changes its images alike. All geometric changes are one map from the new picture to the old
//! one, so an image is resampled once, bilinearly (`warp`). What lies outside the old picture is 0. Then a
//! rectangle may be erased, and at last neighbours in the leaf may be mixed.
//!
//! As text: words separated by spaces, such as `rotate(10) shift(0.1) mixup(0.2)`, or `none`. A preset stands
//! for several words; a later word replaces an earlier one.

mod elastic;
mod erase;
mod mixup;
mod text;
mod warp;

pub use mixup::Mixed;
pub use text::AugmentError;

use crate::data::samples::Samples;
use crate::rng::{LeafAddress, Stream};
use erase::Erase;
use warp::Warper;

/// Random changes to images, and how strong they may be.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Augmentation {
    geometry: Geometry,
    erase: Option<Erase>,
    /// Parameter α of the Beta(α, α) distribution from which mixup draws a share; 0 for no mixup.
    mixup: f32,
}

/// Changes of place; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Geometry {
    /// Largest angle in degrees, either way.
    rotate: f32,
    /// Largest shift along each side, as a share of it, either way.
    shift: f32,
    /// Largest change of the size: a factor of 1 - `scale` to 1 + `scale`.
    scale: f32,
    /// Largest angle of the slant in degrees, either way.
    shear: f32,
    /// Standard deviation of the displacement of a pixel, in pixels.
    elastic: f32,
    /// Standard deviation of the bell that smooths the displacements, in pixels.
    smoothness: f32,
    /// Probability that the picture is mirrored from left to right.
    flip: f32,
    /// Largest shift in whole pixels along each side, either way.
    crop: u32,
}

/// Augmented samples of a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmented {
    /// The samples with their own labels.
    pub samples: Samples,
    /// What is mixed into each sample; empty without mixup.
    pub mixed: Vec<Mixed>,
}

impl Augmentation {
    /// Whether nothing is changed.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Changes the images of a leaf.
    #[must_use]
    pub fn apply(&self, samples: Samples, leaf: LeafAddress) -> Augmented {
        let spec = samples.spec();
        let (mut pixels, labels) = samples.into_parts();
        let stream = |purpose| leaf.stream(purpose, 0);
        if self.geometry != Geometry::default() {
            Warper::new(&self.geometry, spec).warp(&mut pixels, &mut stream("augment"));
        }
        if let Some(erase) = self.erase {
            let mut stream = stream("erase");
            let images = pixels.chunks_exact_mut(spec.image_bytes());
            images.for_each(|image| erase.apply(image, spec, &mut stream));
        }
        let mixed = if self.mixup > 0.0 {
            mixup::mix(self.mixup, &mut pixels, spec.image_bytes(), &labels, &mut stream("mixup"))
        } else {
            Vec::new()
        };
        let samples = Samples::new(spec, pixels, labels).expect("as many pixels as before");
        Augmented { samples, mixed }
    }
}

/// A uniform number from -`most` to `most`.
fn either_way(stream: &mut Stream, most: f32) -> f32 {
    stream.between(-most, most)
}

#[cfg(test)]
mod tests;
