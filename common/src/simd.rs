//! Loops in the widest vectors that the CPU has.
//!
//! The compiler's own vectors are those of the oldest x86-64 CPU, 128 bits wide. Here a loop is compiled for
//! each width, and the CPU's is chosen when it runs. The bits don't depend on it: the compiler may not
//! contract or reorder floating-point operations, so an element's arithmetic is the same in any vector.
//!
//! Loops are types and no closures: a large closure is not inlined where it is dispatched, and is then
//! compiled for the narrowest vectors after all.

use pulp::{Arch, Simd, WithSimd};

/// Loops to compile for each width.
pub(crate) trait Loops {
    /// Result of the loops.
    type Output;

    /// Runs them. It must be `#[inline(always)]`, with all loops that it calls; what is not stays right, and
    /// slow.
    fn run(self) -> Self::Output;
}

/// Runs `loops`, compiled for this CPU's vectors.
pub(crate) fn widest<L: Loops>(loops: L) -> L::Output {
    Arch::new().dispatch(Dispatched(loops))
}

struct Dispatched<L>(L);

impl<L: Loops> WithSimd for Dispatched<L> {
    type Output = L::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> L::Output {
        self.0.run()
    }
}
