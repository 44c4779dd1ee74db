//! What the layers compute, in Rust without a standard library. An exported program has the texts of these
//! functions, and the check of an export runs them.
//!
//! Values are by channel, row and column. Between two items is one empty line, and within an item there is
//! none: that is how `sources` finds them. `kernels.c` has the same in C, with the same order of operations.

/// An image's channels, rows and columns.
type Shape = [usize; 3];

/// Rows and columns of a kernel or window, between two places of it, and of zeros around the image.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub(super) size: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

/// One by the root of a number of at least 1e-5; the relative error is below 4e-7.
pub(super) fn inverse_root(x: f32) -> f32 {
    let mut root = f32::from_bits(0x5f37_59df - (x.to_bits() >> 1));
    for _ in 0..4 {
        root *= 1.5 - 0.5 * x * root * root;
    }
    root
}

/// The exponential function, of 87 beyond it and of -87 below; the relative error is below 2e-7.
pub(super) fn exp_of(x: f32) -> f32 {
    let x = if x > 87.0 { 87.0 } else { x };
    let x = if x > -87.0 { x } else { -87.0 };
    let half = if x < 0.0 { -0.5 } else { 0.5 };
    let power = (x * core::f32::consts::LOG2_E + half) as i32;
    let rest = x - power as f32 * 0.693_359_4 + power as f32 * 2.121_944_4e-4;
    let mut sum = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * rest + factor;
    }
    sum * f32::from_bits(((power + 127) as u32) << 23)
}

/// The numbers for pixels, of which each channel has a table, or all have one.
pub(super) fn pixels(pixels: &[u8], y: &mut [f32], tables: &[f32], channels: usize) {
    let plane = y.len() / channels;
    for (channel, y) in y.chunks_exact_mut(plane).enumerate() {
        let table = &tables[channel * 256 % tables.len()..][..256];
        for (at, value) in y.iter_mut().enumerate() {
            *value = table[pixels[at * channels + channel] as usize];
        }
    }
}

/// A convolution; an empty bias is none.
pub(super) fn conv(
    x: &[f32],
    y: &mut [f32],
    (weight, bias): (&[f32], &[f32]),
    (input, output): (Shape, Shape),
    window: Window,
    groups: usize,
) {
    let [channels, rows, columns] = [input[0] / groups, input[1], input[2]];
    let kernel = channels * window.size * window.size;
    for (at, value) in y.iter_mut().enumerate() {
        let (out, row, column) = (at / (output[1] * output[2]), at / output[2] % output[1], at % output[2]);
        let first = out / (output[0] / groups) * channels;
        let weight = &weight[out * kernel..][..kernel];
        let mut sum = if bias.is_empty() { 0.0 } else { bias[out] };
        for (at, weight) in weight.chunks_exact(window.size).enumerate() {
            let row = row * window.stride + at % window.size;
            if row < window.padding || row - window.padding >= rows {
                continue;
            }
            let x = &x[((first + at / window.size) * rows + row - window.padding) * columns..][..columns];
            for (at, weight) in weight.iter().enumerate() {
                let column = column * window.stride + at;
                if column >= window.padding && column - window.padding < columns {
                    sum += x[column - window.padding] * weight;
                }
            }
        }
        *value = sum;
    }
}

/// The maximum of each window.
pub(super) fn max_pool(x: &[f32], y: &mut [f32], (input, output): (Shape, Shape), window: Window) {
    for (at, value) in y.iter_mut().enumerate() {
        let (plane, row, column) = (at / (output[1] * output[2]), at / output[2] % output[1], at % output[2]);
        let first = (plane * input[1] + row * window.stride) * input[2] + column * window.stride;
        let mut largest = x[first];
        for row in 0..window.size {
            for other in &x[first + row * input[2]..][..window.size] {
                if *other > largest {
                    largest = *other;
                }
            }
        }
        *value = largest;
    }
}

/// The mean of each window.
pub(super) fn avg_pool(x: &[f32], y: &mut [f32], (input, output): (Shape, Shape), window: Window) {
    for (at, value) in y.iter_mut().enumerate() {
        let (plane, row, column) = (at / (output[1] * output[2]), at / output[2] % output[1], at % output[2]);
        let first = (plane * input[1] + row * window.stride) * input[2] + column * window.stride;
        let mut sum = 0.0;
        for row in 0..window.size {
            for other in &x[first + row * input[2]..][..window.size] {
                sum += *other;
            }
        }
        *value = sum / (window.size * window.size) as f32;
    }
}

