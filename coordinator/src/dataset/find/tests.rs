use super::*;
use crate::dataset::parts::PARTS;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

const MNIST: Name = Name::Only { own: "mnist", torchvision: "MNIST" };

/// Another spelling of the four files' names.
type Spell = fn(&str) -> String;

const OWN: Spell = |name| name.to_owned();
const GZIP: Spell = |name| format!("{name}.gz");
const DOT: Spell = |name| name.replace("-idx", ".idx");
const DOT_GZIP: Spell = |name| GZIP(&DOT(name));

fn empty() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Puts four empty files of these names in a place.
fn put(place: &Path, spell: Spell) {
    fs::create_dir_all(place).unwrap();
    PARTS.iter().for_each(|part| fs::write(place.join(spell(part.name)), "").unwrap());
}

/// The four paths in a place, by the names of that spelling.
fn paths(place: &Path, spell: Spell) -> Paths {
    PARTS.map(|part| Some(place.join(spell(part.name))))
}

fn found(folder: &Path, name: Name) -> Paths {
    files(folder, &PARTS, name).unwrap()
}

#[test]
fn each_spelling_is_found_and_the_first_of_several_is_taken() {
    let folder = empty();
    for spell in [DOT_GZIP, DOT, GZIP, OWN] {
        put(folder.path(), spell);
        assert_eq!(found(folder.path(), Name::Any), paths(folder.path(), spell));
    }
}

#[test]
fn a_folder_named_like_a_file_is_no_file_but_may_hold_it() {
    let folder = empty();
    let images = PARTS[0];
    let like_a_file = folder.path().join(images.name);
    fs::create_dir(&like_a_file).unwrap();
    assert_eq!(part(folder.path(), images).unwrap(), None);
    // A folder within it is no file either.
    fs::create_dir(like_a_file.join(images.name)).unwrap();
    assert_eq!(part(folder.path(), images).unwrap(), None);
    for spell in [DOT_GZIP, DOT, GZIP] {
        let within = like_a_file.join(spell(images.name));
        fs::write(&within, "").unwrap();
        assert_eq!(part(folder.path(), images).unwrap(), Some(within));
    }
    // Kaggle's copy has the file beside the folder, too.
    let beside = folder.path().join(DOT(images.name));
    fs::write(&beside, "").unwrap();
    assert_eq!(part(folder.path(), images).unwrap(), Some(beside));
}

#[test]
fn the_first_place_that_holds_all_four_is_taken() {
    let folder = empty();
    let folder = folder.path();
    for place in ["FashionMNIST/raw", "raw", "."] {
        // A place that lacks one file is passed over.
        put(&folder.join(place), OWN);
        let one = folder.join(place).join(PARTS[3].name);
        fs::remove_file(&one).unwrap();
        let before = found(folder, Name::Any);
        assert!(before.iter().flatten().all(|path| path.starts_with(folder)), "{before:?}");
        assert!(before[3] != Some(one.clone()), "{before:?}");
        fs::write(&one, "").unwrap();
        assert_eq!(found(folder, Name::Any), paths(&folder.join(place), OWN));
    }
}

#[test]
fn two_named_places_are_an_error_that_names_both() {
    let folder = empty();
    let places = ["FashionMNIST", "KMNIST"].map(|name| folder.path().join(name).join(RAW));
    places.iter().for_each(|place| put(place, OWN));
    let error = files(folder.path(), &PARTS, Name::Any).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, DatasetError::Ambiguous { .. }), "{text}");
    assert!(places.iter().all(|place| text.contains(place.to_str().unwrap())), "{text}");
}

#[test]
fn for_mnist_other_data_sets_beside_it_do_not_count() {
    let folder = empty();
    put(&folder.path().join("FashionMNIST/raw"), OWN);
    assert_eq!(found(folder.path(), MNIST), Paths::default());
    put(&folder.path().join("MNIST/raw"), OWN);
    assert_eq!(found(folder.path(), MNIST), paths(&folder.path().join("MNIST/raw"), OWN));
}

#[test]
fn without_a_whole_place_the_folder_itself_counts() {
    let folder = empty();
    put(&folder.path().join(RAW), OWN);
    fs::remove_file(folder.path().join(RAW).join(PARTS[0].name)).unwrap();
    let own = folder.path().join(GZIP(PARTS[2].name));
    fs::write(&own, "").unwrap();
    assert_eq!(found(folder.path(), Name::Any), [None, None, Some(own), None]);
    assert_eq!(found(&folder.path().join("none"), MNIST), Paths::default());
}

#[test]
fn links_are_followed_and_broken_ones_are_nothing() {
    let (folder, elsewhere) = (empty(), empty());
    put(elsewhere.path(), OWN);
    symlink(elsewhere.path(), folder.path().join(RAW)).unwrap();
    symlink("nowhere", folder.path().join(PARTS[0].name)).unwrap();
    assert_eq!(found(folder.path(), Name::Any), paths(&folder.path().join(RAW), OWN));
    // A link to itself is an error of the system, which names the path.
    symlink(PARTS[1].name, folder.path().join(PARTS[1].name)).unwrap();
    let error = files(folder.path(), &PARTS, Name::Any).unwrap_err();
    assert!(matches!(error, DatasetError::Unsearchable { .. }), "{error}");
    assert!(error.to_string().contains(PARTS[1].name), "{error}");
}

#[test]
fn a_crowded_folder_is_not_searched_for_named_places() {
    let folder = empty();
    put(&folder.path().join("A/raw"), OWN);
    let crowd =
        |count| (1..count).for_each(|index| fs::write(folder.path().join(index.to_string()), "").unwrap());
    crowd(ENTRIES_MAX);
    assert_eq!(found(folder.path(), Name::Any), paths(&folder.path().join("A/raw"), OWN));
    crowd(ENTRIES_MAX + 1);
    assert_eq!(found(folder.path(), Name::Any), Paths::default());
}

#[test]
fn a_message_has_what_is_lacking_and_a_few_names_like_it() {
    let folder = empty();
    fs::write(folder.path().join(PARTS[3].name), "").unwrap();
    for name in ["notes.txt", "Train_Images.IDX", "labels\x1b[31m\n.csv", &"mnist".repeat(40)] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let shown = |more: usize| {
        (0..more).for_each(|index| fs::write(folder.path().join(format!("z{index}-idx")), "").unwrap());
        let lacking = Lacking::of(folder.path(), &PARTS, Name::Any);
        assert_eq!(*lacking.missing(), [PARTS[0].name, PARTS[1].name, PARTS[2].name]);
        lacking.to_string()
    };
    let text = shown(0);
    assert!(text.contains(folder.path().to_str().unwrap()) && text.contains("Train_Images.IDX"), "{text}");
    assert!(text.contains("labels\\u001b[31m\\u000a.csv") && !text.contains(char::is_control), "{text}");
    assert!(text.contains("mnistmnist...") && !text.contains("notes") && !text.contains("more"), "{text}");
    assert!(!text.contains(PARTS[3].name), "{text}");
    let text = shown(12);
    assert!(text.ends_with("z0-idx, z1-idx and 10 more"), "{text}");
}

#[test]
fn a_folder_that_does_not_exist_is_said_not_to() {
    let folder = empty();
    let text = Lacking::of(&folder.path().join("typo"), &PARTS, MNIST).to_string();
    assert!(text.contains("typo does not exist") && text.contains("MNIST/raw"), "{text}");
}
