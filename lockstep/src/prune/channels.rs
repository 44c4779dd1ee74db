//! Takes whole channels out of a network, which is smaller and faster for it without further ado.
//!
//! 1. Of each convolution and dense layer but the last, the outputs whose weights have the smallest sum of
//!    absolute values go (Li et al. 2017, "Pruning Filters for Efficient ConvNets").
//! 2. The layers behind them lose the inputs that came from there: weights, and the norms' scales and shifts.
//! 3. Branches that are added must keep the same channels, and groups their sizes: networks with those are
//!    refused.

use common::checkpoint::Model;
use common::model::architecture::{Architecture, Layers, ModelError};
use common::model::infer::Shape;
use common::model::layer::{Convolution, Layer};

/// Why channels can't be taken out of a network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum ChannelsError {
    /// A layer ties channels together.
    #[error(
        "layer {number}, {layer}, ties channels together, so none can be taken out; --prune takes single weights"
    )]
    Tied {
        /// Position of the layer, from 1.
        number: usize,
        layer: String,
    },
    /// The smaller network is none.
    #[error("the smaller network is not valid: {0}")]
    Network(#[from] ModelError),
}

/// The model without a share of the outputs of each convolution and dense layer but the last; one stays at
/// least.
///
/// # Errors
/// When a layer ties channels together.
pub fn without(model: &Model, share: f64) -> Result<Model, ChannelsError> {
    let layers = model.architecture.layers().as_slice();
    let last = layers.iter().rposition(|layer| matches!(layer, Layer::Conv(_) | Layer::Dense { .. }));
    let mut smaller =
        Smaller { model, kept: (0..model.architecture.input().channels()).collect(), tensors: Vec::new() };
    let mut new_layers = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let share = if Some(at) == last { 0.0 } else { share };
        new_layers.push(smaller.layer(at, *layer, share)?);
    }
    let architecture = Architecture::new(model.architecture.input(), Layers::new(new_layers)?)?;
    smaller.tensors.sort_unstable_by_key(|(place, _)| *place);
    let params = smaller.tensors.into_iter().flat_map(|(_, values)| values).collect();
    Ok(Model { architecture, params, ..model.clone() })
}

struct Smaller<'a> {
    model: &'a Model,
    /// The channels of the values between two layers that are left, ascending.
    kept: Vec<usize>,
    /// Tensors by their place in the layout.
    tensors: Vec<(usize, Vec<f32>)>,
}

impl Smaller<'_> {
    fn layer(&mut self, at: usize, layer: Layer, share: f64) -> Result<Layer, ChannelsError> {
        let input = self.model.architecture.shapes()[at];
        Ok(match layer {
            Layer::Conv(conv) if conv.groups == 1 => {
                let outputs = self.outputs(at, input.channels(), share);
                Layer::Conv(Convolution { outputs, ..conv })
            }
            Layer::Dense { outputs } => {
                let kept = self.outputs(at, input.len(), share);
                Layer::Dense { outputs: outputs.map(|_| kept) }
            }
            Layer::BatchNorm | Layer::LayerNorm => {
                for &place in self.model.architecture.places(at) {
                    let values = self.tensor(place);
                    let values = self.kept.iter().map(|&channel| values[channel]).collect();
                    self.tensors.push((place, values));
                }
                layer
            }
            Layer::Flatten => {
                if let Shape::Image { height, width, .. } = input {
                    let pixels = height * width;
                    let values = |&channel: &usize| channel * pixels..(channel + 1) * pixels;
                    self.kept = self.kept.iter().flat_map(values).collect();
                }
                layer
            }
            Layer::MaxPool(_) | Layer::AvgPool(_) | Layer::GlobalAvgPool => layer,
            Layer::Activation(_) | Layer::Dropout { .. } => layer,
            Layer::Conv(_) | Layer::GroupNorm { .. } | Layer::Residual | Layer::Shortcut | Layer::Add => {
                return Err(ChannelsError::Tied { number: at + 1, layer: layer.to_string() });
            }
        })
    }

    /// Keeps some outputs of a layer with so many inputs, and returns how many.
    fn outputs(&mut self, at: usize, inputs: usize, share: f64) -> usize {
        let places = self.model.architecture.places(at);
        let weights = self.tensor(places[0]);
        let outputs = self.model.architecture.shapes()[at + 1].channels();
        let taps = weights.len() / (outputs * inputs);
        let kept = largest(weights.chunks_exact(inputs * taps), share);
        let kernel = |&output: &usize| &weights[output * inputs * taps..(output + 1) * inputs * taps];
        let input = |kernel: &[f32]| {
            let taps = |&input: &usize| kernel[input * taps..(input + 1) * taps].to_vec();
            self.kept.iter().flat_map(taps).collect::<Vec<f32>>()
        };
        let smaller = kept.iter().map(kernel).flat_map(input).collect();
        self.tensors.push((places[0], smaller));
        if let Some(&bias) = places.get(1) {
            let values = self.tensor(bias);
            self.tensors.push((bias, kept.iter().map(|&output| values[output]).collect()));
        }
        self.kept = kept;
        self.kept.len()
    }

    fn tensor(&self, place: usize) -> &[f32] {
        let (_, range) =
            self.model.architecture.layout().iter().nth(place).expect("a layer's tensor is laid out");
        &self.model.params[range]
    }
}

