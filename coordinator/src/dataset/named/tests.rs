//! Data sets with a name, made as their files are.

use super::*;
use crate::dataset::download::tests::{PATIENT, mirrors};
use crate::dataset::load_from;
use common::data::idx;
use std::fs;
use tempfile::TempDir;

/// Files of a data set of 2 x 3 pixels, in which pixel `i` of image `n` is `10 n + i`.
fn folder_of(named: Named, labels: &[u16], within: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join(within);
    fs::create_dir_all(&place).unwrap();
    let spec = DataSpec::new(2, 3, 1, 100).unwrap();
    let pixels = (0..labels.len() as u8).flat_map(|n| (0..6).map(move |i| 10 * n + i)).collect();
    let (images, of_labels) = idx::encode(&Samples::new(spec, pixels, labels.to_vec()).unwrap());
    for (index, part) in named.parts().into_iter().enumerate() {
        let wide = || {
            let words = [0x0c02, labels.len() as u32, 8];
            let rows = labels.iter().flat_map(|&label| [u32::from(label), 9, 9, 9, 9, 9, 9, 9]);
            words.into_iter().chain(rows).flat_map(u32::to_be_bytes).collect()
        };
        let content: Vec<u8> = match index % 2 {
            0 => images.clone(),
            _ if named == Named::Qmnist => wide(),
            _ => of_labels.clone(),
        };
        fs::write(place.join(part.name), content).unwrap();
    }
    folder
}

fn unknown() -> Origin {
    Origin { mirrors: mirrors(&[], PATIENT), sha256: None, cache: None }
}

fn loaded(named: Named, folder: &TempDir) -> Result<Dataset, DatasetError> {
    load(named, Some(folder.path()), unknown())
}

#[test]
fn every_data_set_is_read_from_its_own_files_in_any_place() {
    for named in ALL {
        let labels = [named.first_label(), named.first_label() + 1];
        let torchvision = format!("{}/raw", named.torchvision());
        let places = [".", "raw", named.name(), &torchvision];
        let all = places.map(|place| loaded(named, &folder_of(named, &labels, place)).unwrap());
        for data in &all {
            assert_eq!((data.name.as_str(), &data.digest), (named.name(), &all[0].digest));
            assert_eq!((data.train.labels(), data.test.len()), (&[0, 1][..], 2), "{named}");
            assert_eq!(
                data.train.spec().classes(),
                named.classes(),
                "of all classes, not of those in the files"
            );
            assert_eq!(data.name.parse::<crate::dataset::DatasetChoice>().unwrap().to_string(), named.name());
        }
    }
}

#[test]
fn emnist_is_put_upright_and_its_letters_count_from_0() {
    let letters = Named::Emnist(Emnist::Letters);
    let data = loaded(letters, &folder_of(letters, &[26, 1], ".")).unwrap();
    let spec = data.train.spec();
    assert_eq!((spec.height(), spec.width()), (3, 2));
    assert_eq!((data.train.image(1), data.train.labels()), (&[10, 13, 11, 14, 12, 15][..], &[25, 0][..]));
    let note = data.note.unwrap();
    assert!(note.contains("upright") && note.contains("from 1"), "{note}");
    for bad in [0, 27] {
        let error = loaded(letters, &folder_of(letters, &[1, bad], ".")).unwrap_err().to_string();
        assert!(error.contains(&format!("label {bad} of sample 1")) && error.contains("1 to 26"), "{error}");
    }
    assert!(loaded(Named::Kmnist, &folder_of(Named::Kmnist, &[1, 0], ".")).unwrap().note.is_none());
}

#[test]
fn what_can_not_be_downloaded_is_asked_for_by_its_files() {
    let folder = tempfile::tempdir().unwrap();
    for named in ALL {
        let error = loaded(named, &folder).unwrap_err().to_string();
        for words in [named.parts()[0].name, named.name(), folder.path().to_str().unwrap()] {
            assert!(error.contains(words) && !error.contains('\n'), "{words}: {error}");
        }
    }
    let error = load(Named::Kmnist, None, unknown()).unwrap_err().to_string();
    assert!(error.contains("kmnist") && error.contains("--data-dir"), "{error}");
}

#[test]
fn files_of_another_known_data_set_are_named() {
    let Some(mnist) = std::env::var_os("MNIST_DIR").filter(|folder| !folder.is_empty()) else {
        return host::report("MNIST_DIR is not set: its files were not taken for another data set's");
    };
    for (named, sha256) in [(Named::FashionMnist, Named::FashionMnist.sha256()), (Named::Kmnist, None)] {
        let origin = Origin { sha256: sha256.map(|all| all.map(str::to_owned)), ..unknown() };
        let choice = crate::dataset::DatasetChoice::Named(named);
        let error = load_from(&choice, Some(Path::new(&mnist)), origin, None).unwrap_err().to_string();
        assert!(error.contains("mnist's") && error.contains(named.name()), "{error}");
    }
}
