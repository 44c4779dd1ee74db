//! Four files with the same text before their names, such as `letters-train-images-idx3-ubyte`, in a folder
//! that is no certain data set.

use super::{IDX3, IDX4, Paths, entries, is_folder, spelled};
use crate::dataset::DatasetError;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const TRAIN: &str = "train-images";
/// Begin the names of the files to test on.
const TESTS: [&str; 2] = ["t10k", "test"];

/// The only four such files in the first place that has any.
///
/// # Errors
/// When there are two fours in one place, or a path can't be looked at.
pub(super) fn files(places: &[&Path]) -> Result<Option<Paths>, DatasetError> {
    for place in places {
        let mut found = Vec::new();
        for prefix in prefixes(place) {
            for test in TESTS {
                found.extend(with(place, &prefix, test)?);
            }
        }
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some([Some(first), ..]), Some([Some(second), ..])) => {
                return Err(DatasetError::Ambiguous { first, second });
            }
            (None, _) => {}
            (first, _) => return Ok(first),
        }
    }
    Ok(None)
}

/// What precedes the names of training images in a place. A folder that can't be read has none.
fn prefixes(place: &Path) -> BTreeSet<String> {
    let names = entries(place).unwrap_or_default();
    let prefix = |name: &str| {
        let name = name.strip_suffix(".gz").unwrap_or(name).replace(".idx", "-idx");
        let stem = name.strip_suffix(IDX3).or_else(|| name.strip_suffix(IDX4))?;
        stem.strip_suffix(TRAIN).map(str::to_owned)
    };
    names.iter().filter_map(|name| prefix(name.to_str()?)).collect()
}

/// The four files of that prefix, if all are there.
fn with(place: &Path, prefix: &str, test: &str) -> Result<Option<Paths>, DatasetError> {
    let images = |of: String| [format!("{of}{IDX3}"), format!("{of}{IDX4}")];
    let labels = |of: String| [format!("{of}-idx1-ubyte"), format!("{of}-idx2-int")];
    let wanted = [
        images(format!("{prefix}{TRAIN}")),
        labels(format!("{prefix}train-labels")),
        images(format!("{prefix}{test}-images")),
        labels(format!("{prefix}{test}-labels")),
    ];
    let mut paths = Paths::default();
    for (path, names) in paths.iter_mut().zip(wanted) {
        *path = first_file(names.iter().flat_map(|name| spelled(name)).map(|name| place.join(name)))?;
    }
    Ok(paths.iter().all(Option::is_some).then_some(paths))
}

fn first_file(paths: impl Iterator<Item = PathBuf>) -> Result<Option<PathBuf>, DatasetError> {
    for path in paths {
        if is_folder(&path)? == Some(false) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::find::{Name, RAW, files as find};
    use crate::dataset::parts::PARTS;
    use std::fs;

    #[test]
    fn any_text_may_stand_before_all_four_names() {
        for (names, place) in [
            (["a-train-images-idx3-ubyte", "a-train-labels-idx1-ubyte"], "."),
            (["train-images.idx4-ubyte.gz", "train-labels.idx1-ubyte.gz"], RAW),
            (["x.y train-images-idx4-ubyte", "x.y train-labels-idx2-int"], "."),
        ] {
            for test in TESTS {
                let folder = tempfile::tempdir().unwrap();
                let place = folder.path().join(place);
                fs::create_dir_all(&place).unwrap();
                let files: Vec<PathBuf> = names
                    .iter()
                    .map(|name| place.join(name))
                    .chain(names.iter().map(|name| place.join(name.replace("train", test))))
                    .collect();
                for (index, file) in files.iter().enumerate() {
                    assert!(index == 0 || find(folder.path(), &PARTS, Name::Any).unwrap().contains(&None));
                    fs::write(file, "").unwrap();
                }
                let found = find(folder.path(), &PARTS, Name::Any).unwrap();
                assert_eq!(found.into_iter().flatten().collect::<Vec<_>>(), files);
            }
        }
    }

    #[test]
    fn two_fours_in_one_place_are_an_error_that_names_both() {
        let folder = tempfile::tempdir().unwrap();
        for prefix in ["one-", "two-"] {
            for part in PARTS {
                fs::write(folder.path().join(format!("{prefix}{}", part.name)), "").unwrap();
            }
        }
        let error = find(folder.path(), &PARTS, Name::Any).unwrap_err().to_string();
        assert!(error.contains("one-train-images") && error.contains("two-train-images"), "{error}");
    }
}
