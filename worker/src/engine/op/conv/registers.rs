//! The number of registers that a kernel works on at once: chosen at each call, but constant in the compiled
//! kernel.
//!
//! Only a constant number of sums can stay in registers. This file decides which numbers are compiled. The
//! bits of a result do not depend on the choice.

use pulp::{Simd, WithSimd};

/// Channels of a panel: the lanes of the widest register.
pub(super) const WIDTH: usize = 16;

/// A kernel whose lanes are channels: `R` registers of a panel, for `T` places at once.
pub(super) trait PanelKernel {
    fn run<S: Simd, const R: usize, const T: usize>(self, simd: S);
}

/// Runs a kernel whose lanes are channels. `R · T` sums are 8, or 16 where there are 32 registers.
pub(super) struct OverPanel<K>(pub(super) K);

impl<K: PanelKernel> WithSimd for OverPanel<K> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F32_LANES {
            WIDTH => self.0.run::<S, 1, 8>(simd),
            8 => self.0.run::<S, 2, 4>(simd),
            4 => self.0.run::<S, 4, 4>(simd),
            1 => self.0.run::<S, WIDTH, 4>(simd),
            lanes => unreachable!("registers of {lanes} values"),
        }
    }
}

/// A kernel that works on `R` registers at once.
pub(super) trait Kernel {
    fn run<S: Simd, const R: usize>(self, simd: S);
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
