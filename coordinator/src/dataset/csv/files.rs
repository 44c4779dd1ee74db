//! Which tables `kaggle:PATH` stands for, by their names. Their content is not looked at.
//!
//! 1. A folder with `train.csv` stands for that file alone, as Kaggle's digit recogniser has it.
//! 2. Another folder stands for its two files `NAME_train.csv` and `NAME_test.csv`. Two such pairs are an
//!    error that names both. A folder of more than [`ENTRIES_MAX`] entries is not searched for them.
//! 3. A file `NAME_train.csv` stands for itself and for `NAME_test.csv` beside it, if there is one; any other
//!    file stands for itself alone.
//! 4. Each name may end in `.gz`. The plain file comes before the compressed one.
//!
//! Symbolic links are followed, because a person has chosen the place.

use super::CsvError;
use crate::dataset::DatasetError;
use crate::dataset::find::{ENTRIES_MAX, entries, is_folder};
use std::path::{Path, PathBuf};

/// The name of a table that is alone.
const ALONE: &str = "train.csv";
/// End of the name of a table that is trained on.
const TRAIN: &str = "_train.csv";
/// End of the name of its test.
const TEST: &str = "_test.csv";

/// One or two tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tables {
    /// A table of which a part is the test.
    Alone(PathBuf),
    /// A table to train on, and one to test on.
    Pair { train: PathBuf, test: PathBuf },
}

/// The tables that `path` stands for.
pub(super) fn find(path: &Path) -> Result<Tables, DatasetError> {
    match is_folder(path)? {
        None => Err(CsvError::Missing(path.to_owned()).into()),
        Some(true) => within(path),
        Some(false) => Ok(match test_of(path)? {
            Some(test) => Tables::Pair { train: path.to_owned(), test },
            None => Tables::Alone(path.to_owned()),
        }),
    }
}

fn within(folder: &Path) -> Result<Tables, DatasetError> {
    if let Some(table) = plain_or_gzip(&folder.join(ALONE))? {
        return Ok(Tables::Alone(table));
    }
    let names =
        entries(folder).map_err(|source| DatasetError::Unsearchable { path: folder.to_owned(), source })?;
    let mut pairs: Vec<Tables> = Vec::new();
    // Sorted, so a plain file comes before the compressed one of the same name.
    for name in names.iter().take_while(|_| names.len() <= ENTRIES_MAX) {
        let train = folder.join(name);
        let Some(test) = test_of(&train)?.filter(|_| train.is_file()) else { continue };
        let is_known = |pair: &Tables| matches!(pair, Tables::Pair { test: known, .. } if *known == test);
        if !pairs.iter().any(is_known) {
            pairs.push(Tables::Pair { train, test });
        }
    }
    let mut pairs = pairs.into_iter();
    match (pairs.next(), pairs.next()) {
        (Some(Tables::Pair { train: first, .. }), Some(Tables::Pair { train: second, .. })) => {
            Err(CsvError::Ambiguous { first, second }.into())
        }
        (Some(pair), _) => Ok(pair),
        (None, _) => Err(CsvError::NoTable(folder.to_owned()).into()),
    }
}

/// The test that lies beside a table to train on.
fn test_of(train: &Path) -> Result<Option<PathBuf>, DatasetError> {
    let Some(name) = train.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let Some(stem) = name.strip_suffix(".gz").unwrap_or(name).strip_suffix(TRAIN) else { return Ok(None) };
    plain_or_gzip(&train.with_file_name(format!("{stem}{TEST}")))
}

fn plain_or_gzip(path: &Path) -> Result<Option<PathBuf>, DatasetError> {
    let mut packed = path.as_os_str().to_owned();
    packed.push(".gz");
    for path in [path.to_owned(), packed.into()] {
        if is_folder(&path)? == Some(false) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
