//! The product at the heart of the forward kernels: four rows of x times `R` registers of output channels.
//!
//! The `4 · R` sums stay in registers: a step loads `R` registers of weights, broadcasts four values of x and
//! feeds `4 · R` multiply-adds. `R` = 2 gives 8 independent sums, enough to hide a multiply-add's latency,
//! and leaves registers free for the operands even where there are only 16.

use pulp::Simd;

/// Rows of x that one product takes.
pub(super) const ROWS: usize = 4;

/// Sums of four rows of x, `R` registers of output channels each.
pub(super) type Sums<S, const R: usize> = [[<S as Simd>::f32s; R]; ROWS];

/// `sums += rows · weights`, value after value: rows `[len]`, weights `[len, R registers]`.
#[inline(always)]
pub(super) fn multiply<S: Simd, const R: usize>(
    simd: S,
    rows: [&[f32]; ROWS],
    weights: &[f32],
    sums: Sums<S, R>,
) -> Sums<S, R> {
    let [mut a, mut b, mut c, mut d] = sums;
    let rows = rows[0].iter().zip(rows[1]).zip(rows[2]).zip(rows[3]);
    let weights = S::as_simd_f32s(weights).0.as_chunks::<R>().0;
    for (w, (((&xa, &xb), &xc), &xd)) in weights.iter().zip(rows) {
        let xa = simd.splat_f32s(xa);
        let xb = simd.splat_f32s(xb);
        let xc = simd.splat_f32s(xc);
        let xd = simd.splat_f32s(xd);
        for r in 0..R {
            a[r] = simd.mul_add_f32s(w[r], xa, a[r]);
            b[r] = simd.mul_add_f32s(w[r], xb, b[r]);
            c[r] = simd.mul_add_f32s(w[r], xc, c[r]);
            d[r] = simd.mul_add_f32s(w[r], xd, d[r]);
        }
    }
    [a, b, c, d]
}

/// `values`, as many as `R` registers hold.
#[inline(always)]
pub(super) fn registers<S: Simd, const R: usize>(values: &[f32]) -> [S::f32s; R] {
    *S::as_simd_f32s(values).0.first_chunk().expect("as many values as R registers hold")
}
