//! Fusion: from a network's description to its executable layers. Neighbours that one of our kernels computes
//! become one layer.
//!
//! | in the description | computed as |
//! |---|---|
//! | conv, with relu, maxpool(2), or both in either order behind it | one convolution operator |
//! | dense, with relu behind it | one dense operator |
//! | flatten, maxpool, relu elsewhere | a layer of their own |
//! | all else | Candle's operators and autograd |

use super::layer::candle::{CandleLayer, gelu, layer_norm};
use super::layer::flatten::Flatten;
use super::layer::max_pool::MaxPool;
use super::layer::operator::Operator;
use super::layer::relu::Relu;
use super::op::conv::{Conv, Settings};
use super::op::linear::Linear;
use common::model::architecture::Architecture;
use common::model::layer::Layer;

/// A layer that can be computed.
pub(super) type Computed = Box<dyn super::layer::Layer>;

/// The layers of a network from input to output, and the number of leading layers before the first trained
/// one.
pub(super) fn build(model: &Architecture) -> (Vec<Computed>, usize) {
    let layers = model.layers().as_slice();
    let mut built = Vec::new();
    let mut untrained = 0;
    let mut at = 0;
    let mut trained_before = false;
    while at < layers.len() {
        let places = model.places(at);
        let (layer, length) = fused(&layers[at..], places, trained_before);
        built.push(layer);
        trained_before |= !places.is_empty();
        untrained += usize::from(!trained_before);
        at += length;
    }
    (built, untrained)
}

/// The executable layer for the first of `layers`, and the number of layers that it computes. `places` are
/// the indices of the first one's tensors among the network's parameters.
fn fused(layers: &[Layer], places: &[usize], input_gradient: bool) -> (Computed, usize) {
    const POOL: Layer = Layer::MaxPool { window: 2 };
    let next = |at: usize| layers.get(at).copied();
    match (layers[0], places) {
        (Layer::Conv { .. }, &[weight, bias]) => {
            let (relu, pool, length) = match (next(1), next(2)) {
                (Some(Layer::Relu), Some(POOL)) | (Some(POOL), Some(Layer::Relu)) => (true, true, 3),
                (Some(Layer::Relu), _) => (true, false, 2),
                (Some(POOL), _) => (false, true, 2),
                _ => (false, false, 1),
            };
            let op = Conv::new(Settings { relu, pool, input_gradient, ..Settings::default() });
            (Box::new(Operator::new(op, [weight, bias])), length)
        }
        (Layer::Dense { .. }, &[weight, bias]) => {
            let relu = next(1) == Some(Layer::Relu);
            let op = Linear::new(relu, input_gradient);
            (Box::new(Operator::new(op, [weight, bias])), 1 + usize::from(relu))
        }
        (Layer::MaxPool { window }, _) => (Box::new(MaxPool::new(window)), 1),
        (Layer::Flatten, _) => (Box::new(Flatten::default()), 1),
        (Layer::Relu, _) => (Box::new(Relu::default()), 1),
        (Layer::Gelu, _) => (Box::new(CandleLayer::new(gelu, places, input_gradient)), 1),
        (Layer::LayerNorm, _) => (Box::new(CandleLayer::new(layer_norm, places, input_gradient)), 1),
        (Layer::Conv { .. } | Layer::Dense { .. }, _) => unreachable!("both train a weight and a bias"),
    }
}
