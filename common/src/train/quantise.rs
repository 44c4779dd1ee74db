//! Weights as 8-bit integers, with a scale for each output channel, symmetric about 0.
//!
//! ```text
//! scale = max|w| of the channel / 127
//! q     = w / scale, rounded to the nearest integer, halves to the even one; -127 to 127
//! w'    = q · scale
//! ```
//!
//! The weights are those of convolutions and dense layers, whose first dimension is the output channel
//! (Jacob et al. 2018, section 3, with a scale for each channel). All else, biases and norms, stays in f32.
//! A batch norm that is folded into its convolution multiplies each output channel by one number, and the
//! channel's scale with it: the integers stay the same, but for that number's sign and the rounding of the
//! product.
//!
//! Each operation is one of f32 whose result IEEE 754 fixes, so the bits are the same on every CPU.

use crate::model::params::{Layout, Role, TensorSpec};

/// Largest magnitude of an integer; -128 is left out.
const MOST: f32 = 127.0;

/// Whether a tensor's values become integers: the weights of convolutions and dense layers, which alone have
/// two or more dimensions.
#[must_use]
pub fn is_quantised(tensor: &TensorSpec) -> bool {
    tensor.role == Role::Trained && tensor.shape.len() >= 2
}

/// The scale of a channel with these weights. It is 0 where all are 0, or so small that nothing is left.
#[must_use]
pub fn scale(channel: &[f32]) -> f32 {
    channel.iter().fold(0.0f32, |most, weight| most.max(weight.abs())) / MOST
}

/// The integer of a weight, in a channel of that scale.
#[must_use]
pub fn quantised(weight: f32, scale: f32) -> i8 {
    if scale == 0.0 { 0 } else { (weight / scale).round_ties_even().clamp(-MOST, MOST) as i8 }
}

/// Replaces the weights of a tensor by those that its integers stand for.
pub fn round(tensor: &TensorSpec, weights: &mut [f32]) {
    let Some(&channels) = tensor.shape.first().filter(|_| is_quantised(tensor)) else { return };
    for channel in weights.chunks_mut((tensor.len() / channels.max(1)).max(1)) {
        let scale = scale(channel);
        channel.iter_mut().for_each(|weight| *weight = f32::from(quantised(*weight, scale)) * scale);
    }
}

/// Parameters as a network computes with them whose weights are 8-bit integers.
///
/// # Panics
/// When there is not a value for each parameter.
#[must_use]
pub fn rounded(layout: &Layout, parameters: &[f32]) -> Vec<f32> {
    let mut parameters = parameters.to_vec();
    layout.iter().for_each(|(tensor, range)| round(tensor, &mut parameters[range]));
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits::SPEC;
    use crate::model::architecture::Architecture;
    use crate::model::params::Init;

    fn layout(layers: &str) -> Layout {
        Architecture::parse(SPEC, layers).unwrap().layout().clone()
    }

    #[test]
    fn each_output_channel_has_a_scale_of_its_own() {
        let channel = [0.5f32, -1.27, 0.015, 0.025, -0.004_9, 0.0];
        let scale = scale(&channel);
        assert_eq!(scale, 0.01);
        assert_eq!(channel.map(|weight| quantised(weight, scale)), [50, -127, 2, 2, 0, 0]);
        let layout = layout("flatten dense(2) relu dense");
        let (weights, range) = layout.find("fc1.weight").unwrap();
        let mut values = vec![0.0; weights.len()];
        let (first, second) = values.split_at_mut(weights.len() / 2);
        first[..6].copy_from_slice(&channel);
        second[..6].copy_from_slice(&channel.map(|weight| weight * 64.0));
        round(weights, &mut values);
        let (first, second) = values.split_at(range.len() / 2);
        for (one, other) in first.iter().zip(second) {
            assert_eq!(one * 64.0, *other);
        }
    }

    #[test]
    fn halves_go_to_the_even_integer_and_nothing_leaves_the_range() {
        let halves = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 127.5, -127.5, 1e30, f32::NEG_INFINITY];
        let expected = [0, 2, 2, 0, -2, -2, 126, 127, -127, 127, -127];
        assert_eq!(halves.map(|weight| quantised(weight, 1.0)), expected);
        for scale in [0.0, f32::MIN_POSITIVE / 1024.0, 3e38] {
            assert_ne!(quantised(-scale * MOST, scale), i8::MIN);
        }
        assert_eq!([scale(&[]), scale(&[0.0, -0.0]), scale(&[1e-45])], [0.0; 3]);
    }

    #[test]
    fn only_weights_are_rounded_and_zeros_stay() {
        let layout = layout("conv(5,3) batchnorm relu flatten dense(9) layernorm relu dense");
        let mut values = Init::He.draw(&layout, 3);
        values.iter_mut().step_by(3).for_each(|value| *value = 0.0);
        let rounded = rounded(&layout, &values);
        for (tensor, range) in layout.iter() {
            let (before, after) = (&values[range.clone()], &rounded[range]);
            let is_weight = ["conv1.weight", "fc1.weight", "fc2.weight"].contains(&tensor.name.as_str());
            assert_eq!(is_weight, is_quantised(tensor), "{}", tensor.name);
            assert_eq!(is_weight, before != after, "{}", tensor.name);
            let channel = tensor.len() / tensor.shape[0];
            for (before, after) in before.chunks(channel).zip(after.chunks(channel)) {
                let scale = scale(before);
                for (before, after) in before.iter().zip(after) {
                    assert!((before - after).abs() <= 0.500_1 * scale || !is_weight, "{before} and {after}");
                    assert!(*before != 0.0 || after.to_bits() == 0, "{}", tensor.name);
                }
            }
        }
        assert_eq!(super::rounded(&layout, &rounded), rounded, "the integers of integers are the same");
    }

    #[test]
    fn the_bits_are_those_that_were_once_computed() {
        // Computed apart in Python, each operation in f64 and rounded to f32 by struct.pack("<f", x), with
        // round(), which takes halves to the even integer.
        let layout = layout("flatten dense");
        let values: Vec<f32> = (0..layout.len()).map(|at| (at as f32 * 0.37) % 1.0 - 0.5).collect();
        let rounded = rounded(&layout, &values);
        let hash = rounded.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, value| {
            (hash ^ u64::from(value.to_bits())).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, 0x9dcc_0b21_6e2f_9f88, "{hash:#x}");
    }
}
