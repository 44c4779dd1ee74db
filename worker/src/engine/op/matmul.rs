//! Matrix products on one thread, with one definition that holds on every CPU.
//!
//! k is cut evenly into as few chunks as possible of at most [`CHUNK_MAX`]: each has ⌈k / ⌈k / 512⌉⌉ places,
//! the last one what is left. In f32, with one rounding for each operation:
//!
//! ```text
//! sum(chunk) = acc after acc = fma(a[i, p], b[p, j], acc) for each p of the chunk in order, from acc = +0
//! Replace:  destination[i, j] = ((sum(first) + sum(second)) + ...) + sum(last)
//! Add:      destination[i, j] = ((destination[i, j] + sum(first)) + sum(second)) + ... + sum(last)
//! ```
//!
//! `kernel` computes it, with lanes along the columns of b. If those are not contiguous, the product is
//! computed as the transpose of bᵀ · aᵀ; where neither operand's lanes would be, the smaller one is copied.

mod kernel;

use super::scratch::Scratch;
use pulp::Arch;

/// Most places of k that one accumulator adds up.
pub const CHUNK_MAX: usize = 512;

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

    fn at(&self, row: usize, column: usize) -> f32 {
        self.data[row * self.row_stride + column * self.column_stride]
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

/// `destination [a.rows, b.columns] = a · b`, or `+=`, by the definition above.
///
/// # Panics
/// When the sizes do not fit.
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
    if b.column_stride == 1 {
        add_chunks(destination, a, b, into);
    } else if a.row_stride == 1 {
        transposed_product(destination, b.transposed(), a.transposed(), into);
    } else if m <= n {
        let copy = transposed(a);
        transposed_product(destination, b.transposed(), View::new(&copy, k, m), into);
    } else {
        let copy = transposed(b.transposed());
        add_chunks(destination, a, View::new(&copy, k, n), into);
    }
}

/// The product, chunk by chunk of k; the rows of b are contiguous.
fn add_chunks(destination: &mut [f32], a: View<'_>, b: View<'_>, into: Into) {
    let k = a.columns;
    let length = k.div_ceil(k.div_ceil(CHUNK_MAX));
    let mut into = into;
    for start in (0..k).step_by(length) {
        let chunk = start..k.min(start + length);
        Arch::new().dispatch(kernel::Product { destination, a, b, into, chunk });
        into = Into::Add;
    }
}

/// The transpose of a · b, into a destination of its own shape.
fn transposed_product(destination: &mut [f32], a: View<'_>, b: View<'_>, into: Into) {
    let (rows, columns) = (a.rows, b.columns);
    let mut product = match into {
        Into::Add => transposed(View::new(destination, columns, rows)),
        Into::Replace => Scratch::zeros(rows * columns),
    };
    add_chunks(&mut product, a, b, into);
    destination.copy_from_slice(&transposed(View::new(&product, rows, columns)));
}

/// The transpose of a view, row-major. It goes by small squares, so that no cache line is fetched twice.
fn transposed(view: View<'_>) -> Scratch {
    const SIDE: usize = 16;
    let (rows, columns) = (view.rows, view.columns);
    let mut copy = Scratch::zeros(rows * columns);
    for first in (0..columns).step_by(SIDE) {
        for start in (0..rows).step_by(SIDE) {
            for column in first..columns.min(first + SIDE) {
                let to = &mut copy[column * rows..][start..rows.min(start + SIDE)];
                to.iter_mut().zip(start..).for_each(|(to, row)| *to = view.at(row, column));
            }
        }
    }
    copy
}

#[cfg(test)]
mod tests;
