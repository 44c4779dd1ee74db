//! Computes a plan with the functions that an exported program has, to compare it with the model.

use super::kernels::{self, Window};
use super::plan::{Op, Plan, Step};
use common::data::samples::Samples;
use common::model::activation::Activation;

/// Logits of samples, `[n, classes]`.
pub(super) fn logits(plan: &Plan, samples: &Samples) -> Vec<f32> {
    let mut buffers: Vec<Vec<f32>> = plan.buffers.iter().map(|&len| vec![0.0; len]).collect();
    let mut logits = Vec::new();
    for index in 0..samples.len() {
        for step in &plan.steps {
            compute(plan, step, samples.image(index), &mut buffers);
        }
        logits.extend(&buffers[plan.output.buffer][..plan.output.len]);
    }
    logits
}

fn compute(plan: &Plan, step: &Step, image: &[u8], buffers: &mut [Vec<f32>]) {
    let Step { op, from, to } = step;
    let table = |place: usize| &plan.tables[place].values[..];
    let mut taken = std::mem::take(&mut buffers[to.buffer]);
    // Empty where the step works in place.
    let x = buffers[from.buffer].get(..from.len).unwrap_or_default();
    let y = &mut taken[..to.len];
    match *op {
        Op::Pixels { table: values, channels } => kernels::pixels(image, y, table(values), channels),
        Op::Conv { conv, weight, bias, input, output } => {
            let bias = bias.map(table).unwrap_or_default();
            let window = Window { size: conv.kernel, stride: conv.stride, padding: conv.padding };
            kernels::conv(x, y, (table(weight), bias), (input, output), window, conv.groups);
        }
        Op::MaxPool { window, input, output } => kernels::max_pool(x, y, (input, output), pool(window)),
        Op::AvgPool { window, input, output } => kernels::avg_pool(x, y, (input, output), pool(window)),
        Op::GlobalAvgPool => kernels::global_avg_pool(x, y),
        Op::Dense { weight, bias } => kernels::dense(x, y, (table(weight), table(bias))),
        Op::ScaleShift { scale, shift } => kernels::scale_shift(y, (table(scale), table(shift))),
        Op::GroupNorm { weight, bias, groups } => {
            kernels::group_norm(y, (table(weight), table(bias)), groups);
        }
        Op::LayerNorm { weight, bias } => kernels::layer_norm(y, (table(weight), table(bias))),
        Op::Activation(activation) => match activation {
            Activation::Relu => kernels::relu(y),
            Activation::LeakyRelu { slope } => kernels::leaky_relu(y, slope),
            Activation::Gelu => kernels::gelu(y),
            Activation::Silu => kernels::silu(y),
            Activation::Tanh => kernels::tanh_of(y),
            Activation::Sigmoid => kernels::sigmoid(y),
        },
        Op::Add => kernels::add(y, x),
        Op::Copy => kernels::copy(x, y),
    }
    buffers[to.buffer] = taken;
}

fn pool(window: common::model::layer::Window) -> Window {
    Window { size: window.window, stride: window.stride, padding: 0 }
}