/// The outputs that stay, ascending: without a share of them, those of the smallest sums of absolute weights.
fn largest<'a>(kernels: impl Iterator<Item = &'a [f32]>, share: f64) -> Vec<usize> {
    let sums: Vec<f64> =
        kernels.map(|kernel| kernel.iter().map(|weight| f64::from(weight.abs())).sum()).collect();
    let mut outputs: Vec<usize> = (0..sums.len()).collect();
    outputs.sort_by(|&one, &other| sums[other].total_cmp(&sums[one]));
    let gone = (share * sums.len() as f64).round() as usize;
    outputs.truncate(sums.len().saturating_sub(gone).max(1));
    outputs.sort_unstable();
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers;
    use crate::export::tests::model;
    use common::data::samples::Samples;
    use std::num::NonZeroUsize;

    #[test]
    fn channels_of_zeros_change_no_logits_when_they_go() {
        let layers = "conv(6,3,padding=1) batchnorm relu maxpool(2) conv(4,3,bias=false) batchnorm relu avgpool(2) \
                      dropout(0.5) flatten dense(10) tanh dense";
        let mut model = model(2, layers, "unit");
        // Half of the outputs give nothing: weights, biases, scales and shifts of 0.
        let layout: Vec<_> =
            model.architecture.layout().iter().map(|(spec, range)| (spec.clone(), range)).collect();
        for (spec, range) in
            layout.iter().filter(|(spec, _)| !spec.name.starts_with("fc2") && !spec.name.contains("running"))
        {
            let outputs = spec.shape[0];
            let part = range.len() / outputs;
            for output in (0..outputs).filter(|output| output % 2 == 1) {
                model.params[range.start + output * part..][..part].fill(0.0);
            }
        }
        let smaller = without(&model, 0.5).unwrap();
        let text = smaller.architecture.layers().to_string();
        assert!(
            text.starts_with("conv(3,3,padding=1) batchnorm relu maxpool(2) conv(2,3,bias=false)"),
            "{text}"
        );
        assert!(text.ends_with("flatten dense(5) tanh dense"), "{text}");
        let spec = model.architecture.input();
        let pixels = (0..8 * spec.image_bytes()).map(|at| (at * 37 % 251) as u8).collect();
        let samples = Samples::new(spec, pixels, vec![0; 8]).unwrap();
        let logits = |model| answers::logits(model, &samples, NonZeroUsize::MIN).unwrap();
        let difference =
            logits(&model).iter().zip(logits(&smaller)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-4, "{difference}");
    }

    #[test]
    fn tied_channels_are_refused_and_one_stays() {
        let error = without(&model(1, "conv(4,3) residual relu add flatten dense", "unit"), 0.5).unwrap_err();
        assert!(error.to_string().starts_with("layer 2, residual, ties channels together"), "{error}");
        let smaller = without(&model(1, "conv(4,3) relu flatten dense", "unit"), 1.0).unwrap();
        assert_eq!(smaller.architecture.layers().to_string(), "conv(1,3) relu flatten dense");
    }
}
