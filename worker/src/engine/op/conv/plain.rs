//! The reference path for any shape: patches as a matrix (im2col), one matrix product per image and group,
//! then bias, ReLU, pooling.
//!
//! It takes one image at a time, so that a patch matrix (`[map, patch]`, 139 kB for the CNN's second layer)
//! stays in the L2 cache. Gradients of weights and bias are added up image by image.

use super::pad::{crop, pad};
use super::{Backward, CLOSED, Forward, Geometry, Gradients, Output, weights};
use crate::engine::op::matmul::{Into, View, matmul};

/// The forward pass of this path; see [`super::forward`].
pub(super) fn forward(pass: Forward<'_>) -> Output {
    let Forward { geometry, x, w, b } = pass;
    let (out_rows, out_columns) = geometry.out();
    let Buffers { shares, matrix, mut padded, mut patches, mut map } = Buffers::new(geometry, w);
    let mut output = Output::empty(geometry);
    for image in x.chunks_exact(x.len() / geometry.n) {
        pad(geometry, image, &mut padded);
        for (group, (weights, map)) in shares.split(&matrix).zip(shares.split_mut(&mut map)).enumerate() {
            gather_patches(geometry, group, &padded, &mut patches);
            let patches = View::new(&patches, shares.places, shares.patch);
            matmul(map, patches, View::new(weights, shares.patch, shares.outputs), Into::Replace);
        }
        for row in 0..out_rows {
            for column in 0..out_columns {
                for (channel, &bias) in b.iter().enumerate() {
                    let (value, code) = strongest(geometry, &shares, &map, row, column, channel);
                    let value = value + bias;
                    let open = !geometry.relu || value > 0.0 || value.is_nan();
                    output.y.push(if open { value } else { 0.0 });
                    if geometry.has_codes() {
                        output.codes.push(if open { code } else { CLOSED });
                    }
                }
            }
        }
    }
    output
}

/// The backward pass of this path; see [`super::backward`].
pub(super) fn backward(pass: Backward<'_>) -> Gradients {
    let Backward { geometry, x, w, codes, grad, input_gradient } = pass;
    let Buffers { shares, matrix, mut padded, mut patches, mut map } = Buffers::new(geometry, w);
    let mut dw = vec![0.0; matrix.len()];
    let mut dx_padded = vec![0.0; padded.len()];
    let mut gradients = Gradients {
        x: input_gradient.then(|| Vec::with_capacity(x.len())),
        w: Vec::new(),
        b: vec![0.0; geometry.outputs],
    };
    let in_size = x.len() / geometry.n;
    let out_size = grad.len() / geometry.n;
    let open = vec![0; if geometry.has_codes() { 0 } else { out_size }];
    for i in 0..geometry.n {
        let out = i * out_size..(i + 1) * out_size;
        let codes = codes.get(out.clone()).unwrap_or(&open);
        scatter_to_map(geometry, &shares, codes, &grad[out], &mut map, &mut gradients.b);
        pad(geometry, &x[i * in_size..(i + 1) * in_size], &mut padded);
        dx_padded.fill(0.0);
        let groups = shares.split(&matrix).zip(shares.split_mut(&mut dw)).zip(shares.split(&map));
        for (group, ((weights, dw), map)) in groups.enumerate() {
            gather_patches(geometry, group, &padded, &mut patches);
            let dy = View::new(map, shares.places, shares.outputs);
            matmul(dw, View::new(&patches, shares.places, shares.patch).transposed(), dy, Into::Add);
            if input_gradient {
                let weights = View::new(weights, shares.patch, shares.outputs).transposed();
                matmul(&mut patches, dy, weights, Into::Replace);
                add_patches(geometry, group, &patches, &mut dx_padded);
            }
        }
        if let Some(dx) = &mut gradients.x {
            crop(geometry, &dx_padded, dx);
        }
    }
    gradients.w = weights::from_by_output(geometry, &dw, shares.outputs);
    gradients
}

/// What one group has of an image.
struct Shares {
    groups: usize,
    /// Positions of the map.
    places: usize,
    patch: usize,
    /// Output channels of a group.
    outputs: usize,
}

impl Shares {
    /// Every group's part of a matrix `[groups, ...]`.
    fn split<'a>(&self, matrix: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        matrix.chunks_exact(matrix.len() / self.groups)
    }

    /// The same, to be written.
    fn split_mut<'a>(&self, matrix: &'a mut [f32]) -> impl Iterator<Item = &'a mut [f32]> {
        matrix.chunks_exact_mut(matrix.len() / self.groups)
    }

    /// Where in a map `[groups, places, outputs]` an output channel of a place lies.
    fn at(&self, place: usize, output: usize) -> usize {
        let group = output / self.outputs;
        (group * self.places + place) * self.outputs + output % self.outputs
    }
}

