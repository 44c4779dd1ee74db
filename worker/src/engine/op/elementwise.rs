//! A function of each value, or of each pair of values, in the widest vectors of the CPU.
//!
//! The function must be small: it is inlined into loops that are compiled for each instruction set. Its bits
//! don't depend on them.

use pulp::{Arch, Simd, WithSimd};

/// f(x) for each value.
pub(crate) fn map(x: &[f32], f: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    Arch::new().dispatch(Map { x, y: &mut y, f });
    y
}

/// f(a, b) for each pair of values.
pub(crate) fn zip(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> Vec<f32> {
    let mut y = vec![0.0; a.len()];
    Arch::new().dispatch(Zip { a, b, y: &mut y, f });
    y
}

struct Map<'a, F> {
    x: &'a [f32],
    y: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> WithSimd for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.x.iter().zip(self.y).for_each(|(x, y)| *y = (self.f)(*x));
    }
}

struct Zip<'a, F> {
    a: &'a [f32],
    b: &'a [f32],
    y: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> WithSimd for Zip<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (y, (a, b)) in self.y.iter_mut().zip(self.a.iter().zip(self.b)) {
            *y = (self.f)(*a, *b);
        }
    }
}
