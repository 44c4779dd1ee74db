//! The fast paths against the plain one, with every instruction set that this machine has.
//!
//! Between instruction sets our own kernels give equal bits. Against the plain path, whose matrix products
//! add in another order, errors stay below [`TOLERANCE`] of the largest magnitude.

use super::*;
use crate::engine::op::testing::noise;
use pulp::Arch;

/// A sum of 576 products in another order: about 24 roundings of 6e-8, several times over.
const TOLERANCE: f32 = 1e-5;

/// [n, h, w, in, out, kh, kw] that a fast path computes, at least one way.
const FAST: [[usize; 7]; 9] = [
    [1, 28, 28, 1, 32, 3, 3],
    [3, 9, 7, 1, 16, 3, 3],
    [2, 13, 13, 32, 64, 3, 3],
    [7, 5, 5, 64, 64, 3, 3],
    [2, 6, 9, 16, 48, 3, 2],
    [2, 7, 5, 3, 16, 2, 2],
    [2, 8, 8, 16, 5, 3, 3],
    [1, 4, 4, 48, 16, 1, 1],
    [1, 9, 8, 80, 16, 2, 1],
];

fn instruction_sets() -> Vec<Arch> {
    let mut sets = vec![Arch::Scalar, Arch::new()];
    #[cfg(target_arch = "x86_64")]
    // Where `new` chose AVX-512.
    sets.extend(pulp::x86::V3::try_new().map(Arch::V3));
    sets
}

/// Random operands; `bias` is added to every bias, to open or close every ReLU.
struct Case {
    geometry: Geometry,
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
}

impl Case {
    fn new(
        [n, height, width, inputs, outputs, kernel_h, kernel_w]: [usize; 7],
        pool: bool,
        bias: f32,
    ) -> Self {
        let geometry = Geometry {
            n,
            height,
            width,
            inputs,
            outputs,
            kernel_h,
            kernel_w,
            stride: 1,
            padding: 0,
            groups: 1,
            relu: true,
            pool,
        };
        Self::of(geometry, bias)
    }

    fn of(geometry: Geometry, bias: f32) -> Self {
        let Geometry { n, height, width, inputs, outputs, .. } = geometry;
        let x = noise(1, n * height * width * inputs);
        let w = noise(2, outputs * geometry.patch());
        let b = noise(3, outputs).iter().map(|v| v + bias).collect();
        Self { geometry, x, w, b }
    }

    fn pass(&self) -> Forward<'_> {
        Forward { geometry: &self.geometry, x: &self.x, w: &self.w, b: &self.b }
    }

    fn forward(&self, arch: Arch) -> Output {
        forward_on(arch, self.pass())
    }

    fn backward_pass<'a>(&'a self, codes: &'a [u32], grad: &'a [f32], input_gradient: bool) -> Backward<'a> {
        Backward { geometry: &self.geometry, x: &self.x, w: &self.w, codes, grad, input_gradient }
    }

    fn backward(&self, arch: Arch, codes: &[u32], input_gradient: bool) -> Gradients {
        backward_on(arch, self.backward_pass(codes, &self.grad(), input_gradient))
    }

    /// A gradient of the output.
    fn grad(&self) -> Vec<f32> {
        let (rows, columns) = self.geometry.out();
        noise(4, self.geometry.n * rows * columns * self.geometry.outputs)
    }
}

fn cases() -> impl Iterator<Item = Case> {
    FAST.into_iter().flat_map(|shape| {
        let biases = [0.0, 1e3, -1e3].into_iter();
        biases.flat_map(move |bias| [true, false].map(|pool| Case::new(shape, pool, bias)))
    })
}

