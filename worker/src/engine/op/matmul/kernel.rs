//! The kernel of matrix products: tiles of [`ROWS`] rows of a and a panel of columns of b, whose sums stay in
//! registers while a chunk of k is walked once.
//!
//! Lanes are columns, so b's rows are contiguous; a's values are broadcast one by one and may lie in either
//! order. b is read where it lies if few rows use it: to copy it would take as long as to multiply. Each sum
//! runs over the chunk in order, whatever the register's width: the bits are the same on every instruction
//! set.

use super::{Into, View};
use crate::engine::op::scratch::Scratch;
use pulp::{Simd, WithSimd};
use std::ops::Range;

/// Rows of a tile: with 4 registers of columns that is 24 sums where there are 32 registers, and with 2 it is
/// 12 where there are 16.
const ROWS: usize = 6;
/// Rows of a from which on a panel of b is copied together.
const ROWS_TO_PACK: usize = 96;

/// One chunk of a product, whose definition is the module's above.
pub(super) struct Product<'a> {
    /// `[a.rows, b.columns]`, row-major.
    pub(super) destination: &'a mut [f32],
    pub(super) a: View<'a>,
    /// Its rows are contiguous.
    pub(super) b: View<'a>,
    pub(super) into: Into,
    /// The places of k.
    pub(super) chunk: Range<usize>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let lanes = S::F32_LANES;
        let has_many_registers = lanes == 16;
        let mut packed = Scratch::zeros(self.chunk.len() * 4 * lanes);
        let mut first = 0;
        while first < self.b.columns {
            // The last panel is as narrow as it can be.
            first += match (self.b.columns - first).div_ceil(lanes) {
                1 => self.panel::<S, 1>(simd, first, &mut packed),
                2 => self.panel::<S, 2>(simd, first, &mut packed),
                _ if has_many_registers => self.panel::<S, 4>(simd, first, &mut packed),
                _ => self.panel::<S, 2>(simd, first, &mut packed),
            };
        }
    }
}

/// The rows of a panel of b.
#[derive(Clone, Copy)]
struct Panel<'a> {
    values: &'a [f32],
    /// Distance from a row to the next.
    pitch: usize,
}

impl Product<'_> {
    /// The columns of a panel from `first` on; returns how many it has.
    #[inline(always)]
    fn panel<S: Simd, const R: usize>(&mut self, simd: S, first: usize, packed: &mut [f32]) -> usize {
        let width = R * S::F32_LANES;
        let columns = width.min(self.b.columns - first);
        let panel = if columns < width || self.a.rows > ROWS_TO_PACK {
            for (to, place) in packed.chunks_exact_mut(width).zip(self.chunk.clone()) {
                let row = &self.b.data[place * self.b.row_stride + first..][..columns];
                to[..columns].copy_from_slice(row);
                to[columns..].fill(0.0);
            }
            Panel { values: packed, pitch: width }
        } else {
            let start = self.chunk.start * self.b.row_stride + first;
            Panel { values: &self.b.data[start..], pitch: self.b.row_stride }
        };
        let columns = first..first + columns;
        for row in (0..self.a.rows).step_by(ROWS) {
            match self.a.rows - row {
                1 => self.tile::<S, R, 1>(simd, row, panel, columns.clone()),
                2 => self.tile::<S, R, 2>(simd, row, panel, columns.clone()),
                3 => self.tile::<S, R, 3>(simd, row, panel, columns.clone()),
                4 => self.tile::<S, R, 4>(simd, row, panel, columns.clone()),
                5 => self.tile::<S, R, 5>(simd, row, panel, columns.clone()),
                _ => self.tile::<S, R, ROWS>(simd, row, panel, columns.clone()),
            }
        }
        columns.len()
    }

    /// `M` rows from `row` on, for the columns of the panel.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const M: usize>(
        &mut self,
        simd: S,
        row: usize,
        panel: Panel<'_>,
        columns: Range<usize>,
    ) {
        let sums = if self.a.column_stride == 1 {
            self.sums_along_rows::<S, R, M>(simd, row, panel)
        } else {
            self.sums_along_columns::<S, R, M>(simd, row, panel)
        };
        for (at, sums) in sums.into_iter().enumerate() {
            let to = &mut self.destination[(row + at) * self.b.columns..][columns.clone()];
            if to.len() == R * S::F32_LANES {
                for (to, sum) in S::as_mut_simd_f32s(to).0.iter_mut().zip(sums) {
                    *to = if self.into == Into::Add { simd.add_f32s(*to, sum) } else { sum };
                }
            } else {
                let values: &[f32] = pulp::bytemuck::cast_slice(&sums);
                for (to, sum) in to.iter_mut().zip(values) {
                    *to = if self.into == Into::Add { *to + sum } else { *sum };
                }
            }
        }
    }

    /// The sums of a tile, where the rows of a are contiguous.
    #[inline(always)]
    fn sums_along_rows<S: Simd, const R: usize, const M: usize>(
        &self,
        simd: S,
        row: usize,
        panel: Panel<'_>,
    ) -> [[S::f32s; R]; M] {
        let len = self.chunk.len();
        let mut rows = [&self.a.data[..0]; M];
        for (at, of_row) in rows.iter_mut().enumerate() {
            *of_row = &self.a.data[(row + at) * self.a.row_stride + self.chunk.start..][..len];
        }
        let mut sums = [[simd.splat_f32s(0.0); R]; M];
        for place in 0..len {
            let b = panel.row::<S, R>(place);
            for (sums, row) in sums.iter_mut().zip(&rows) {
                let a = simd.splat_f32s(row[place]);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = simd.mul_add_f32s(a, *b, *sum);
                }
            }
        }
        sums
    }

    /// The sums of a tile, where the columns of a are contiguous.
    #[inline(always)]
    fn sums_along_columns<S: Simd, const R: usize, const M: usize>(
        &self,
        simd: S,
        row: usize,
        panel: Panel<'_>,
    ) -> [[S::f32s; R]; M] {
        let mut sums = [[simd.splat_f32s(0.0); R]; M];
        for (at, place) in self.chunk.clone().enumerate() {
            let b = panel.row::<S, R>(at);
            let column: &[f32; M] =
                self.a.data[place * self.a.column_stride + row..].first_chunk().expect("M rows are left");
            for (sums, a) in sums.iter_mut().zip(column) {
                let a = simd.splat_f32s(*a);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = simd.mul_add_f32s(a, *b, *sum);
                }
            }
        }
        sums
    }
}

impl Panel<'_> {
    /// The registers of the panel's row number `at`.
    #[inline(always)]
    fn row<S: Simd, const R: usize>(&self, at: usize) -> &[S::f32s; R] {
        let row = &self.values[at * self.pitch..][..R * S::F32_LANES];
        S::as_simd_f32s(row).0.first_chunk().expect("as many values as R registers hold")
    }
}
