//! The data sets that have a name: their files, classes, and what is odd about them.
//!
//! Digests are known for MNIST and Fashion-MNIST, so a run on these is a run on these. The others are known
//! by the names of their files, and by their sizes as far as [`named`](super) checks them.

use crate::dataset::parts::{PARTS, Part};
use common::data::classes::ClassNames;
use common::data::idx::Kind;
use std::fmt;

/// A data set with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say all")]
pub enum Named {
    Mnist,
    FashionMnist,
    Kmnist,
    Qmnist,
    Emnist(Emnist),
}

/// A division of EMNIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say all")]
pub enum Emnist {
    Letters,
    Balanced,
    Digits,
    ByClass,
    ByMerge,
    Mnist,
}

/// All of them, in the order in which messages list them.
pub(in crate::dataset) const ALL: [Named; 10] = [
    Named::Mnist,
    Named::FashionMnist,
    Named::Kmnist,
    Named::Qmnist,
    Named::Emnist(Emnist::Letters),
    Named::Emnist(Emnist::Balanced),
    Named::Emnist(Emnist::Digits),
    Named::Emnist(Emnist::ByClass),
    Named::Emnist(Emnist::ByMerge),
    Named::Emnist(Emnist::Mnist),
];

/// SHA-256 of the uncompressed content of MNIST's four files, in the order of [`PARTS`].
const MNIST: [&str; 4] = [
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
];
/// The same of Fashion-MNIST.
const FASHION_MNIST: [&str; 4] = [
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
];

/// Names of Fashion-MNIST's classes.
const FASHION_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];
/// How the hiragana of KMNIST are read.
const KMNIST_CLASSES: [&str; 10] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"];
/// Characters of EMNIST, in the order of its labels.
const DIGITS: &str = "0123456789";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
/// Lower-case letters that the balanced and merged divisions tell from upper-case ones.
const LOWER_UNLIKE_UPPER: &str = "abdefghnqrt";

/// The four files of a division of EMNIST.
macro_rules! emnist {
    ($division:literal) => {
        [
            Part { name: concat!("emnist-", $division, "-train-images-idx3-ubyte"), kind: Kind::Images },
            Part { name: concat!("emnist-", $division, "-train-labels-idx1-ubyte"), kind: Kind::Labels },
            Part { name: concat!("emnist-", $division, "-test-images-idx3-ubyte"), kind: Kind::Images },
            Part { name: concat!("emnist-", $division, "-test-labels-idx1-ubyte"), kind: Kind::Labels },
        ]
    };
}

