//! Weights between PyTorch's `[out, in, kh, kw]` and what the kernels read.
//!
//! A patch of x is `[kh · kw · in]` in the order of its memory. [`by_output`] gives panels of neighbouring outputs, for
//! kernels whose lanes are outputs; [`by_patch`] panels of neighbouring patch places, for kernels whose lanes lie along
//! a patch.

use super::Geometry;

/// `[outputs / width, patch, width]`: all of a patch's weights for `width` outputs lie together.
///
/// With `width` = outputs it is the matrix that patches are multiplied with.
pub(super) fn by_output(geometry: &Geometry, weights: &[f32], width: usize, panels: &mut [f32]) {
    let patch = geometry.patch();
    for_each_weight(geometry, |at, place, output| {
        panels[(output / width * patch + place) * width + output % width] = weights[at];
    });
}

/// `[patch / chunk, outputs, chunk]`: `chunk` neighbouring places of a patch for every output lie together.
pub(super) fn by_patch(geometry: &Geometry, weights: &[f32], chunk: usize, panels: &mut [f32]) {
    for_each_weight(geometry, |at, place, output| {
        panels[(place / chunk * geometry.outputs + output) * chunk + place % chunk] = weights[at];
    });
}

/// The inverse of [`by_output`].
pub(super) fn from_by_output(geometry: &Geometry, panels: &[f32], width: usize) -> Vec<f32> {
    let patch = geometry.patch();
    let mut weights = vec![0.0; panels.len()];
    for_each_weight(geometry, |at, place, output| {
        weights[at] = panels[(output / width * patch + place) * width + output % width];
    });
    weights
}

/// The inverse of [`by_patch`].
pub(super) fn from_by_patch(geometry: &Geometry, panels: &[f32], chunk: usize) -> Vec<f32> {
    let mut weights = vec![0.0; panels.len()];
    for_each_weight(geometry, |at, place, output| {
        weights[at] = panels[(place / chunk * geometry.outputs + output) * chunk + place % chunk];
    });
    weights
}

/// Visits (index in PyTorch's layout, place in the patch, output).
#[inline(always)]
fn for_each_weight(geometry: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
    let Geometry { inputs, outputs, kernel_h, kernel_w, .. } = *geometry;
    let window = kernel_h * kernel_w;
    for output in 0..outputs {
        for input in 0..inputs {
            for tap in 0..window {
                visit((output * inputs + input) * window + tap, tap * inputs + input, output);
            }
        }
    }
}
