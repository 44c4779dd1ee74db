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
//! The `gemm` crate computes it. It would add in other orders on some paths, by sizes, strides and the CPU's
//! caches; this module keeps it off them (version 0.19, read and tested):
//!
//! | path of gemm | taken when | what it would do | kept off by |
//! |---|---|---|---|
//! | `horizontal_microkernel` | a's rows and b's columns are contiguous, and m · n <= 256 | adds k in lanes, then across | storing the smaller operand the other way round |
//! | `gevv` | k <= 2 | multiplies and adds with two roundings | padding k to 3 |
//! | `gemv` | m or n is 1 | eight sums, on some CPUs without fma | padding to 2 |
//! | a cut of k | k > 512 | cuts by the L1 cache's size | cutting first |
//! | without FMA on x86-64 | always | multiplies and adds with two roundings | the self-test: such a CPU is refused |
//!
//! What is left is its micro-kernel: one accumulator an element, k in order, and one addition to the
//! destination.

mod gemm;

use super::scratch::Scratch;
use std::ops::Range;

/// Most places of k that one accumulator adds up. `gemm` cuts none that is not longer.
pub const CHUNK_MAX: usize = 512;

/// Most elements of a product for which gemm would add k in lanes.
const LANES_MAX: usize = 256;

/// Fewest rows, columns and places of k that gemm takes to its micro-kernel.
const SIDE_MIN: usize = 2;
const DEPTH_MIN: usize = 3;

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

    /// Those columns alone.
    fn columns(self, range: Range<usize>) -> Self {
        Self { data: &self.data[range.start * self.column_stride..], columns: range.len(), ..self }
    }

    /// Those rows alone.
    fn rows(self, range: Range<usize>) -> Self {
        self.transposed().columns(range).transposed()
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
    let length = k.div_ceil(k.div_ceil(CHUNK_MAX));
    let mut into = into;
    for start in (0..k).step_by(length) {
        let chunk = start..k.min(start + length);
        add_chunk(destination, a.columns(chunk.clone()), b.rows(chunk), into);
        into = Into::Add;
    }
}

/// One chunk of the definition: stores what would take another path of `gemm` in the way that does not.
fn add_chunk(destination: &mut [f32], a: View<'_>, b: View<'_>, into: Into) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    let (rows, depth, columns) = (m.max(SIDE_MIN), k.max(DEPTH_MIN), n.max(SIDE_MIN));
    // Copies have another stride than 1 here, because they have at least two rows or columns.
    let is_in_lanes = a.column_stride == 1 && b.row_stride == 1 && rows * columns <= LANES_MAX;
    let copies_a = m < rows || k < depth || is_in_lanes && m <= n;
    let copies_b = n < columns || k < depth || is_in_lanes && !copies_a;
    // -0 · 0 added to any sum leaves its bits, where +0 would make +0 of a -0.
    let a_copy = copies_a.then(|| padded(a, rows, depth, -0.0));
    let b_copy = copies_b.then(|| padded(b.transposed(), columns, depth, 0.0));
    let a = a_copy.as_ref().map_or(a, |copy| View::new(copy, depth, rows).transposed());
    let b = b_copy.as_ref().map_or(b, |copy| View::new(copy, depth, columns));
    if (m, n) == (rows, columns) {
        gemm::multiply(destination, a, b, into);
        return;
    }
    let mut larger = Scratch::zeros(rows * columns);
    for (to, from) in larger.chunks_exact_mut(columns).zip(destination.chunks_exact(n)) {
        to[..n].copy_from_slice(from);
    }
    gemm::multiply(&mut larger, a, b, into);
    for (to, from) in destination.chunks_exact_mut(n).zip(larger.chunks_exact(columns)) {
        to.copy_from_slice(&from[..n]);
    }
}

/// `view` as the upper left of `[rows, depth]`, column after column. Columns beyond it are `beyond`, rows 0.
fn padded(view: View<'_>, rows: usize, depth: usize, beyond: f32) -> Scratch {
    let mut copy = Scratch::zeros(rows * depth);
    for (place, column) in copy.chunks_exact_mut(rows).enumerate() {
        if place < view.columns {
            let values = (0..view.rows).map(|row| view.at(row, place));
            column.iter_mut().zip(values).for_each(|(to, value)| *to = value);
        } else {
            column.fill(beyond);
        }
    }
    copy
}

#[cfg(test)]
mod tests;
