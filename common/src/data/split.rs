//! Which training samples are held out for validation, by class.
//!
//! 1. Each class gives its share: the whole part of it first, then one sample more for the classes with the
//!    largest remainders, and of equal ones the first.
//! 2. A class keeps at least one sample to train on. What it can't give for that, others give; so no more
//!    than [`most_held_out`] can be held out in all.
//! 3. Which samples a class gives is drawn by the seed and the class.
//!
//! 4. Where only so many samples of each class are trained on, they are drawn by the seed and the class from
//!    what is left. Of a class's samples those of a smaller number are among those of a larger one. The
//!    others are the rest, which can be learned from without their labels (`common::train::pseudo`).
//!
//! So a split is a function of the labels, the number and the seed. Two sets of samples with the same labels
//! have the same split.

use crate::rng::Stream;

/// A data set's samples, divided into those for training and those held out for validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Indices of the training samples, ascending.
    pub train: Vec<u32>,
    /// Indices of the validation samples, ascending.
    pub validation: Vec<u32>,
    /// Indices of those that are neither, where few are trained on, ascending.
    pub rest: Vec<u32>,
}

/// A class that has fewer samples than are wanted of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// The class.
    pub class: usize,
    /// Its samples after the validation split.
    pub left: usize,
}

impl Split {
    /// Holds out `validation` of the samples with these labels, drawn by `seed`.
    ///
    /// # Panics
    /// When that is more than [`most_held_out`].
    #[must_use]
    pub fn draw(labels: &[u16], validation: u32, seed: u64) -> Self {
        let mut of_class = by_class(labels);
        let counts: Vec<usize> = of_class.iter().map(Vec::len).collect();
        let shares = shares(&counts, validation as usize);
        let mut held_out = vec![false; labels.len()];
        for ((class, indices), share) in (0u64..).zip(&mut of_class).zip(shares) {
            let order = Stream::new(seed, "validation split", &[class]).permutation(indices.len() as u32);
            order[..share].iter().for_each(|&at| held_out[indices[at as usize] as usize] = true);
        }
        let (validation, train) = (0..labels.len() as u32).partition(|&index| held_out[index as usize]);
        Self { train, validation, rest: Vec::new() }
    }

    /// The split with only `count` training samples of each of the classes, drawn by `seed`.
    ///
    /// # Errors
    /// When a class has fewer.
    pub fn with_few(self, labels: &[u16], classes: usize, count: u32, seed: u64) -> Result<Self, TooFew> {
        let mut of_class = vec![Vec::new(); classes];
        for &index in &self.train {
            of_class[usize::from(labels[index as usize])].push(index);
        }
        let count = count as usize;
        let mut train = Vec::new();
        for (class, indices) in of_class.iter().enumerate() {
            if indices.len() < count {
                return Err(TooFew { class, left: indices.len() });
            }
            let mut stream = Stream::new(seed, "samples of a class", &[class as u64]);
            let order = stream.permutation(indices.len() as u32);
            train.extend(order[..count].iter().map(|&at| indices[at as usize]));
        }
        train.sort_unstable();
        let rest = self.train.into_iter().filter(|index| train.binary_search(index).is_err());
        Ok(Self { rest: rest.collect(), train, validation: self.validation })
    }
}

/// Most samples that can be held out: all but one of each class that has any.
#[must_use]
pub fn most_held_out(labels: &[u16]) -> u32 {
    let classes = by_class(labels).iter().filter(|indices| !indices.is_empty()).count();
    (labels.len() - classes) as u32
}

/// How many samples each class of so many gives, `wanted` in all, by the rules 1 and 2 above.
///
/// # Panics
/// When `wanted` is more than there are if each class keeps one.
#[must_use]
pub fn shares(counts: &[usize], wanted: usize) -> Vec<usize> {
    let total: usize = counts.iter().sum();
    let most: usize = counts.iter().map(|count| count.saturating_sub(1)).sum();
    assert!(wanted <= most, "can't take {wanted} of {total} samples and leave one of each class");
    // Where there is no sample nothing is wanted.
    let share = |count: usize| count as u128 * wanted as u128;
    let total = total.max(1) as u128;
    let mut shares: Vec<usize> = counts.iter().map(|&count| (share(count) / total) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(share(counts[class]) % total));
    let mut missing = wanted - shares.iter().sum::<usize>();
    while missing > 0 {
        for &class in &by_remainder {
            if missing > 0 && shares[class] + 1 < counts[class] {
                shares[class] += 1;
                missing -= 1;
            }
        }
    }
    shares
}

