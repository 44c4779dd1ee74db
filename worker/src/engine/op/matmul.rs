//! Matrix products on one thread: a bounds-checked wrapper of the `gemm` crate.
//!
//! This is the only unsafe code of the crate. `gemm` chooses its instructions at run time. Its order of
//! addition depends on the sizes and the type of CPU, but not on threads: it is called without parallelism.

/// A view of a matrix inside a slice.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// `data` as `[rows, columns]`, row-major.
    ///
    /// # Panics
    /// When `data` is of another size.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a {rows} x {columns} matrix");
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transposed matrix, without a copy.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Whether the product replaces the destination's values or is added to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into {
    /// The product overwrites the old values.
    Replace,
    /// The product is added to the old values.
    Add,
}

/// `destination [a.rows, b.columns] = a · b`, or `+=`.
///
/// # Panics
/// When the sizes do not fit.
#[allow(unsafe_code, reason = "gemm's entry point takes raw pointers; the invariant stands at the call")]
pub fn matmul(destination: &mut [f32], a: View<'_>, b: View<'_>, into: Into) {
    let m = a.rows;
    let k = a.columns;
    let n = b.columns;
    assert_eq!(k, b.rows, "the inner sizes of a product");
    assert_eq!(destination.len(), m * n, "a product of {m} x {k} and {k} x {n}");
    if m == 0 || n == 0 || k == 0 {
        if into == Into::Replace {
            destination.fill(0.0);
        }
        return;
    }
    let stride = |s: usize| isize::try_from(s).expect("a stride is below the length of a slice");
    // SAFETY: gemm reads a[i, p] for i < m, p < k, reads b[p, j] for p < k, j < n, and reads and writes
    // destination[i, j] for i < m, j < n, each at the strides given here. The fields of a `View` are private
    // and made only by `new`, which checks rows * columns == data.len() for dense strides, and by
    // `transposed`, which exchanges both; so every address is inside its slice. `destination` is a unique
    // borrow of m * n elements and can't alias.
    unsafe {
        gemm::gemm(
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
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::testing::noise;

    /// The definition, in f64.
    fn reference(destination: &[f32], a: View<'_>, b: View<'_>, into: Into) -> Vec<f64> {
        let at = |v: View<'_>, i: usize, j: usize| f64::from(v.data[i * v.row_stride + j * v.column_stride]);
        let mut product = Vec::new();
        for i in 0..a.rows {
            for j in 0..b.columns {
                let old = if into == Into::Add { f64::from(destination[i * b.columns + j]) } else { 0.0 };
                product.push(old + (0..a.columns).map(|p| at(a, i, p) * at(b, p, j)).sum::<f64>());
            }
        }
        product
    }

    #[test]
    fn products_equal_the_definition_for_all_layouts() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (121, 288, 64), (17, 1, 33), (64, 100, 9)] {
            let x = noise(1, m * k);
            let y = noise(2, k * n);
            for (a, b) in [
                (View::new(&x, m, k), View::new(&y, k, n)),
                (View::new(&x, k, m).transposed(), View::new(&y, k, n)),
                (View::new(&x, m, k), View::new(&y, n, k).transposed()),
            ] {
                for into in [Into::Replace, Into::Add] {
                    let mut got = noise(3, m * n);
                    let want = reference(&got, a, b, into);
                    matmul(&mut got, a, b, into);
                    for (got, want) in got.iter().zip(want) {
                        let error = (f64::from(*got) - want).abs();
                        assert!(error < 1e-6 * (k as f64), "{m} {k} {n}: {got} is not {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_inner_size_gives_zeros() {
        let mut product = vec![1.0; 6];
        matmul(&mut product, View::new(&[], 2, 0), View::new(&[], 0, 3), Into::Replace);
        assert_eq!(product, [0.0; 6]);
    }

    #[test]
    #[should_panic(expected = "a 3 x 4 matrix")]
    fn a_view_larger_than_its_slice_is_refused() {
        let _ = View::new(&[0.0; 11], 3, 4);
    }
}
