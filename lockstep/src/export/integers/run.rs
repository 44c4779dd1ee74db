//! Computes a network with the functions that an exported program has, to compare it with `int8::run`.

use super::buffers::Buffers;
use super::kernels::{self, Layer};
use crate::int8::plan::{Geometry, Op};
use crate::int8::quantize::{Factor, Quantized};
use common::data::samples::Samples;

/// Logits of samples, `[n, classes]`, in steps.
pub(super) fn logits(network: &Quantized, buffers: &Buffers, samples: &Samples) -> Vec<i32> {
    let classes = samples.spec().classes();
    let mut logits = vec![0; samples.len() * classes];
    for (index, logits) in logits.chunks_exact_mut(classes).enumerate() {
        let mut memory: Vec<Vec<u8>> = buffers.bytes.iter().map(|&bytes| vec![0; bytes]).collect();
        let image = samples.image(index);
        if let Some(buffer) = buffers.of[0] {
            let bytes = &mut memory[buffer][..image.len()];
            kernels::planar(image, bytes, samples.spec().channels());
        }
        for at in 0..network.plan.steps.len() {
            compute(network, buffers, at, image, &mut memory, logits);
        }
    }
    logits
}

fn compute(
    network: &Quantized,
    buffers: &Buffers,
    at: usize,
    image: &[u8],
    memory: &mut [Vec<u8>],
    logits: &mut [i32],
) {
    let values = &network.plan.values;
    let step = &network.plan.steps[at];
    let [from, to] = [values[step.inputs[0]], values[at + 1]];
    let zero = |value: usize| network.scales[value].zero as u8;
    let own = buffers.of[at + 1];
    // An output lies in another buffer than its inputs.
    let mut taken = own.map(|buffer| std::mem::take(&mut memory[buffer]));
    let input = |value: usize| {
        buffers.of[value].map_or(image, |buffer| &memory[buffer][..values[value].iter().product::<usize>()])
    };
    let x = input(step.inputs[0]);
    let y = taken.as_mut().map(|bytes| &mut bytes[..to.iter().product::<usize>()]);
    match (&step.op, y) {
        (Op::Sum { geometry, weights, relu }, y) => {
            let [multiplier, shift] = [0, 1].map(|part| {
                let of = |factor: &Factor| [factor.multiplier, factor.shift.into()][part];
                weights.factors.iter().map(of).collect::<Vec<_>>()
            });
            let shift: Vec<u8> = shift.into_iter().map(|shift| shift as u8).collect();
            let zeros = [zero(step.inputs[0]), zero(at + 1)];
            let layer = Layer {
                input: from,
                output: to,
                window: window(*geometry),
                groups: geometry.groups,
                weight: &weights.weights,
                bias: &weights.biases,
                multiplier: &multiplier,
                shift: &shift,
                zeros,
                relu: *relu,
            };
            match y {
                Some(y) => kernels::sums(x, y, &layer),
                None => kernels::logits_of(x, logits, &layer),
            }
        }
        (Op::Max(geometry), Some(y)) => kernels::max_pool(x, y, (from, to), window(*geometry)),
        (Op::Mean(geometry), Some(y)) => {
            let Factor { multiplier, shift } = network.mean_factor(at, *geometry);
            let zeros = [zero(step.inputs[0]), zero(at + 1)];
            kernels::mean_pool(x, y, (from, to), window(*geometry), zeros, (multiplier, shift));
        }
        (Op::Function(_), Some(y)) => {
            kernels::looked_up(x, y, &network.table(at).expect("a function has a table"));
        }
        (Op::Add { relu }, Some(y)) => {
            let zeros = [zero(step.inputs[0]), zero(step.inputs[1]), zero(at + 1)];
            let low = if *relu { zeros[2] } else { 0 };
            kernels::add((x, input(step.inputs[1])), y, zeros, network.add_factors(at), low);
        }
        (_, None) => unreachable!("only a sum has no buffer"),
    }
    if let (Some(buffer), Some(bytes)) = (own, taken) {
        if at + 1 == network.plan.steps.len() {
            kernels::as_logits(&bytes, logits, zero(at + 1));
        }
        memory[buffer] = bytes;
    }
}

/// Rows, columns, steps and places around the image.
pub(super) fn window(Geometry { kernel: [rows, columns], stride, padding, .. }: Geometry) -> [usize; 4] {
    [rows, columns, stride, padding]
}
