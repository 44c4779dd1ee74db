//! The reference path for any shape: patches as a matrix (im2col), one matrix product per image, then bias,
//! ReLU, pooling.
//!
//! It takes one image at a time, so that a patch matrix (`[map, patch]`, 139 kB for the CNN's second layer)
//! stays in the L2 cache. Gradients of weights and bias are added up image by image.

use super::{Backward, CLOSED, Forward, Geometry, Gradients, Output, weights};
use crate::engine::op::matmul::{Into, View, matmul};

/// The forward pass of this path; see [`super::forward`].
pub(super) fn forward(pass: Forward<'_>) -> Output {
    let Forward { geometry, x, w, b } = pass;
    let (rows, columns) = geometry.map();
    let (out_rows, out_columns) = geometry.out();
    let patch = geometry.patch();
    let outputs = geometry.outputs;
    let mut matrix = vec![0.0; w.len()];
    weights::by_output(geometry, w, outputs, &mut matrix);
    let mut output = Output::empty(geometry);
    let mut patches = vec![0.0; rows * columns * patch];
    let mut map = vec![0.0; rows * columns * outputs];
    for image in x.chunks_exact(x.len() / geometry.n) {
        gather_patches(geometry, image, &mut patches);
        let product = View::new(&patches, rows * columns, patch);
        matmul(&mut map, product, View::new(&matrix, patch, outputs), Into::Replace);
        for row in 0..out_rows {
            for column in 0..out_columns {
                for (channel, &bias) in b.iter().enumerate() {
                    let (value, code) = strongest(geometry, &map, row, column, channel);
                    let value = value + bias;
                    let open = !geometry.relu || value > 0.0 || value.is_nan();
                    output.y.push(if open { value } else { 0.0 });
                    output.codes.push(if open { code } else { CLOSED });
                }
            }
        }
    }
    output
}

/// The backward pass of this path; see [`super::backward`].
pub(super) fn backward(pass: Backward<'_>) -> Gradients {
    let Backward { geometry, x, w, codes, grad, input_gradient } = pass;
    let (rows, columns) = geometry.map();
    let patch = geometry.patch();
    let outputs = geometry.outputs;
    let mut matrix = vec![0.0; w.len()];
    weights::by_output(geometry, w, outputs, &mut matrix);
    let mut dw = vec![0.0; matrix.len()];
    let mut patches = vec![0.0; rows * columns * patch];
    let mut map = vec![0.0; rows * columns * outputs];
    let mut gradients =
        Gradients { x: input_gradient.then(|| vec![0.0; x.len()]), w: Vec::new(), b: vec![0.0; outputs] };
    let in_size = x.len() / geometry.n;
    let out_size = grad.len() / geometry.n;
    for i in 0..geometry.n {
        let out = i * out_size..(i + 1) * out_size;
        scatter_to_map(geometry, &codes[out.clone()], &grad[out], &mut map, &mut gradients.b);
        gather_patches(geometry, &x[i * in_size..(i + 1) * in_size], &mut patches);
        let dy = View::new(&map, rows * columns, outputs);
        matmul(&mut dw, View::new(&patches, rows * columns, patch).transposed(), dy, Into::Add);
        if let Some(dx) = &mut gradients.x {
            matmul(&mut patches, dy, View::new(&matrix, patch, outputs).transposed(), Into::Replace);
            add_patches(geometry, &patches, &mut dx[i * in_size..(i + 1) * in_size]);
        }
    }
    gradients.w = weights::from_by_output(geometry, &dw, outputs);
    gradients
}

/// The maximum of an output's window, before the bias, and its place in the window.
fn strongest(geometry: &Geometry, map: &[f32], row: usize, column: usize, output: usize) -> (f32, u32) {
    let at = |row: usize, column: usize| map[(row * geometry.map().1 + column) * geometry.outputs + output];
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
fn scatter_to_map(geometry: &Geometry, codes: &[u32], grad: &[f32], map: &mut [f32], bias: &mut [f32]) {
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
            map[(row * columns + column) * outputs + output] = grad;
            bias[output] += grad;
        }
    }
}

/// Fills `patches [map, kh · kw · in]` from one image `[h, w, in]`.
fn gather_patches(geometry: &Geometry, image: &[f32], patches: &mut [f32]) {
    for_each_run(geometry, |from, to, run| patches[to..to + run].copy_from_slice(&image[from..from + run]));
}

/// The transpose of [`gather_patches`]: adds every patch to its position in the image.
fn add_patches(geometry: &Geometry, patches: &[f32], image: &mut [f32]) {
    for_each_run(geometry, |to, from, run| {
        image[to..to + run].iter_mut().zip(&patches[from..from + run]).for_each(|(sum, v)| *sum += v);
    });
}

/// Visits every row of every patch: (start in the image, start in the patches, length).
fn for_each_run(geometry: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
    let (rows, columns) = geometry.map();
    let run = geometry.kernel_w * geometry.inputs;
    let mut in_patches = 0;
    for row in 0..rows {
        for column in 0..columns {
            for kernel_row in 0..geometry.kernel_h {
                let in_image = ((row + kernel_row) * geometry.width + column) * geometry.inputs;
                visit(in_image, in_patches, run);
                in_patches += run;
            }
        }
    }
}
