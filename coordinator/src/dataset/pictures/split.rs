//! Which pictures are the test where a folder has none of its own.
//!
//! Every class gives its share, so the test has the classes in the same proportion, and keeps at least one
//! picture to train on (`common::data::split`). Which ones a class gives is drawn; the draw is a function of
//! the class's label and of its number of pictures, not of `--seed`. So runs with different seeds have the
//! same test, and can be compared.

use super::error::PicturesError;
use super::list::Picture;
use super::options::TestSplit;
use common::data::split::shares;
use common::rng::Stream;

/// Divides the pictures of `classes` classes, which follow each other, into those to train on and those for
/// the test. Both keep their order.
///
/// # Errors
/// When a class would have none left to train on.
pub(super) fn split(
    pictures: Vec<Picture>,
    classes: usize,
    split: TestSplit,
) -> Result<(Vec<Picture>, Vec<Picture>), PicturesError> {
    let mut counts = vec![0; classes];
    for picture in &pictures {
        counts[usize::from(picture.class)] += 1;
    }
    let total = pictures.len();
    let wanted = match split {
        TestSplit::Count(count) => count.get() as usize,
        TestSplit::Percent(percent) => ((total * usize::from(percent) + 50) / 100).max(1),
    };
    let most = total - classes;
    if wanted > most {
        let split = split.to_string();
        return Err(PicturesError::Split { split, pictures: total, classes, most });
    }
    let shares = shares(&counts, wanted);
    let mut is_test = Vec::with_capacity(total);
    for (class, (&count, share)) in (0..).zip(counts.iter().zip(shares)) {
        let order = Stream::new(0, "test pictures", &[class]).permutation(count as u32);
        let mut drawn = vec![false; count];
        order[..share].iter().for_each(|&index| drawn[index as usize] = true);
        is_test.extend(drawn);
    }
    let mut train = Vec::with_capacity(total - wanted);
    let mut test = Vec::with_capacity(wanted);
    for (picture, is_test) in pictures.into_iter().zip(is_test) {
        if is_test { test.push(picture) } else { train.push(picture) }
    }
    Ok((train, test))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn pictures(counts: &[usize]) -> Vec<Picture> {
        let of = |(class, &count): (u16, &usize)| {
            (0..count).map(move |index| Picture { path: format!("{class}/{index}").into(), class })
        };
        (0..).zip(counts).flat_map(of).collect()
    }

    fn tested(counts: &[usize], how: TestSplit) -> Vec<usize> {
        let all = pictures(counts);
        let (train, test) = split(all.clone(), counts.len(), how).unwrap();
        let mut both = [train.clone(), test.clone()].concat();
        both.sort_by_key(|picture| all.iter().position(|other| other == picture));
        assert_eq!(both, all);
        (0..counts.len()).map(|class| test.iter().filter(|p| usize::from(p.class) == class).count()).collect()
    }

    #[test]
    fn every_class_gives_its_share_and_keeps_one() {
        assert_eq!(tested(&[50, 30, 20], TestSplit::Percent(10)), [5, 3, 2]);
        assert_eq!(tested(&[14, 13, 13], TestSplit::Percent(10)), [2, 1, 1]);
        assert_eq!(tested(&[1, 1, 98], TestSplit::Percent(50)), [0, 0, 50]);
        assert_eq!(tested(&[2, 2], TestSplit::Percent(1)), [1, 0]);
        assert_eq!(tested(&[1, 2, 3], TestSplit::Count(NonZeroU32::new(3).unwrap())), [0, 1, 2]);
    }

    #[test]
    fn a_test_that_leaves_a_class_without_pictures_is_refused() {
        let error =
            split(pictures(&[1, 2, 3]), 3, TestSplit::Count(NonZeroU32::new(4).unwrap())).unwrap_err();
        assert!(matches!(error, PicturesError::Split { most: 3, .. }), "{error}");
        assert!(split(pictures(&[1, 1]), 2, TestSplit::Percent(10)).is_err());
    }

    #[test]
    fn the_draw_does_not_change_between_versions() {
        let (_, test) = split(pictures(&[10, 10]), 2, TestSplit::Percent(20)).unwrap();
        let paths: Vec<_> = test.iter().map(|picture| picture.path.display().to_string()).collect();
        assert_eq!(paths, DRAWN);
    }

    /// Printed once by this very test; a change means that old runs can't be replayed.
    const DRAWN: [&str; 4] = ["0/2", "0/8", "1/0", "1/7"];
}
