//! CIFAR-10 in its binary version: where its six files are, and their content.
//!
//! The places are, in this order: the folder itself, `cifar-10-batches-bin` in it (as the archive unpacks),
//! `cifar10` and `cifar10/cifar-10-batches-bin`. The first that holds all six is taken; each may be
//! compressed with gzip. They are not downloaded, because their digests are not known here.

use super::parts::read_bounded;
use super::{Dataset, DatasetError};
use common::data::cifar;
use common::data::classes::ClassNames;
use common::data::samples::Samples;
use common::train::config::hex;
use etcetera::BaseStrategy;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The name, as `--dataset` takes it.
pub(super) const NAME: &str = "cifar10";
/// Files to train on, and the one to test on.
const TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
const TEST: &str = "test_batch.bin";
const PLACES: [&str; 4] = [".", "cifar-10-batches-bin", "cifar10", "cifar10/cifar-10-batches-bin"];
/// Names of the classes, as the archive's `batches.meta.txt` has them.
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// Most bytes of a file, uncompressed: three times those of its 10,000 records.
const FILE_BYTES_MAX: u64 = 100_000_000;

/// Loads CIFAR-10 from the folder that the user has named, or from the user's cache.
pub(super) fn load(named: Option<&Path>) -> Result<Dataset, DatasetError> {
    let cache = || Some(etcetera::choose_base_strategy().ok()?.cache_dir().join("lockstep").join(NAME));
    let folder = named.map(Path::to_owned).or_else(cache).ok_or(DatasetError::NoCifar { folder: None })?;
    let complete = PLACES.iter().filter_map(|place| files(&folder.join(place))).next();
    let [train @ .., test] = complete.ok_or(DatasetError::NoCifar { folder: Some(folder) })?;
    let mut hash = Sha256::new();
    let train = samples(&train, &mut hash)?;
    let test = samples(&[test], &mut hash)?;
    Ok(Dataset {
        name: NAME.to_owned(),
        digest: hex(&hash.finalize()),
        classes: ClassNames::new(CLASSES),
        train,
        test,
        note: None,
    })
}

/// The six files of a place, if all are there.
fn files(place: &Path) -> Option<[PathBuf; 6]> {
    let file = |name: &str| {
        let paths = [place.join(name), place.join(format!("{name}.gz"))];
        paths.into_iter().find(|path| path.is_file())
    };
    let all: Option<Vec<PathBuf>> = TRAIN.into_iter().chain([TEST]).map(file).collect();
    all?.try_into().ok()
}

fn samples(files: &[PathBuf], hash: &mut Sha256) -> Result<Samples, DatasetError> {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for path in files {
        let content = read_bounded(path, FILE_BYTES_MAX)?;
        hash.update(&content);
        let read = cifar::read(&content, &mut pixels, &mut labels);
        read.map_err(|source| DatasetError::Cifar { path: path.clone(), source })?;
        if content.is_empty() {
            return Err(DatasetError::Empty(path.clone()));
        }
    }
    // `read` checks both.
    Ok(Samples::new(cifar::SPEC, pixels, labels).expect("as many images as labels, each label a class"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::download::tests::gzip;
    use common::data::cifar::RECORD_BYTES;
    use std::fs;

    fn put(place: &Path, spell: impl Fn(&str, Vec<u8>) -> (String, Vec<u8>)) {
        fs::create_dir_all(place).unwrap();
        for (index, name) in TRAIN.into_iter().chain([TEST]).enumerate() {
            let mut records = vec![index as u8; 2 * RECORD_BYTES];
            records[RECORD_BYTES] = 9;
            let (name, content) = spell(name, records);
            fs::write(place.join(name), content).unwrap();
        }
    }

    #[test]
    fn all_six_files_of_a_place_are_read_in_their_order() {
        for place in PLACES {
            let folder = tempfile::tempdir().unwrap();
            put(&folder.path().join(place), |name, content| (name.to_owned(), content));
            let data = load(Some(folder.path())).unwrap();
            assert_eq!(data.train.labels(), [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]);
            assert_eq!((data.test.labels(), data.test.image(1)[0]), (&[5, 9][..], 5));
            assert_eq!((data.classes.get(9), data.classes.len()), ("truck", 10));
            let packed = tempfile::tempdir().unwrap();
            put(packed.path(), |name, content| (format!("{name}.gz"), gzip(&content)));
            assert_eq!(load(Some(packed.path())).unwrap().digest, data.digest);
        }
    }

    #[test]
    fn what_is_missing_or_damaged_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = load(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("data_batch_1.bin") && error.contains("--data-dir"), "{error}");
        put(folder.path(), |name, mut content| {
            content.pop();
            (name.to_owned(), content)
        });
        let error = load(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("data_batch_1.bin") && error.contains("6145 bytes"), "{error}");
    }
}
