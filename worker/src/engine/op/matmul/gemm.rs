//! The call of the `gemm` crate, bounds-checked: the only unsafe code of the crate.
//!
//! `gemm` chooses its instructions at run time and is called without parallelism. The safe reference is the
//! definition in [`super`], and the tests there compare the two bit for bit.

use super::{Into, View};

/// `destination [a.rows, b.columns] = a · b`, or `+=`, in gemm's order. No size is 0.
///
/// # Panics
/// When a size is 0 or the sizes do not fit.
#[allow(unsafe_code, reason = "gemm's entry point takes raw pointers; the invariant stands at the call")]
pub(super) fn multiply(destination: &mut [f32], a: View<'_>, b: View<'_>, into: Into) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert_eq!(k, b.rows, "the inner sizes of a product");
    assert_eq!(destination.len(), m * n, "a product of {m} x {k} and {k} x {n}");
    assert!(m > 0 && k > 0 && n > 0 && is_inside(a) && is_inside(b), "a product of {m} x {k} and {k} x {n}");
    let stride = |s: usize| isize::try_from(s).expect("a stride is below the length of a slice");
    // SAFETY: gemm reads a[i, p] for i < m, p < k, reads b[p, j] for p < k, j < n, and reads and writes
    // destination[i, j] for i < m, j < n, each at the strides given here. `is_inside` has checked that the
    // last of each operand's addresses, and so every one, is inside its slice; the destination's are below
    // m * n, its length. `destination` is a unique borrow and can't alias.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            destination.as_mut_ptr(),
            1,
            stride(n),
            into == Into::Add,
            a.data.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.data.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            ::gemm::Parallelism::None,
        );
    }
}

/// Whether every element of a view that has some is inside its slice.
fn is_inside(view: View<'_>) -> bool {
    let last = |size: usize, stride: usize| (size - 1).checked_mul(stride);
    let row = last(view.rows, view.row_stride);
    let column = last(view.columns, view.column_stride);
    let place = row.and_then(|row| row.checked_add(column?));
    place.is_some_and(|place| place < view.data.len())
}
