mod kernels;

use super::*;
use crate::engine::op::testing::{check_gradients, variable};
use crate::engine::op::to_vec;

fn apply(x: &Tensor, w: &Tensor, b: &Tensor, relu: bool, pool: bool) -> Result<Tensor> {
    x.apply_op3(w, b, Conv::new(relu, pool, true))
}

/// The definition, one output value at a time, in f64: convolution, bias, ReLU, then pooling.
fn reference(geometry: &Geometry, x: &[f32], w: &[f32], b: &[f32]) -> Vec<f64> {
    let (rows, columns) = geometry.map();
    let Geometry { n, height, width, inputs, outputs, kernel_h, kernel_w, relu, pool } = *geometry;
    let value = |i: usize, row: usize, column: usize, output: usize| {
        let mut sum = f64::from(b[output]);
        for input in 0..inputs {
            for (ky, kx) in (0..kernel_h).flat_map(|ky| (0..kernel_w).map(move |kx| (ky, kx))) {
                let at_x = ((i * height + row + ky) * width + column + kx) * inputs + input;
                let at_w = ((output * inputs + input) * kernel_h + ky) * kernel_w + kx;
                sum += f64::from(x[at_x]) * f64::from(w[at_w]);
            }
        }
        if relu { sum.max(0.0) } else { sum }
    };
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

#[test]
fn outputs_equal_the_definition() {
    for shape in SHAPES {
        let [x, w, b] = operands(shape);
        for (relu, pool) in STAGES {
            let geometry = Geometry::of(x.shape(), w.shape(), b.shape(), relu, pool).unwrap();
            let flat = |t: &Tensor| to_vec(t).unwrap();
            let want = reference(&geometry, &flat(&x), &flat(&w), &flat(&b));
            let got = flat(&apply(&x, &w, &b, relu, pool).unwrap());
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(want) {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{shape:?}: {got} is not {want}");
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    for shape in SHAPES {
        let [x, w, b] = operands(shape);
        for (relu, pool) in STAGES {
            check_gradients(&[&x, &w, &b], || apply(&x, &w, &b, relu, pool));
        }
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
    let grads = apply(&x, &w, &b, true, true).unwrap().sum_all().unwrap().backward().unwrap();
    let dx = to_vec(grads.get(x.as_tensor()).unwrap()).unwrap();
    assert_eq!(dx, [1., 0., 1., 0., 0., 0., 0., 0., 1., 0., 1., 0., 0., 0., 0., 0.]);
}

#[test]
fn rows_that_pooling_discards_get_no_gradient() {
    let [x, w, b] = operands([1, 5, 5, 1, 1, 1, 1]);
    let grads = apply(&x, &w, &b, true, true).unwrap().sum_all().unwrap().backward().unwrap();
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
        assert!(to_vec(&apply(&x, &w, &b, true, pool).unwrap()).unwrap().iter().any(|v| v.is_nan()));
    }
}

#[test]
fn shapes_that_do_not_fit_are_an_error() {
    for shape in [[1, 2, 2, 1, 1, 3, 3], [1, 3, 3, 1, 1, 3, 3]] {
        let [x, w, b] = operands(shape);
        assert!(apply(&x, &w, &b, true, true).is_err(), "{shape:?}");
    }
}
