//! The value of `--dataset`, and its text.

use super::cifar;
use super::named::{self, Named};
use super::pictures::PictureOptions;
use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
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
    /// A folder with four files of MNIST's names and format, in one of the layouts of `dataset/find.rs`; or
    /// one of pictures, in one of the layouts of `dataset/pictures/list.rs`.
    Folder(PathBuf),
    /// A folder of pictures, with options of how they are read.
    Pictures(PathBuf, PictureOptions),
    /// A table in CSV, or a folder with one or two, by the rules of `dataset/csv/files.rs`.
    Kaggle(PathBuf),
    /// A file of four NumPy arrays, as Keras has MNIST.
    Npz(PathBuf),
}

impl DatasetChoice {
    /// A folder, with options if there are any.
    #[must_use]
    pub fn in_folder(folder: &Path, options: PictureOptions) -> Self {
        let folder = folder.to_owned();
        if options == PictureOptions::default() {
            Self::Folder(folder)
        } else {
            Self::Pictures(folder, options)
        }
    }

    /// Whether it is a file or folder that somebody has chosen, and not a data set with a name.
    #[must_use]
    pub fn is_path(&self) -> bool {
        match self {
            Self::Folder(_) | Self::Pictures(..) | Self::Kaggle(_) | Self::Npz(_) => true,
            Self::Auto | Self::Named(_) | Self::Cifar10 | Self::Digits => false,
        }
    }

    /// The same data set, read with these options before those that it has.
    ///
    /// # Errors
    /// When there are options, and it is no folder. The text says which flag is meant.
    pub fn with(self, options: PictureOptions) -> Result<Self, String> {
        match (self, options.first_flag()) {
            (choice, None) => Ok(choice),
            (Self::Folder(folder), _) => Ok(Self::Pictures(folder, options)),
            (Self::Pictures(folder, own), _) => Ok(Self::Pictures(folder, options.or(own))),
            (choice, Some(flag)) => Err(format!(
                "{flag} is for a folder of pictures, and --dataset is {choice}; name the folder with --dataset, or \
                 leave the flag out"
            )),
        }
    }
}

/// What stands before the path of a table.
pub(super) const KAGGLE: &str = "kaggle:";
/// End of the name of a file of NumPy arrays.
const NPZ: &str = ".npz";

impl FromStr for DatasetChoice {
    type Err = Infallible;

    /// Parses a name. Any other text is a folder, which options of pictures may follow after a question mark.
    /// A folder of such a name can be written as `./mnist` or `data.npz/`, one that ends like options as
    /// `FOLDER?grayscale?`.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        if let Some(path) = text.strip_prefix(KAGGLE) {
            return Ok(Self::Kaggle(path.into()));
        }
        Ok(match text {
            "auto" => Self::Auto,
            "digits" => Self::Digits,
            cifar::NAME => Self::Cifar10,
            npz if npz.ends_with(NPZ) => Self::Npz(npz.into()),
            other if let Some(named) = Named::of(other) => Self::Named(named),
            other => match other.rsplit_once('?').map(|(folder, options)| (folder, options.parse())) {
                Some((folder, Ok(options))) => Self::in_folder(Path::new(folder), options),
                _ => Self::Folder(other.into()),
            },
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
            Self::Npz(path) => path.display().fmt(f),
            Self::Folder(folder) => {
                let text = folder.display().to_string();
                let ends_like_options =
                    matches!(text.rsplit_once('?'), Some((_, end)) if end.parse::<PictureOptions>().is_ok());
                write!(f, "{text}{}", if ends_like_options { "?" } else { "" })
            }
            Self::Pictures(folder, options) => write!(f, "{}?{options}", folder.display()),
            Self::Kaggle(path) => write!(f, "{KAGGLE}{}", path.display()),
        }
    }
}

/// The names of all data sets that have one.
pub(crate) fn all_names() -> String {
    format!("{}, {}", named::ALL.map(Named::name).join(", "), cifar::NAME)
}
