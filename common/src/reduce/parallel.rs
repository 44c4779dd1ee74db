//! Arithmetic on long slices by several threads. Each element's arithmetic is that of one thread, so the
//! number of threads, an argument, never shows in the result.

use crate::reduce::precision::Precision;
use crate::simd::{self, Loops};
use std::num::NonZeroUsize;

/// Below this many elements a second thread costs more than it saves.
const ELEMENTS_MIN: usize = 128 * 1024;
/// Parts begin at multiples of this, so that blocks of a power of two up to it are never cut.
const ALIGNMENT: usize = 8192;

/// The length of each part but the last when `len` elements are cut for `threads` threads.
#[must_use]
pub fn part_len(len: usize, threads: NonZeroUsize) -> usize {
    let parts = threads.get().min(len / ELEMENTS_MIN).max(1);
    len.div_ceil(parts).next_multiple_of(ALIGNMENT)
}

/// Runs every job on its own thread, the last one on the caller's. Returns their results in the jobs' order.
///
/// # Panics
/// When a job panics.
pub fn all<T: Send>(mut jobs: Vec<impl FnOnce() -> T + Send>) -> Vec<T> {
    let Some(last) = jobs.pop() else { return Vec::new() };
    std::thread::scope(|scope| {
        let others: Vec<_> = jobs.into_iter().map(|job| scope.spawn(job)).collect();
        let last = last();
        let join = |thread: std::thread::ScopedJoinHandle<'_, T>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        others.into_iter().map(join).chain([last]).collect::<Vec<T>>()
    })
}

/// `left += right`, element by element, rounded to `precision`.
///
/// # Panics
/// When the lengths differ.
pub fn add(left: &mut [f32], right: &[f32], precision: Precision, threads: NonZeroUsize) {
    blocks(left, right, threads, |left, right| simd::widest(Add { left, right, precision }));
}

/// Runs `change` on each block of `left` with the same places of `right`, by `threads` threads.
///
/// # Panics
/// When the lengths differ.
pub(crate) fn blocks(
    left: &mut [f32],
    right: &[f32],
    threads: NonZeroUsize,
    change: impl Fn(&mut [f32], &[f32]) + Sync,
) {
    assert_eq!(left.len(), right.len(), "values of one model have one length");
    let part = part_len(left.len(), threads);
    let change = &change;
    let jobs = left.chunks_mut(part).zip(right.chunks(part)).map(|(left, right)| {
        move || {
            let blocks = left.chunks_mut(ALIGNMENT).zip(right.chunks(ALIGNMENT));
            blocks.for_each(|(left, right)| change(left, right));
        }
    });
    all(jobs.collect());
}

struct Add<'a> {
    left: &'a mut [f32],
    right: &'a [f32],
    precision: Precision,
}

impl Loops for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        self.left.iter_mut().zip(self.right).for_each(|(left, right)| *left += right);
        self.precision.round(self.left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_slices_are_not_cut_and_long_ones_into_aligned_parts() {
        let threads = NonZeroUsize::new(4).unwrap();
        for len in [0, 1, ELEMENTS_MIN] {
            assert!(part_len(len, threads) >= len);
        }
        let len = 10 * ELEMENTS_MIN + 1;
        let part = part_len(len, threads);
        assert_eq!((part % ALIGNMENT, len.div_ceil(part)), (0, 4));
    }

    #[test]
    fn every_element_is_added_once_whatever_the_threads() {
        let right: Vec<f32> = (0..3 * ELEMENTS_MIN + 7).map(|i| i as f32 * 0.1).collect();
        let sum = |threads| {
            let mut left = vec![0.3; right.len()];
            add(&mut left, &right, Precision::F32, NonZeroUsize::new(threads).unwrap());
            left
        };
        let one = sum(1);
        assert!(one.iter().zip(&right).all(|(sum, r)| *sum == 0.3 + r));
        assert_eq!(sum(3), one);
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        assert_eq!(all((0..5).map(|i| move || i).collect()), [0, 1, 2, 3, 4]);
    }
}
