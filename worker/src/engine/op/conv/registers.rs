//! The number of registers that a kernel works on at once: chosen at each call, but constant in the compiled
//! kernel.
//!
//! Only a constant number of sums can stay in registers. This file decides which numbers are compiled. The
//! bits of a result do not depend on the choice.

use pulp::{Simd, WithSimd};

/// A kernel that works on `R` registers at once.
pub(super) trait Kernel {
    fn run<S: Simd, const R: usize>(self, simd: S);
}

/// Runs a forward kernel, whose lanes are output channels.
pub(super) struct OverOutputs<K> {
    /// Number of output channels; `R` registers must divide it.
    pub(super) outputs: usize,
    pub(super) kernel: K,
}

impl<K: Kernel> WithSimd for OverOutputs<K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.outputs.is_multiple_of(2 * S::F32_LANES) {
            self.kernel.run::<S, 2>(simd);
        } else {
            self.kernel.run::<S, 1>(simd);
        }
    }
}

/// Runs a backward kernel, whose lanes lie along a chunk of a patch.
pub(super) struct OverChunk<K> {
    /// Number of values in a chunk; `R` registers must divide it.
    pub(super) chunk: usize,
    pub(super) kernel: K,
}

impl<K: Kernel> WithSimd for OverChunk<K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.chunk / S::F32_LANES {
            n if n.is_multiple_of(12) => self.kernel.run::<S, 12>(simd),
            n if n.is_multiple_of(8) => self.kernel.run::<S, 8>(simd),
            n if n.is_multiple_of(6) => self.kernel.run::<S, 6>(simd),
            n if n.is_multiple_of(4) => self.kernel.run::<S, 4>(simd),
            _ => self.kernel.run::<S, 1>(simd),
        }
    }
}
