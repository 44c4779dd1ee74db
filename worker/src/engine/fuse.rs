//! Fusion: from a network's description to its executable layers. Neighbours that one of our kernels computes
//! become one layer.
//!
//! | in the description | computed as |
//! |---|---|
//! | conv, with relu, maxpool(2), or both in either order behind it | one convolution operator |
//! | dense, with relu behind it | one dense operator |
//! | batchnorm, with relu behind it | one layer |
//! | residual to add, with relu behind it | one layer of two chains |
//! | all else | a layer of its own |

use super::chain::Chain;
use super::layer::activation::Function;
use super::layer::avg_pool::{AvgPool, GlobalAvgPool};
use super::layer::batch_norm::BatchNorm;
use super::layer::dropout::Dropout;
use super::layer::flatten::Flatten;
use super::layer::group_norm::GroupNorm;
use super::layer::layer_norm::LayerNorm;
use super::layer::max_pool::MaxPool;
use super::layer::operator::Operator;
use super::layer::residual::Residual;
use super::op::conv::{Conv, Settings};
use super::op::linear::Linear;
use common::model::architecture::Architecture;
use common::model::branch::Branches;
use common::model::layer::{Convolution, Layer, Window};
use std::ops::Range;

/// A layer that can be computed.
pub(super) type Computed = Box<dyn super::layer::Layer>;

/// The chain of the layers at these places of a network. `is_trained` says whether anything before them is
/// trained.
pub(super) fn chain(model: &Architecture, places: Range<usize>, is_trained: bool) -> Chain {
    let mut layers = Vec::new();
    let mut without_gradient = 0;
    let mut is_trained = is_trained;
    let mut at = places.start;
    while at < places.end {
        let (layer, length) = fused(model, at..places.end, is_trained);
        layers.push(layer);
        is_trained |= (at..at + length).any(|at| !model.places(at).is_empty());
        without_gradient += usize::from(!is_trained);
        at += length;
    }
    Chain::new(layers, without_gradient)
}

/// The executable layer for the first of the layers at these places, and the number of layers that it
/// computes.
fn fused(model: &Architecture, places: Range<usize>, input_gradient: bool) -> (Computed, usize) {
    let at = places.start;
    let layers = &model.layers().as_slice()[..places.end];
    let relu_follows = layers.get(at + 1) == Some(&Layer::RELU);
    let with_relu = 1 + usize::from(relu_follows);
    let own = model.places(at);
    let weight_and_bias = || [own[0], own[1]];
    match layers[at] {
        Layer::Conv(conv) => {
            let (relu, pool) = behind_conv(&layers[at + 1..]);
            let Convolution { stride, padding, groups, .. } = conv;
            let op = Conv::new(Settings { stride, padding, groups, relu, pool, input_gradient });
            let length = 1 + usize::from(relu) + usize::from(pool);
            (Box::new(Operator::new(op, own[0], own.get(1).copied())), length)
        }
        Layer::Dense { .. } => {
            let op = Linear::new(relu_follows, input_gradient);
            (Box::new(Operator::new(op, own[0], Some(own[1]))), with_relu)
        }
        Layer::BatchNorm => {
            let own = [own[0], own[1], own[2], own[3]];
            (Box::new(BatchNorm::new(own, relu_follows, input_gradient)), with_relu)
        }
        Layer::Residual => {
            let Branches { body, shortcut, add } = Branches::of(layers, at);
            let [body, shortcut] = [body, shortcut].map(|places| chain(model, places, input_gradient));
            let relu = layers.get(add + 1) == Some(&Layer::RELU);
            let block = Residual::new(body, shortcut, relu, input_gradient);
            (Box::new(block), add + 1 + usize::from(relu) - at)
        }
        Layer::GroupNorm { groups } => {
            (Box::new(GroupNorm::new(groups, weight_and_bias(), input_gradient)), 1)
        }
        Layer::LayerNorm => (Box::new(LayerNorm::new(weight_and_bias(), input_gradient)), 1),
        Layer::MaxPool(window) => (Box::new(MaxPool::new(window)), 1),
        Layer::AvgPool(window) => (Box::new(AvgPool::new(window)), 1),
        Layer::GlobalAvgPool => (Box::new(GlobalAvgPool::default()), 1),
        Layer::Flatten => (Box::new(Flatten::default()), 1),
        Layer::Activation(activation) => (Box::new(Function::new(activation)), 1),
        Layer::Dropout { rate } => (Box::new(Dropout::new(rate, at)), 1),
        Layer::Shortcut | Layer::Add => unreachable!("a residual before them has taken them"),
    }
}

/// Whether a ReLU and a pooling follow a convolution, in either order, that its operator computes.
fn behind_conv(following: &[Layer]) -> (bool, bool) {
    const POOL: Layer = Layer::MaxPool(Window { window: 2, stride: 2 });
    match following {
        [Layer::RELU, POOL, ..] | [POOL, Layer::RELU, ..] => (true, true),
        [Layer::RELU, ..] => (true, false),
        [POOL, ..] => (false, true),
        _ => (false, false),
    }
}