impl Named {
    /// The name, as `--dataset` takes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
            Self::Kmnist => "kmnist",
            Self::Qmnist => "qmnist",
            Self::Emnist(Emnist::Letters) => "emnist-letters",
            Self::Emnist(Emnist::Balanced) => "emnist-balanced",
            Self::Emnist(Emnist::Digits) => "emnist-digits",
            Self::Emnist(Emnist::ByClass) => "emnist-byclass",
            Self::Emnist(Emnist::ByMerge) => "emnist-bymerge",
            Self::Emnist(Emnist::Mnist) => "emnist-mnist",
        }
    }

    /// The data set of that name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        ALL.into_iter().find(|named| named.name() == name)
    }

    /// The name of its folder in torchvision's layout.
    pub(in crate::dataset) fn torchvision(self) -> &'static str {
        match self {
            Self::Mnist => "MNIST",
            Self::FashionMnist => "FashionMNIST",
            Self::Kmnist => "KMNIST",
            Self::Qmnist => "QMNIST",
            Self::Emnist(_) => "EMNIST",
        }
    }

    /// Its four files.
    pub(in crate::dataset) fn parts(self) -> [Part; 4] {
        match self {
            Self::Mnist | Self::FashionMnist | Self::Kmnist => PARTS,
            Self::Qmnist => [
                Part { name: "qmnist-train-images-idx3-ubyte", kind: Kind::Images },
                Part { name: "qmnist-train-labels-idx2-int", kind: Kind::Labels },
                Part { name: "qmnist-test-images-idx3-ubyte", kind: Kind::Images },
                Part { name: "qmnist-test-labels-idx2-int", kind: Kind::Labels },
            ],
            Self::Emnist(Emnist::Letters) => emnist!("letters"),
            Self::Emnist(Emnist::Balanced) => emnist!("balanced"),
            Self::Emnist(Emnist::Digits) => emnist!("digits"),
            Self::Emnist(Emnist::ByClass) => emnist!("byclass"),
            Self::Emnist(Emnist::ByMerge) => emnist!("bymerge"),
            Self::Emnist(Emnist::Mnist) => emnist!("mnist"),
        }
    }

    /// SHA-256 of the uncompressed content of its four files, where that is known.
    pub(in crate::dataset) fn sha256(self) -> Option<[&'static str; 4]> {
        match self {
            Self::Mnist => Some(MNIST),
            Self::FashionMnist => Some(FASHION_MNIST),
            _ => None,
        }
    }

    /// Addresses at which its files are, each as `NAME.gz`. Only what can be verified is downloaded.
    pub(in crate::dataset) fn mirrors(self) -> &'static [&'static str] {
        match self {
            Self::Mnist => &[
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ],
            Self::FashionMnist => &[
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ],
            _ => &[],
        }
    }

    /// Number of its classes.
    pub(in crate::dataset) fn classes(self) -> usize {
        match self {
            Self::Emnist(Emnist::Letters) => 26,
            Self::Emnist(Emnist::Balanced | Emnist::ByMerge) => 47,
            Self::Emnist(Emnist::ByClass) => 62,
            _ => 10,
        }
    }

    /// Names of its classes, by label.
    pub(in crate::dataset) fn class_names(self) -> ClassNames {
        let characters = |ranges: &str| ClassNames::new(ranges.chars().map(String::from));
        match self {
            Self::FashionMnist => ClassNames::new(FASHION_CLASSES),
            Self::Kmnist => ClassNames::new(KMNIST_CLASSES),
            Self::Emnist(Emnist::Letters) => characters(UPPER),
            Self::Emnist(Emnist::ByClass) => characters(&[DIGITS, UPPER, LOWER].concat()),
            Self::Emnist(Emnist::Balanced | Emnist::ByMerge) => {
                characters(&[DIGITS, UPPER, LOWER_UNLIKE_UPPER].concat())
            }
            Self::Mnist | Self::Qmnist | Self::Emnist(Emnist::Digits | Emnist::Mnist) => {
                ClassNames::numbers(self.classes())
            }
        }
    }

    /// Whether rows and columns of its images are exchanged, as in EMNIST's files.
    pub(in crate::dataset) fn is_transposed(self) -> bool {
        matches!(self, Self::Emnist(_))
    }

    /// The number of its first class, which becomes class 0.
    pub(in crate::dataset) fn first_label(self) -> u16 {
        u16::from(self == Self::Emnist(Emnist::Letters))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The data set that has a file of that digest.
pub(in crate::dataset) fn with_file(sha256: &str) -> Option<Named> {
    ALL.into_iter().find(|named| named.sha256().is_some_and(|all| all.contains(&sha256)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_are_their_own() {
        for (at, named) in ALL.into_iter().enumerate() {
            assert_eq!(Named::of(named.name()), Some(named));
            assert_eq!(ALL.iter().position(|other| other.name() == named.name()), Some(at));
            assert_eq!(
                named.mirrors().is_empty(),
                named.sha256().is_none(),
                "what can't be verified is not fetched"
            );
            for digest in named.sha256().into_iter().flatten() {
                assert_eq!(with_file(digest), Some(named));
            }
        }
        assert_eq!((Named::of("letters"), with_file("")), (None, None));
    }

    #[test]
    fn every_class_has_a_name_of_its_own() {
        for named in ALL {
            let names = named.class_names();
            let mut all: Vec<&str> = (0..names.len()).map(|class| names.get(class)).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), named.classes(), "{named}");
        }
        // Labels of EMNIST's own mapping files.
        let balanced = Named::Emnist(Emnist::Balanced).class_names();
        assert_eq!([9, 10, 35, 36, 38, 46].map(|class| balanced.get(class)), ["9", "A", "Z", "a", "d", "t"]);
        assert_eq!(Named::FashionMnist.class_names().get(9), "Ankle boot");
    }
}
