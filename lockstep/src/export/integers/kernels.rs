//! What the layers of a network in whole numbers compute, in Rust without a standard library. An exported
//! program has the texts of these functions, and the check of an export runs them.
//!
//! Values are bytes, by channel, row and column. Between two items is one empty line, and within an item
//! there is none: that is how `sources` finds them. `kernels.c` has the same in C.

/// Channels, rows and columns.
type Shape = [usize; 3];

/// Rows and columns of a window, steps between two places of it, and places around the image.
type Window = [usize; 4];

/// A convolution or dense layer: weights, and for each output a bias and a factor, multiplier / 2^shift. A
/// value of `zeros[0]` stands for 0 in the input, `zeros[1]` in the output; with `relu` no output is below
/// it.
pub(super) struct Layer<'a> {
    pub(super) input: Shape,
    pub(super) output: Shape,
    pub(super) window: Window,
    pub(super) groups: usize,
    pub(super) weight: &'a [i8],
    pub(super) bias: &'a [i32],
    pub(super) multiplier: &'a [i32],
    pub(super) shift: &'a [u8],
    pub(super) zeros: [u8; 2],
    pub(super) relu: bool,
}

/// By 2^shift, rounded, a half upwards.
pub(super) fn shifted(product: i64, shift: u8) -> i32 {
    ((product + (1 << (shift - 1))) >> shift).clamp(i32::MIN as i64, i32::MAX as i64) as i32
}

/// A number as a byte of at least `low`.
pub(super) fn cut(number: i64, low: u8) -> u8 {
    number.clamp(low as i64, 255) as u8
}

/// An image's bytes channel by channel.
pub(super) fn planar(image: &[u8], y: &mut [u8], channels: usize) {
    let plane = y.len() / channels;
    for (at, value) in y.iter_mut().enumerate() {
        *value = image[at % plane * channels + at / plane];
    }
}

/// An output of a layer at a place, by its factor.
pub(super) fn sum_at(x: &[u8], of: &Layer, out: usize, row: usize, column: usize) -> i32 {
    let ([channels, rows, columns], [height, width, stride, padding]) = (of.input, of.window);
    let channels = channels / of.groups;
    let first = out / (of.output[0] / of.groups) * channels;
    let mut sum = of.bias[out];
    let mut weights = of.weight[out * channels * height * width..].iter();
    for channel in first..first + channels {
        for y in (0..height).map(|i| (row * stride + i).wrapping_sub(padding)) {
            for at in (0..width).map(|j| (column * stride + j).wrapping_sub(padding)) {
                let is_inside = y < rows && at < columns;
                let value = if is_inside { x[(channel * rows + y) * columns + at] } else { of.zeros[0] };
                sum += *weights.next().unwrap_or(&0) as i32 * value as i32;
            }
        }
    }
    shifted(sum as i64 * of.multiplier[out] as i64, of.shift[out])
}

/// A convolution or dense layer.
pub(super) fn sums(x: &[u8], y: &mut [u8], of: &Layer) {
    let [_, rows, columns] = of.output;
    for (at, value) in y.iter_mut().enumerate() {
        let sum = sum_at(x, of, at / (rows * columns), at / columns % rows, at % columns);
        *value = cut(sum as i64 + of.zeros[1] as i64, if of.relu { of.zeros[1] } else { 0 });
    }
}

/// The last layer.
pub(super) fn logits_of(x: &[u8], y: &mut [i32], of: &Layer) {
    for (out, value) in y.iter_mut().enumerate() {
        let sum = sum_at(x, of, out, 0, 0);
        *value = if of.relu { sum.max(0) } else { sum };
    }
}

/// Bytes as logits.
pub(super) fn as_logits(x: &[u8], y: &mut [i32], zero: u8) {
    for (value, &x) in y.iter_mut().zip(x) {
        *value = x as i32 - zero as i32;
    }
}

/// The first place of each window, counted over all channels.
pub(super) fn corner(at: usize, [_, rows, columns]: Shape, output: Shape, stride: usize) -> usize {
    let plane = output[1] * output[2];
    let [row, column] = [at % plane / output[2], at % plane % output[2]];
    (at / plane * rows + row * stride) * columns + column * stride
}

/// The largest value of each window.
pub(super) fn max_pool(x: &[u8], y: &mut [u8], (input, output): (Shape, Shape), window: Window) {
    let [height, width, stride, _] = window;
    for (at, value) in y.iter_mut().enumerate() {
        let first = corner(at, input, output, stride);
        *value = 0;
        for i in 0..height {
            for &tap in &x[first + i * input[2]..][..width] {
                *value = tap.max(*value);
            }
        }
    }
}

/// The mean of each window.
pub(super) fn mean_pool(
    x: &[u8],
    y: &mut [u8],
    (input, output): (Shape, Shape),
    window: Window,
    zeros: [u8; 2],
    (multiplier, shift): (i32, u8),
) {
    let [height, width, stride, _] = window;
    for (at, value) in y.iter_mut().enumerate() {
        let first = corner(at, input, output, stride);
        let mut sum = 0;
        for i in 0..height {
            for &tap in &x[first + i * input[2]..][..width] {
                sum += tap as i64 - zeros[0] as i64;
            }
        }
        *value = cut(shifted(sum * multiplier as i64, shift) as i64 + zeros[1] as i64, 0);
    }
}

/// A function of each value, as a table of 256.
pub(super) fn looked_up(x: &[u8], y: &mut [u8], table: &[u8; 256]) {
    for (value, &x) in y.iter_mut().zip(x) {
        *value = table[x as usize];
    }
}

/// The sums of two values, each times its multiplier.
pub(super) fn add(
    (a, b): (&[u8], &[u8]),
    y: &mut [u8],
    zeros: [u8; 3],
    (multipliers, shift): ([i32; 2], u8),
    low: u8,
) {
    for (value, (&a, &b)) in y.iter_mut().zip(a.iter().zip(b)) {
        let first = (a as i64 - zeros[0] as i64) * multipliers[0] as i64;
        let second = (b as i64 - zeros[1] as i64) * multipliers[1] as i64;
        *value = cut(shifted(first + second, shift) as i64 + zeros[2] as i64, low);
    }
}
