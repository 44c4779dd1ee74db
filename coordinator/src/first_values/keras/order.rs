//! The order of a network's numbers in Keras: which of its layers are which there, and where a number is.
//!
//! 1. Keras names layers by kind and number (`conv2d`, `conv2d_1`), in the order of the model. So the first
//!    convolution there is our first one, and the same for each other kind.
//! 2. Kernels have other orders there: of a convolution (height, width, inputs, outputs), of a dense layer
//!    (inputs, outputs).
//! 3. Behind a flatten the values of an image come by height, width and channel there, by channel, height and
//!    width here. That concerns the next dense layer, and normalisations before it.

use super::super::strided::{out_of_order, row_major};
use common::model::architecture::Architecture;
use common::model::infer::Shape;
use common::model::layer::Layer;

/// Kinds of layers with variables, as Keras names them.
pub(super) const KINDS: [&str; 5] =
    ["conv2d", "dense", "batch_normalization", "layer_normalization", "group_normalization"];

/// A layer with variables, as Keras has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KerasLayer {
    /// Its place in the network's list of layers.
    pub at: usize,
    /// Its kind's name there.
    pub kind: &'static str,
    /// The image whose values it gets as a vector, by height, width and channel there.
    pub(super) flat: Option<[usize; 3]>,
    /// Whether Keras has no such layer: groups of another order of channels are other groups.
    pub has_none: bool,
}

impl KerasLayer {
    /// The layers of a network that have variables.
    #[must_use]
    pub fn all(model: &Architecture) -> Vec<Self> {
        let mut flat = None;
        let mut all = Vec::new();
        for (at, (layer, input)) in model.layers().as_slice().iter().zip(model.shapes()).enumerate() {
            let kind = match (layer, input) {
                (Layer::Conv(_), _) => "conv2d",
                (Layer::Dense { .. }, _) => "dense",
                (Layer::BatchNorm, _) => "batch_normalization",
                (Layer::LayerNorm, _) => "layer_normalization",
                (Layer::GroupNorm { .. }, _) => "group_normalization",
                (Layer::Flatten, &Shape::Image { height, width, channels }) => {
                    flat = Some([height, width, channels]);
                    continue;
                }
                _ => continue,
            };
            let has_none = flat.is_some() && matches!(layer, Layer::GroupNorm { .. });
            all.push(Self { at, kind, flat, has_none });
            if matches!(layer, Layer::Dense { .. }) {
                flat = None;
            }
        }
        all
    }

    /// The shape here of a variable of that shape there, and the view of its numbers, as shape and strides,
    /// that has our order.
    pub(super) fn ours(&self, stored: Vec<usize>) -> (Vec<usize>, (Vec<usize>, Vec<usize>)) {
        let Some(strides) = row_major(&stored) else { return (stored.clone(), (stored, Vec::new())) };
        let exchanged = |order: &[usize]| {
            let [shape, strides] =
                [&stored, &strides].map(|of| order.iter().map(|&at| of[at]).collect::<Vec<_>>());
            (shape.clone(), (shape, strides))
        };
        let is_flat = self
            .flat
            .filter(|[height, width, channels]| stored.first() == Some(&(height * width * channels)));
        match (&stored[..], is_flat) {
            (&[inputs, outputs], Some([height, width, channels])) => {
                let view = vec![outputs, channels, height, width];
                let strides = vec![1, outputs, width * channels * outputs, channels * outputs];
                (vec![outputs, inputs], (view, strides))
            }
            (&[values], Some([height, width, channels])) => {
                (vec![values], (vec![channels, height, width], vec![1, width * channels, channels]))
            }
            (&[_, _, _, _], _) => exchanged(&[3, 2, 0, 1]),
            (&[_, _], _) => exchanged(&[1, 0]),
            _ => (stored.clone(), (stored.clone(), strides)),
        }
    }

    /// A tensor of the layer as Keras stores it: the shape there, and the numbers in its order.
    ///
    /// # Panics
    /// When there are more or fewer values than the shape has.
    #[must_use]
    pub fn theirs(&self, shape: &[usize], values: &[f32]) -> (Vec<usize>, Vec<f32>) {
        let stored = match *shape {
            [outputs, inputs, height, width] => vec![height, width, inputs, outputs],
            [outputs, inputs] => vec![inputs, outputs],
            _ => shape.to_vec(),
        };
        let (_, (view, strides)) = self.ours(stored.clone());
        (stored, out_of_order(values, &view, &strides))
    }
}
