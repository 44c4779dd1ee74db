//! Weights between PyTorch's `[out, in / groups, kh, kw]` and what the kernels read.
//!
//! A patch of x is `[kh · kw · in / groups]` in the order of its memory. [`by_output`] gives panels of
//! neighbouring outputs, for kernels whose lanes are outputs; [`by_patch`] panels of neighbouring patch
//! places, for kernels whose lanes lie along a patch.

use super::Geometry;
use std::ops::Range;

/// `[outputs / width, patch, width]`: all of a patch's weights for `width` outputs lie together.
///
/// The last panel may have places left. With `width` = a group's outputs each panel is the matrix that the
/// group's patches are multiplied with.
pub(super) fn by_output(geometry: &Geometry, weights: &[f32], width: usize, panels: &mut [f32]) {
    for_each_row(geometry, |output, kernel, row| {
        in_patch_order(geometry, &weights[kernel], row);
        let panel = &mut panels[output / width * row.len() * width + output % width..];
        panel.iter_mut().step_by(width).zip(row).for_each(|(to, from)| *to = *from);
    });
}

/// `[patch / chunk, outputs, chunk]`: `chunk` neighbouring places of a patch for every output lie together.
pub(super) fn by_patch(geometry: &Geometry, weights: &[f32], chunk: usize, panels: &mut [f32]) {
    for_each_row(geometry, |output, kernel, row| {
        in_patch_order(geometry, &weights[kernel], row);
        for (index, part) in row.chunks_exact(chunk).enumerate() {
            panels[(index * geometry.outputs + output) * chunk..][..chunk].copy_from_slice(part);
        }
    });
}

/// The inverse of [`by_output`].
pub(super) fn from_by_output(geometry: &Geometry, panels: &[f32], width: usize) -> Vec<f32> {
    let mut weights = vec![0.0; geometry.outputs * geometry.patch()];
    for_each_row(geometry, |output, kernel, row| {
        let panel = &panels[output / width * row.len() * width + output % width..];
        row.iter_mut().zip(panel.iter().step_by(width)).for_each(|(to, from)| *to = *from);
        in_kernel_order(geometry, row, &mut weights[kernel]);
    });
    weights
}

/// The inverse of [`by_patch`].
pub(super) fn from_by_patch(geometry: &Geometry, panels: &[f32], chunk: usize) -> Vec<f32> {
    let mut weights = vec![0.0; panels.len()];
    for_each_row(geometry, |output, kernel, row| {
        for (index, part) in row.chunks_exact_mut(chunk).enumerate() {
            part.copy_from_slice(&panels[(index * geometry.outputs + output) * chunk..][..chunk]);
        }
        in_kernel_order(geometry, row, &mut weights[kernel]);
    });
    weights
}

/// Visits every output channel: (its number, where its kernel `[in, kh, kw]` lies, a row for it in a patch's
/// order).
fn for_each_row(geometry: &Geometry, mut visit: impl FnMut(usize, Range<usize>, &mut [f32])) {
    let patch = geometry.patch();
    let mut row = vec![0.0; patch];
    for output in 0..geometry.outputs {
        visit(output, output * patch..(output + 1) * patch, &mut row);
    }
}

/// Reorders a kernel from `[in, kh · kw]` to `[kh · kw, in]`.
fn in_patch_order(geometry: &Geometry, kernel: &[f32], row: &mut [f32]) {
    let taps = geometry.kernel_h * geometry.kernel_w;
    for (tap, places) in row.chunks_exact_mut(geometry.inputs / geometry.groups).enumerate() {
        places.iter_mut().zip(kernel[tap..].iter().step_by(taps)).for_each(|(to, from)| *to = *from);
    }
}

/// Reorders a row from `[kh · kw, in]` to `[in, kh · kw]`.
fn in_kernel_order(geometry: &Geometry, row: &[f32], kernel: &mut [f32]) {
    let taps = geometry.kernel_h * geometry.kernel_w;
    for (tap, places) in row.chunks_exact(geometry.inputs / geometry.groups).enumerate() {
        kernel[tap..].iter_mut().step_by(taps).zip(places).for_each(|(to, from)| *to = *from);
    }
}
