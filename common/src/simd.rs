//! Loops in the widest vectors that the CPU has.
//!
//! The compiler's own vectors are those of the oldest x86-64 CPU, 128 bits wide. Here a loop is compiled for
//! each width, and the CPU's is chosen when it runs. The bits don't depend on it: the compiler may not
//! contract or reorder floating-point operations, so an element's arithmetic is the same in any vector.

use pulp::Arch;

/// Runs `loops`, compiled for this CPU's vectors. It must be inlined whole, with all that it calls, so that
/// is `#[inline(always)]`; what is not stays right, and slow.
#[inline(always)]
pub(crate) fn widest<T>(loops: impl FnOnce() -> T) -> T {
    Arch::new().dispatch(loops)
}
