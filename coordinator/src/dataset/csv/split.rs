//! Which rows of a table that is alone are the test: a tenth of each class.
//!
//! The rows are drawn by a stream of this file's own, so they depend on the table alone and not on the run's
//! `--seed`. Both parts keep the order of the table. A change here changes the digest of every such data set.

use common::data::samples::Samples;
use common::rng::Stream;

/// There is one split, whatever the run's seed.
const SEED: u64 = 10;
/// One of so many rows is held out.
const SHARE: u32 = 10;
/// Fewest rows of a class of which one is held out: a tenth of them rounds up to one.
pub(super) const ROWS_MIN: u32 = SHARE / 2;

/// The rows to train on and those to test on.
pub(super) fn split(all: &Samples) -> (Samples, Samples) {
    let mut rows_of = vec![Vec::new(); all.spec().classes()];
    for (row, &label) in (0u32..).zip(all.labels()) {
        rows_of[usize::from(label)].push(row);
    }
    let mut is_test = vec![false; all.len()];
    for (class, rows) in (0u64..).zip(rows_of) {
        let rows_of_class = rows.len() as u32;
        let held_out = (rows_of_class / SHARE) + u32::from(rows_of_class % SHARE >= ROWS_MIN);
        let order = Stream::new(SEED, "held-out test", &[class]).permutation(rows_of_class);
        order.iter().take(held_out as usize).for_each(|&at| is_test[rows[at as usize] as usize] = true);
    }
    let (test, train): (Vec<u32>, Vec<u32>) = (0..all.len() as u32).partition(|&row| is_test[row as usize]);
    (all.gather(&train), all.gather(&test))
}
