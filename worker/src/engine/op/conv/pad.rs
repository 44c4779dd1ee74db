//! An image inside a border of zeros, and back.

use super::Geometry;

/// Writes `image` into the middle of `padded`, whose border is zero already.
pub(super) fn pad(geometry: &Geometry, image: &[f32], padded: &mut [f32]) {
    for (to, from) in rows(geometry).zip(image.chunks_exact(geometry.width * geometry.inputs)) {
        padded[to..to + from.len()].copy_from_slice(from);
    }
}

/// The inverse: appends the middle of `padded` to `images`.
pub(super) fn crop(geometry: &Geometry, padded: &[f32], images: &mut Vec<f32>) {
    let row = geometry.width * geometry.inputs;
    rows(geometry).for_each(|from| images.extend_from_slice(&padded[from..from + row]));
}

/// Where in a padded image each row of the image starts.
fn rows(geometry: &Geometry) -> impl Iterator<Item = usize> {
    let Geometry { height, padding, inputs, .. } = *geometry;
    let (_, width) = geometry.padded();
    (0..height).map(move |row| ((row + padding) * width + padding) * inputs)
}
