//! The value of `--dataset`, and its text.

use super::cifar;
use super::named::{self, Named};
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The value of `--dataset`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatasetChoice {
    /// MNIST where it is found or can be downloaded. Otherwise the embedded digits, with a note; but an error
    /// if the user has named a folder for MNIST.
    Auto,
    /// A data set with a name; an error if it can't be had.
    Named(Named),
    /// CIFAR-10's binary files; an error if they are not there.
    Cifar10,
    /// The digits that this program draws itself.
    Digits,
    /// A folder with four files of MNIST's names and format, in one of the layouts of `dataset/find.rs`.
    Folder(PathBuf),
    /// A table in CSV, or a folder with one or two, by the rules of `dataset/csv/files.rs`.
    Kaggle(PathBuf),
    /// A file of four NumPy arrays, as Keras has MNIST.
    Npz(PathBuf),
}

/// What stands before the path of a table.
pub(super) const KAGGLE: &str = "kaggle:";
/// End of the name of a file of NumPy arrays.
const NPZ: &str = ".npz";

impl FromStr for DatasetChoice {
    type Err = Infallible;

    /// Parses a name. Any other text is a folder; a folder of such a name can be written as `./mnist` or
    /// `data.npz/`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        if let Some(path) = text.strip_prefix(KAGGLE) {
            return Ok(Self::Kaggle(path.into()));
        }
        Ok(match text {
            "auto" => Self::Auto,
            "digits" => Self::Digits,
            cifar::NAME => Self::Cifar10,
            npz if npz.ends_with(NPZ) => Self::Npz(npz.into()),
            other => Named::of(other).map_or_else(|| Self::Folder(other.into()), Self::Named),
        })
    }
}

impl fmt::Display for DatasetChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Named(named) => named.fmt(f),
            Self::Digits => f.write_str("digits"),
            Self::Cifar10 => f.write_str(cifar::NAME),
            Self::Folder(path) | Self::Npz(path) => path.display().fmt(f),
            Self::Kaggle(path) => write!(f, "{KAGGLE}{}", path.display()),
        }
    }
}

/// The names of all data sets that have one.
pub(crate) fn all_names() -> String {
    format!("{}, {}", named::ALL.map(Named::name).join(", "), cifar::NAME)
}