/// The mean of each channel.
pub(super) fn global_avg_pool(x: &[f32], y: &mut [f32]) {
    let plane = x.len() / y.len();
    for (x, value) in x.chunks_exact(plane).zip(y) {
        let mut sum = 0.0;
        for other in x {
            sum += *other;
        }
        *value = sum / plane as f32;
    }
}

/// A dense layer.
pub(super) fn dense(x: &[f32], y: &mut [f32], (weight, bias): (&[f32], &[f32])) {
    for ((value, weight), bias) in y.iter_mut().zip(weight.chunks_exact(x.len())).zip(bias) {
        let mut sum = *bias;
        for (x, weight) in x.iter().zip(weight) {
            sum += x * weight;
        }
        *value = sum;
    }
}

/// A scale and a shift for each channel: a batch norm.
pub(super) fn scale_shift(x: &mut [f32], (scale, shift): (&[f32], &[f32])) {
    let plane = x.len() / scale.len();
    for (channel, x) in x.chunks_exact_mut(plane).enumerate() {
        for value in x {
            *value = *value * scale[channel] + shift[channel];
        }
    }
}

/// Normalises each group of channels, then scales and shifts each channel.
pub(super) fn group_norm(x: &mut [f32], (weight, bias): (&[f32], &[f32]), groups: usize) {
    let (group, plane) = (x.len() / groups, x.len() / weight.len());
    for (first, x) in x.chunks_exact_mut(group).enumerate() {
        let mut sum = 0.0;
        for value in x.iter() {
            sum += *value;
        }
        let mean = sum / group as f32;
        let mut sum = 0.0;
        for value in x.iter() {
            sum += (*value - mean) * (*value - mean);
        }
        let factor = inverse_root(sum / group as f32 + 1e-5);
        for (at, value) in x.iter_mut().enumerate() {
            let channel = (first * group + at) / plane;
            *value = (*value - mean) * factor * weight[channel] + bias[channel];
        }
    }
}

/// Normalises each pixel over its channels, then scales and shifts each channel.
pub(super) fn layer_norm(x: &mut [f32], (weight, bias): (&[f32], &[f32])) {
    let (channels, plane) = (weight.len(), x.len() / weight.len());
    for pixel in 0..plane {
        let mut sum = 0.0;
        for channel in 0..channels {
            sum += x[channel * plane + pixel];
        }
        let mean = sum / channels as f32;
        let mut sum = 0.0;
        for channel in 0..channels {
            let distance = x[channel * plane + pixel] - mean;
            sum += distance * distance;
        }
        let factor = inverse_root(sum / channels as f32 + 1e-5);
        for channel in 0..channels {
            let value = &mut x[channel * plane + pixel];
            *value = (*value - mean) * factor * weight[channel] + bias[channel];
        }
    }
}

/// The larger of a value and 0.
pub(super) fn relu(x: &mut [f32]) {
    for value in x {
        if *value < 0.0 {
            *value = 0.0;
        }
    }
}

/// A value, times the slope below 0.
pub(super) fn leaky_relu(x: &mut [f32], slope: f32) {
    for value in x {
        if *value < 0.0 {
            *value *= slope;
        }
    }
}

/// The hyperbolic tangent; the error is below 3e-7.
pub(super) fn tanh_of(x: &mut [f32]) {
    for value in x {
        *value = 1.0 - 2.0 / (exp_of(2.0 * *value) + 1.0);
    }
}

/// The logistic function; the error is below 2e-7.
pub(super) fn sigmoid(x: &mut [f32]) {
    for value in x {
        *value = 1.0 / (1.0 + exp_of(-*value));
    }
}

/// A value times its logistic function; the error is below 3e-7, relative above 1.
pub(super) fn silu(x: &mut [f32]) {
    for value in x {
        *value /= 1.0 + exp_of(-*value);
    }
}

/// A value times the normal distribution's share below it; the error is below 5e-7, relative above 1.
pub(super) fn gelu(x: &mut [f32]) {
    for value in x {
        let z = core::f32::consts::FRAC_1_SQRT_2 * if *value < 0.0 { -*value } else { *value };
        let t = 1.0 / (1.0 + 0.327_591_1 * z);
        let sum = ((1.061_405_4 * t - 1.453_152) * t + 1.421_413_8) * t - 0.284_496_74;
        let tail = 0.5 * (sum * t + 0.254_829_6) * t * exp_of(-z * z);
        *value *= if *value < 0.0 { tail } else { 1.0 - tail };
    }
}

/// Adds values to others.
pub(super) fn add(x: &mut [f32], other: &[f32]) {
    for (value, other) in x.iter_mut().zip(other) {
        *value += *other;
    }
}

/// Copies values.
pub(super) fn copy(x: &[f32], y: &mut [f32]) {
    y.copy_from_slice(x);
}