/// The weights, and memory for one image.
struct Buffers {
    shares: Shares,
    /// Weights `[groups, patch, outputs]`.
    matrix: Vec<f32>,
    /// The image inside its border of zeros.
    padded: Vec<f32>,
    /// One group's patches `[places, patch]`.
    patches: Vec<f32>,
    /// The map `[groups, places, outputs]`.
    map: Vec<f32>,
}

impl Buffers {
    fn new(geometry: &Geometry, w: &[f32]) -> Self {
        let (rows, columns) = geometry.map();
        let (height, width) = geometry.padded();
        let places = rows * columns;
        let patch = geometry.patch();
        let shares =
            Shares { groups: geometry.groups, places, patch, outputs: geometry.outputs / geometry.groups };
        let mut matrix = vec![0.0; w.len()];
        weights::by_output(geometry, w, shares.outputs, &mut matrix);
        Self {
            shares,
            matrix,
            padded: vec![0.0; height * width * geometry.inputs],
            patches: vec![0.0; places * patch],
            map: vec![0.0; places * geometry.outputs],
        }
    }
}

/// The maximum of an output's window, before the bias, and its place in the window.
fn strongest(
    geometry: &Geometry,
    shares: &Shares,
    map: &[f32],
    row: usize,
    column: usize,
    output: usize,
) -> (f32, u32) {
    let at = |row: usize, column: usize| map[shares.at(row * geometry.map().1 + column, output)];
    if !geometry.pool {
        return (at(row, column), 0);
    }
    let mut best = (at(2 * row, 2 * column), 0);
    for code in 1..4 {
        let value = at(2 * row + code / 2, 2 * column + code % 2);
        if value > best.0 || value.is_nan() {
            best = (value, code as u32);
        }
    }
    best
}

/// Spreads one image's output gradient over the map before pooling, and adds it to the bias's gradient.
fn scatter_to_map(
    geometry: &Geometry,
    shares: &Shares,
    codes: &[u32],
    grad: &[f32],
    map: &mut [f32],
    bias: &mut [f32],
) {
    let Geometry { outputs, pool, .. } = *geometry;
    let (_, columns) = geometry.map();
    let (_, out_columns) = geometry.out();
    map.fill(0.0);
    for (place, (codes, grad)) in codes.chunks_exact(outputs).zip(grad.chunks_exact(outputs)).enumerate() {
        let row = place / out_columns;
        let column = place % out_columns;
        for (output, (&code, &grad)) in codes.iter().zip(grad).enumerate() {
            if code == CLOSED {
                continue;
            }
            let code = code as usize;
            let (row, column) =
                if pool { (2 * row + code / 2, 2 * column + code % 2) } else { (row, column) };
            map[shares.at(row * columns + column, output)] = grad;
            bias[output] += grad;
        }
    }
}

/// Fills `patches [map, kh · kw · in]` of a group from one padded image.
fn gather_patches(geometry: &Geometry, group: usize, image: &[f32], patches: &mut [f32]) {
    for_each_run(geometry, group, |from, to, run| {
        patches[to..to + run].copy_from_slice(&image[from..from + run]);
    });
}

/// The transpose of [`gather_patches`]: adds every patch to its position in the padded image.
fn add_patches(geometry: &Geometry, group: usize, patches: &[f32], image: &mut [f32]) {
    for_each_run(geometry, group, |to, from, run| {
        image[to..to + run].iter_mut().zip(&patches[from..from + run]).for_each(|(sum, v)| *sum += v);
    });
}

/// Visits every piece of every patch that lies together in a padded image: (start there, start in the
/// patches, length).
fn for_each_run(geometry: &Geometry, group: usize, mut visit: impl FnMut(usize, usize, usize)) {
    let Geometry { inputs, groups, kernel_h, kernel_w, stride, .. } = *geometry;
    let (rows, columns) = geometry.map();
    let (_, width) = geometry.padded();
    // A kernel row of all channels lies together, of a group's channels each of its pixels.
    let (runs, run) = if groups == 1 { (1, kernel_w * inputs) } else { (kernel_w, inputs / groups) };
    let mut in_patches = 0;
    for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
        for kernel_row in 0..kernel_h {
            for part in 0..runs {
                let pixel = (row * stride + kernel_row) * width + column * stride + part;
                visit(pixel * inputs + group * (inputs / groups), in_patches, run);
                in_patches += run;
            }
        }
    }
}