/// Indices of the samples of each class, up to the largest label.
fn by_class(labels: &[u16]) -> Vec<Vec<u32>> {
    let classes = labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
    let mut of_class = vec![Vec::new(); classes];
    for (index, &label) in (0..).zip(labels) {
        of_class[usize::from(label)].push(index);
    }
    of_class
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How many samples of each class are held out and how many are not.
    fn counts(labels: &[u16], split: &Split) -> [Vec<usize>; 2] {
        [&split.validation, &split.train].map(|indices| {
            let mut counts = vec![0; by_class(labels).len()];
            indices.iter().for_each(|&index| counts[usize::from(labels[index as usize])] += 1);
            counts
        })
    }

    fn labels(counts: &[usize]) -> Vec<u16> {
        // Classes take turns, as far as they go.
        let longest = counts.iter().copied().max().unwrap_or(0);
        let turn = |round: usize| (0u16..).zip(counts).filter(move |&(_, &count)| round < count);
        (0..longest).flat_map(|round| turn(round).map(|(class, _)| class)).collect()
    }

    #[test]
    fn every_class_gives_its_share_and_keeps_one() {
        let held_out = |of: &[usize], wanted| {
            let labels = labels(of);
            counts(&labels, &Split::draw(&labels, wanted, 7))[0].clone()
        };
        assert_eq!(held_out(&[500, 300, 200], 100), [50, 30, 20]);
        assert_eq!(held_out(&[14, 13, 13], 4), [2, 1, 1], "1.4, 1.3 and 1.3");
        assert_eq!(held_out(&[10, 0, 10, 10], 2), [1, 0, 1, 0], "of equal remainders the first");
        assert_eq!(held_out(&[1, 1, 98], 50), [0, 0, 50]);
        assert_eq!(held_out(&[1, 2, 3], 3), [0, 1, 2]);
        assert_eq!((most_held_out(&labels(&[1, 0, 2, 3])), most_held_out(&[])), (3, 0));
    }

    #[test]
    fn a_split_is_drawn_by_the_seed_and_keeps_every_sample_on_one_side() {
        let labels = labels(&[400, 350, 250]);
        let split = Split::draw(&labels, 123, 7);
        assert_eq!((split.train.len(), split.validation.len()), (877, 123));
        let mut all = [split.train.clone(), split.validation.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert!(split.train.is_sorted() && split.validation.is_sorted());
        assert_eq!(split, Split::draw(&labels, 123, 7));
        assert_ne!(split, Split::draw(&labels, 123, 8));
        assert!(Split::draw(&labels, 0, 7).validation.is_empty() && Split::draw(&[], 0, 7).train.is_empty());
    }

    #[test]
    fn the_draw_does_not_change_between_versions() {
        assert_eq!(Split::draw(&labels(&[30, 20, 10]), 6, 1).validation, DRAWN);
    }

    /// Printed once by this very test; a change gives old runs other samples, and raises the version of the
    /// arithmetic.
    const DRAWN: [u32; 6] = [1, 6, 7, 21, 23, 51];

    #[test]
    fn few_samples_of_each_class_are_drawn_from_what_is_left() {
        let labels = labels(&[40, 35, 25]);
        let whole = Split::draw(&labels, 20, 7);
        let few = |count, seed| whole.clone().with_few(&labels, 3, count, seed);
        let ten = few(10, 7).unwrap();
        assert_eq!(counts(&labels, &ten)[1], [10, 10, 10]);
        assert_eq!(ten.validation, whole.validation);
        assert!(ten.train.is_sorted() && ten.rest.is_sorted() && whole.rest.is_empty());
        let mut all = [ten.train.clone(), ten.rest.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, whole.train, "each sample is among the few or the rest");
        assert_eq!(few(10, 7), Ok(ten.clone()));
        assert_ne!(few(10, 8), Ok(ten.clone()));
        let four = few(4, 7).unwrap();
        assert!(four.train.iter().all(|index| ten.train.contains(index)), "fewer are some of more");
        assert_eq!(few(21, 7), Err(TooFew { class: 2, left: 20 }));
        assert_eq!(whole.clone().with_few(&labels, 4, 1, 7), Err(TooFew { class: 3, left: 0 }));
    }

    #[test]
    fn the_few_do_not_change_between_versions() {
        let labels = labels(&[30, 20, 10]);
        assert_eq!(Split::draw(&labels, 6, 1).with_few(&labels, 3, 2, 1).unwrap().train, FEW);
    }

    /// Printed once by this very test, as the one above.
    const FEW: [u32; 6] = [8, 11, 15, 31, 42, 45];

    proptest! {
        #[test]
        fn shares_are_within_one_of_the_exact_ones_where_classes_are_large_enough(
            of in proptest::collection::vec(0..200usize, 1..30),
            part in 0..=1000u32,
        ) {
            let labels = labels(&of);
            let wanted = (u64::from(most_held_out(&labels)) * u64::from(part) / 1000) as u32;
            let split = Split::draw(&labels, wanted, 3);
            let [held_out, kept] = counts(&labels, &split);
            prop_assert_eq!(split.validation.len(), wanted as usize);
            for class in 0..held_out.len() {
                prop_assert!(kept[class] > 0 || of[class] == 0, "class {class} of {of:?}");
                let exact = of[class] as f64 * f64::from(wanted) / labels.len() as f64;
                prop_assert!(held_out[class] as f64 > exact - 1.0 - 1e-9, "class {class} of {of:?}");
            }
        }
    }
}
