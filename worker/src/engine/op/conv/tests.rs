mod kernels;

use super::*;
use crate::engine::op::testing::{check_gradients, variable};
use crate::engine::op::to_vec;

fn apply(x: &Tensor, w: &Tensor, b: &Tensor, settings: Settings) -> Result<Tensor> {
    x.apply_op3(w, b, Conv::new(settings))
}

/// ReLU and pooling behind a convolution of stride 1 without padding.
const BOTH: Settings =
    Settings { stride: 1, padding: 0, groups: 1, relu: true, pool: true, input_gradient: true };

/// The definition, one output value at a time, in f64: convolution, bias, ReLU, then pooling.
fn reference(geometry: &Geometry, x: &[f32], w: &[f32], b: &[f32]) -> Vec<f64> {
    let Geometry { n, height, width, inputs, outputs, kernel_h, kernel_w, .. } = *geometry;
    let Geometry { stride, padding, groups, relu, pool, .. } = *geometry;
    let pixel = |i: usize, row: usize, column: usize, input: usize| {
        let inside =
            (padding..height + padding).contains(&row) && (padding..width + padding).contains(&column);
        let at = || ((i * height + row - padding) * width + column - padding) * inputs + input;
        if inside { f64::from(x[at()]) } else { 0.0 }
    };
    let value = |i: usize, row: usize, column: usize, output: usize| {
        let mut sum = f64::from(b[output]);
        let first = output / (outputs / groups) * (inputs / groups);
        for input in 0..inputs / groups {
            for (ky, kx) in (0..kernel_h).flat_map(|ky| (0..kernel_w).map(move |kx| (ky, kx))) {
                let at_w = ((output * (inputs / groups) + input) * kernel_h + ky) * kernel_w + kx;
                let x = pixel(i, row * stride + ky, column * stride + kx, first + input);
                sum += x * f64::from(w[at_w]);
            }
        }
        if relu { sum.max(0.0) } else { sum }
    };
    let places = |size: usize, kernel: usize| (size + 2 * padding - kernel) / stride + 1;
    let (rows, columns) = (places(height, kernel_h), places(width, kernel_w));
    let (out_rows, out_columns) = if pool { (rows / 2, columns / 2) } else { (rows, columns) };
    let mut y = Vec::new();
    for i in 0..n {
        for (row, column) in (0..out_rows).flat_map(|r| (0..out_columns).map(move |c| (r, c))) {
            for output in 0..outputs {
                let at = |dy, dx| value(i, 2 * row + dy, 2 * column + dx, output);
                let pooled = || at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1));
                y.push(if pool { pooled() } else { value(i, row, column, output) });
            }
        }
    }
    y
}

/// Whether ReLU and pooling follow.
const STAGES: [(bool, bool); 4] = [(true, false), (true, true), (false, false), (false, true)];

/// [n, h, w, in, out, kh, kw]: odd maps, one channel, kernels that are not square.
const SHAPES: [[usize; 7]; 5] = [
    [2, 7, 7, 1, 3, 3, 3],
    [2, 13, 13, 4, 5, 3, 3],
    [1, 6, 9, 2, 2, 3, 2],
    [3, 5, 5, 2, 4, 1, 1],
    [1, 4, 4, 3, 2, 3, 3],
];

fn operands([n, h, w, inputs, out, kh, kw]: [usize; 7]) -> [candle_core::Var; 3] {
    [variable(1, &[n, h, w, inputs], 1.0), variable(2, &[out, inputs, kh, kw], 0.5), variable(3, &[out], 0.2)]
}

fn assert_is_the_definition([x, w, b]: &[&Tensor; 3], settings: Settings) {
    let geometry = Geometry::of(x.shape(), w.shape(), b.shape(), &settings).unwrap();
    let flat = |t: &Tensor| to_vec(t).unwrap();
    let want = reference(&geometry, &flat(x), &flat(w), &flat(b));
    let got = flat(&apply(x, w, b, settings).unwrap());
    assert_eq!(got.len(), want.len(), "{geometry:?}");
    for (got, want) in got.iter().zip(want) {
        assert!((f64::from(*got) - want).abs() < 1e-5, "{geometry:?}: {got} is not {want}");
    }
}

