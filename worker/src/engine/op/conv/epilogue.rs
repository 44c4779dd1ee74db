//! The operations after the sums of a convolution, for whole registers: window maximum, ReLU, and the codes
//! of both.
//!
//! The rules are those of `plain`: the first of equal values wins. A NaN wins over all values and is not
//! closed, so no kernel hides one.

use super::CLOSED;
use pulp::Simd;

/// The maximum of a window's four values, and its place.
#[inline(always)]
pub(super) fn strongest<S: Simd>(simd: S, values: [S::f32s; 4]) -> (S::f32s, S::u32s) {
    let mut best = (values[0], simd.splat_u32s(0));
    for (code, &value) in (1..).zip(&values[1..]) {
        let is_nan = simd.not_m32s(simd.equal_f32s(value, value));
        let wins = simd.or_m32s(simd.greater_than_f32s(value, best.0), is_nan);
        best.0 = simd.select_f32s(wins, value, best.0);
        best.1 = simd.select_u32s(wins, simd.splat_u32s(code), best.1);
    }
    best
}

/// ReLU of `value`. The code becomes [`CLOSED`] where no gradient can pass.
#[inline(always)]
pub(super) fn relu<S: Simd>(simd: S, value: S::f32s, code: S::u32s) -> (S::f32s, S::u32s) {
    let closed = simd.less_than_or_equal_f32s(value, simd.splat_f32s(0.0));
    let value = simd.select_f32s(closed, simd.splat_f32s(0.0), value);
    (value, simd.select_u32s(closed, simd.splat_u32s(CLOSED), code))
}