fn assert_close(what: &str, geometry: &Geometry, got: &[f32], want: &[f32]) {
    let largest = want.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    assert_eq!(got.len(), want.len(), "{what} of {geometry:?}");
    for (got, want) in got.iter().zip(want) {
        let error = (got - want).abs();
        assert!(error <= TOLERANCE * largest, "{what} of {geometry:?}: {got} is not {want}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn outputs_equal_the_plain_paths() {
    for case in cases() {
        let Output { y: want, codes: want_codes } = plain::forward(case.pass());
        for arch in instruction_sets() {
            let Output { y, codes } = case.forward(arch);
            assert_close("y", &case.geometry, &y, &want);
            // Two values of a window can be so close that the order of the sums decides.
            let others = codes.iter().zip(&want_codes).filter(|(got, want)| got != want).count();
            assert!(others * 500 <= codes.len(), "{:?}: {others} codes differ", case.geometry);
        }
    }
}

#[test]
fn gradients_equal_the_plain_paths() {
    for case in cases() {
        let codes = case.forward(Arch::new()).codes;
        let want = plain::backward(case.backward_pass(&codes, &case.grad(), true));
        for (arch, input_gradient) in instruction_sets().into_iter().flat_map(|a| [(a, true), (a, false)]) {
            let got = case.backward(arch, &codes, input_gradient);
            assert_close("dw", &case.geometry, &got.w, &want.w);
            assert_close("db", &case.geometry, &got.b, &want.b);
            assert_eq!(got.x.is_some(), input_gradient);
            if let (Some(got), Some(want)) = (got.x, &want.x) {
                assert_close("dx", &case.geometry, &got, want);
            }
        }
    }
}

#[test]
fn bits_are_equal_on_every_instruction_set() {
    for case in cases().chain(general()) {
        let geometry = &case.geometry;
        let output = case.forward(Arch::Scalar);
        let input_gradient = !single::fits(geometry);
        let gradients = case.backward(Arch::Scalar, &output.codes, input_gradient);
        for arch in instruction_sets() {
            assert_eq!(case.forward(arch), output, "{geometry:?}");
            let other = case.backward(arch, &output.codes, input_gradient);
            assert_eq!(bits(&other.w), bits(&gradients.w), "{geometry:?}");
            assert_eq!(bits(&other.b), bits(&gradients.b), "{geometry:?}");
            assert_eq!(other.x.as_deref().map(bits), gradients.x.as_deref().map(bits), "{geometry:?}");
        }
    }
}

/// Convolutions of every path with strides, padding and groups, each with and without ReLU and pooling.
fn general() -> impl Iterator<Item = Case> {
    // [n, h, w, in, out, kh, kw, stride, padding, groups]
    const GENERAL: [[usize; 10]; 24] = [
        [2, 8, 8, 16, 16, 3, 3, 1, 1, 1],
        [1, 24, 17, 16, 16, 3, 3, 1, 1, 1],
        [2, 5, 5, 16, 32, 3, 3, 1, 2, 1],
        [3, 7, 9, 32, 16, 3, 3, 1, 1, 1],
        [1, 6, 5, 16, 48, 3, 3, 1, 2, 1],
        [1, 6, 6, 16, 16, 3, 3, 1, 3, 1],
        [2, 9, 8, 3, 16, 3, 3, 1, 1, 1],
        [2, 28, 28, 1, 6, 5, 5, 1, 0, 1],
        [2, 12, 12, 6, 16, 5, 5, 1, 0, 1],
        [1, 32, 33, 3, 4, 3, 3, 1, 1, 1],
        [2, 9, 12, 16, 32, 3, 3, 2, 1, 1],
        [2, 10, 10, 5, 7, 3, 3, 2, 1, 1],
        [3, 8, 9, 16, 32, 1, 1, 2, 0, 1],
        [3, 8, 9, 16, 32, 1, 1, 1, 0, 1],
        [1, 11, 10, 7, 3, 2, 5, 3, 2, 1],
        [1, 9, 9, 2, 3, 2, 2, 3, 0, 1],
        [1, 5, 6, 2, 3, 1, 2, 4, 3, 1],
        [1, 5, 5, 70, 20, 3, 3, 1, 1, 1],
        [1, 6, 7, 64, 64, 3, 3, 2, 1, 1],
        [1, 5, 5, 4, 600, 3, 3, 1, 1, 1],
        [2, 9, 8, 32, 32, 3, 3, 1, 1, 32],
        [2, 9, 8, 20, 20, 3, 3, 2, 1, 20],
        [1, 9, 8, 6, 12, 5, 5, 1, 2, 6],
        [1, 9, 8, 8, 12, 3, 3, 1, 1, 4],
    ];
    GENERAL.into_iter().flat_map(|sizes| {
        let [n, height, width, inputs, outputs, kernel_h, kernel_w, stride, padding, groups] = sizes;
        super::STAGES.into_iter().map(move |(relu, pool)| {
            let geometry = Geometry {
                n,
                height,
                width,
                inputs,
                outputs,
                kernel_h,
                kernel_w,
                stride,
                padding,
                groups,
                relu,
                pool,
            };
            Case::of(geometry, 0.1)
        })
    })
}

#[test]
fn strides_padding_and_groups_equal_the_plain_path() {
    for case in general() {
        let geometry = &case.geometry;
        let want = plain::forward(case.pass());
        let gradients = plain::backward(case.backward_pass(&want.codes, &case.grad(), true));
        for arch in instruction_sets() {
            let got = case.forward(arch);
            assert_close("y", geometry, &got.y, &want.y);
            assert_eq!(got.codes.len(), want.codes.len(), "{geometry:?}");
            for input_gradient in [true, false] {
                let got = case.backward(arch, &want.codes, input_gradient);
                assert_close("dw", geometry, &got.w, &gradients.w);
                assert_close("db", geometry, &got.b, &gradients.b);
                if input_gradient {
                    assert_close("dx", geometry, &got.x.unwrap(), gradients.x.as_ref().unwrap());
                }
            }
        }
    }
}

#[test]
fn sums_of_the_dense_path_are_the_plain_ones_bit_for_bit() {
    for case in general().filter(|case| dense::fits(&case.geometry)) {
        let geometry = &case.geometry;
        let want = plain::forward(case.pass());
        let grad = case.grad();
        let pass = case.backward_pass(&want.codes, &grad, true);
        let gradients = plain::backward(pass);
        for arch in instruction_sets() {
            let output = dense::forward(arch, case.pass());
            let got = dense::backward(arch, pass);
            assert_eq!(bits(&got.b), bits(&gradients.b), "{geometry:?}");
            if !dense::is_winograd(geometry) {
                assert_eq!(output, want, "{geometry:?}");
                assert_eq!(bits(&got.w), bits(&gradients.w), "{geometry:?}");
                assert_eq!(got.x.as_deref().map(bits), gradients.x.as_deref().map(bits), "{geometry:?}");
            }
        }
    }
}

#[test]
fn paper_without_ink_is_computed_as_the_rest() {
    for weight in [0.5, f32::INFINITY] {
        let mut case = Case::new(FAST[0], true, 0.0);
        case.w[4] = weight;
        // Whole windows without ink, at the edges and beside ink.
        for (at, pixel) in case.x.iter_mut().enumerate() {
            let row = at / 28;
            let column = at % 28;
            *pixel = if row < 7 || column > 16 || (9..14).contains(&column) { 0.0 } else { *pixel };
        }
        let Output { y: want, codes: want_codes } = plain::forward(case.pass());
        for arch in instruction_sets() {
            let Output { y, codes } = case.forward(arch);
            let equal =
                |(got, want): (&f32, &f32)| (got - want).abs() < TOLERANCE || got.to_bits() == want.to_bits();
            let nan = |(got, want): (&f32, &f32)| got.is_nan() && want.is_nan();
            assert!(y.iter().zip(&want).all(|pair| equal(pair) || nan(pair)), "weight {weight}");
            if weight.is_finite() {
                assert_eq!(codes, want_codes);
                let got = case.backward(arch, &codes, false);
                let want = plain::backward(case.backward_pass(&codes, &case.grad(), false));
                assert_close("dw", &case.geometry, &got.w, &want.w);
                assert_close("db", &case.geometry, &got.b, &want.b);
            }
        }
    }
}

#[test]
fn a_not_a_number_goes_wherever_the_plain_path_sends_it() {
    for mut case in cases() {
        let middle = case.x.len() / 2;
        case.x[middle] = f32::NAN;
        let want = plain::forward(case.pass()).y;
        for arch in instruction_sets() {
            let Output { y, codes } = case.forward(arch);
            assert!(
                y.iter().zip(&want).all(|(got, want)| got.is_nan() == want.is_nan()),
                "{:?}",
                case.geometry
            );
            assert!(y.iter().zip(&codes).all(|(y, &code)| !y.is_nan() || code != CLOSED));
            if y.iter().any(|v| v.is_nan()) {
                assert!(
                    case.backward(arch, &codes, false).w.iter().any(|v| v.is_nan()),
                    "{:?}",
                    case.geometry
                );
            }
        }
    }
}