#[test]
fn outputs_equal_the_definition() {
    for shape in SHAPES {
        let [x, w, b] = operands(shape);
        for (relu, pool) in STAGES {
            assert_is_the_definition(&[x.as_tensor(), &w, &b], Settings { relu, pool, ..BOTH });
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for shape in SHAPES {
        let [x, w, b] = operands(shape);
        for (relu, pool) in STAGES {
            check_gradients(&[&x, &w, &b], || apply(&x, &w, &b, Settings { relu, pool, ..BOTH }));
        }
    }
}

/// [in, out, groups]: one group, two, depthwise with one and with two outputs for each channel.
const CHANNELS: [[usize; 3]; 5] = [[2, 3, 1], [16, 16, 1], [4, 6, 2], [4, 4, 4], [3, 6, 3]];

/// Convolutions of 9x8 images with every stride, padding, grouping and kernel, and with the stages in turn.
/// Many a stride leaves a remainder.
fn general() -> impl Iterator<Item = ([candle_core::Var; 3], Settings)> {
    let settings = (1..=3).flat_map(|stride| (0..=2).map(move |padding| (stride, padding)));
    let all = settings.flat_map(|pair| CHANNELS.map(|channels| (pair, channels)));
    let all = all.flat_map(|(pair, channels)| [[1, 1], [2, 3], [3, 3], [5, 5]].map(|k| (pair, channels, k)));
    all.enumerate().filter_map(|(index, ((stride, padding), [inputs, outputs, groups], [kh, kw]))| {
        // There are as many kernels as stages: each round of kernels the stages move on by one.
        let (relu, pool) = STAGES[(index + index / 4) % 4];
        let [_, w, b] = operands([1, 9, 8, inputs / groups, outputs, kh, kw]);
        let x = variable(1, &[1, 9, 8, inputs], 1.0);
        let settings = Settings { stride, padding, groups, relu, pool, input_gradient: true };
        let geometry = Geometry::of(x.shape(), w.shape(), b.shape(), &settings);
        geometry.is_ok().then_some(([x, w, b], settings))
    })
}

#[test]
fn strides_padding_and_groups_compute_the_definition() {
    for ([x, w, b], settings) in general() {
        assert_is_the_definition(&[x.as_tensor(), &w, &b], settings);
    }
}

#[test]
fn gradients_of_strides_padding_and_groups_equal_finite_differences() {
    for ([x, w, b], settings) in general() {
        check_gradients(&[&x, &w, &b], || apply(&x, &w, &b, settings));
    }
}

#[test]
fn of_equal_maxima_the_first_takes_the_gradient() {
    // A constant image: all four values of every window are equal.
    let x = candle_core::Var::ones((1, 4, 4, 1), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let w = variable(2, &[1, 1, 1, 1], 0.0);
    let b = variable(3, &[1], 0.0);
    let one = Tensor::ones((1, 1, 1, 1), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    w.set(&one).unwrap();
    let grads = apply(&x, &w, &b, BOTH).unwrap().sum_all().unwrap().backward().unwrap();
    let dx = to_vec(grads.get(x.as_tensor()).unwrap()).unwrap();
    assert_eq!(dx, [1., 0., 1., 0., 0., 0., 0., 0., 1., 0., 1., 0., 0., 0., 0., 0.]);
}

#[test]
fn rows_that_pooling_discards_get_no_gradient() {
    let [x, w, b] = operands([1, 5, 5, 1, 1, 1, 1]);
    let grads = apply(&x, &w, &b, BOTH).unwrap().sum_all().unwrap().backward().unwrap();
    let dx = to_vec(grads.get(x.as_tensor()).unwrap()).unwrap();
    assert!((0..5).all(|i| dx[4 * 5 + i] == 0.0 && dx[i * 5 + 4] == 0.0), "{dx:?}");
}

#[test]
fn a_not_a_number_is_not_hidden_by_relu_or_pooling() {
    let [x, w, b] = operands([1, 4, 4, 1, 1, 1, 1]);
    let mut values = to_vec(&x).unwrap();
    values[5] = f32::NAN;
    x.set(&Tensor::from_vec(values, x.shape(), x.device()).unwrap()).unwrap();
    for pool in [false, true] {
        assert!(
            to_vec(&apply(&x, &w, &b, Settings { pool, ..BOTH }).unwrap())
                .unwrap()
                .iter()
                .any(|v| v.is_nan())
        );
    }
}

#[test]
fn shapes_that_do_not_fit_are_an_error() {
    for shape in [[1, 2, 2, 1, 1, 3, 3], [1, 3, 3, 1, 1, 3, 3]] {
        let [x, w, b] = operands(shape);
        assert!(apply(&x, &w, &b, BOTH).is_err(), "{shape:?}");
    }
    let [x, w, b] = operands([1, 6, 6, 4, 4, 3, 3]);
    let wrong = [
        Settings { stride: 0, ..BOTH },
        Settings { groups: 0, ..BOTH },
        Settings { groups: 3, ..BOTH },
        Settings { groups: 2, ..BOTH },
        Settings { stride: 4, ..BOTH },
        Settings { padding: usize::MAX / 2, ..BOTH },
    ];
    for settings in wrong {
        assert!(apply(&x, &w, &b, settings).is_err(), "{settings:?}");
    }
}
