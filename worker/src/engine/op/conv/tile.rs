//! The product at the heart of the kernels: `T` rows of x times `R` registers of output channels.
//!
//! The `T · R` sums stay in registers: a step loads `R` registers of weights, broadcasts `T` values of x and
//! feeds `T · R` multiply-adds. Eight independent sums are enough to hide a multiply-add's latency, and leave
//! registers free for the operands even where there are only 16.

use pulp::Simd;

/// Values of a row that are taken between two checks of bounds.
const STEPS: usize = 16;

/// `sums += rows · weights`, value after value: rows `[len]`, weights `[len, R registers]`.
#[inline(always)]
pub(super) fn multiply<S: Simd, const R: usize, const T: usize>(
    simd: S,
    rows: [&[f32]; T],
    weights: &[f32],
    mut sums: [[S::f32s; R]; T],
) -> [[S::f32s; R]; T] {
    let (weights, last) = S::as_simd_f32s(weights).0.as_chunks::<R>().0.as_chunks::<STEPS>();
    let whole = weights.len() * STEPS;
    for (index, weights) in weights.iter().enumerate() {
        sums = steps(simd, rows, index * STEPS, weights, sums);
    }
    for (index, weights) in last.iter().enumerate() {
        sums = steps(simd, rows, whole + index, std::array::from_ref(weights), sums);
    }
    sums
}

/// `N` steps, from value `first` of each row on.
#[inline(always)]
fn steps<S: Simd, const R: usize, const T: usize, const N: usize>(
    simd: S,
    rows: [&[f32]; T],
    first: usize,
    weights: &[[S::f32s; R]; N],
    mut sums: [[S::f32s; R]; T],
) -> [[S::f32s; R]; T] {
    let values: [&[f32; N]; T] =
        std::array::from_fn(|row| rows[row][first..].first_chunk().expect("rows as long as the weights"));
    for (step, weights) in weights.iter().enumerate() {
        for (sums, values) in sums.iter_mut().zip(values) {
            let x = simd.splat_f32s(values[step]);
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum = simd.mul_add_f32s(weight, x, *sum);
            }
        }
    }
    sums
}

/// The first values of `values`, as many as `R` registers hold.
#[inline(always)]
pub(super) fn registers<S: Simd, const R: usize>(values: &[f32]) -> &[S::f32s; R] {
    S::as_simd_f32s(values).0.first_chunk().expect("as many values as R registers hold")
}
