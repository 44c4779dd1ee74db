use super::download::tests::server::{Reply, Server};
use super::download::tests::{PATIENT, gzip, mirrors, names};
use super::parts::{PART_BYTES_MAX, PARTS, content_bytes_max};
use super::*;
use common::data::digits::{PIXELS, SPEC};
use common::data::idx::{self, IdxError};
use common::data::spec::DataSpec;
use common::train::config::hex;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;

/// Contents of four files: images of one grey each, with their class as label.
fn contents(train: u8, test: u8) -> [Vec<u8>; 4] {
    let samples = |count: u8| {
        let pixels = (0..count).flat_map(|index| vec![index; PIXELS]).collect();
        let labels = (0..count).map(|index| u16::from(index) % SPEC.classes() as u16).collect();
        idx::encode(&Samples::new(SPEC, pixels, labels).unwrap())
    };
    let ((train_images, train_labels), (test_images, test_labels)) = (samples(train), samples(test));
    [train_images, train_labels, test_images, test_labels]
}

/// A folder with these four files, plain.
fn folder_of(contents: &[Vec<u8>; 4]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (part, content) in PARTS.iter().zip(contents) {
        fs::write(folder.path().join(part.name), content).unwrap();
    }
    folder
}

/// What a folder with that path holds.
fn loaded(folder: &Path) -> Result<Dataset, DatasetError> {
    in_folder(folder, PictureOptions::default(), None)
}

/// A mirror of these four files.
fn server_of(contents: [Vec<u8>; 4]) -> Server {
    Server::start(move |file| {
        let at = PARTS.iter().position(|part| format!("{}.gz", part.name) == file);
        at.map_or(Reply::Status(404), |at| Reply::Whole(gzip(&contents[at])))
    })
}

/// MNIST as these four files, on that mirror.
fn origin(contents: &[Vec<u8>; 4], server: &Server) -> Origin {
    let sha256 = contents.each_ref().map(|content| hex(&Sha256::digest(content)));
    Origin { mirrors: mirrors(&[server], PATIENT), sha256: Some(sha256), cache: None }
}

/// The error for a folder of four files of which number `part` holds `bytes`. It names that file, on one
/// line.
fn error_with(part: usize, bytes: &[u8]) -> DatasetError {
    let folder = folder_of(&contents(3, 2));
    let path = folder.path().join(PARTS[part].name);
    fs::write(&path, bytes).unwrap();
    let error = loaded(folder.path()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && !text.contains('\n'), "{text}");
    error
}

/// The result of [`error_with`] for training images that were changed.
fn error_of_images(change: impl FnOnce(&mut Vec<u8>)) -> DatasetError {
    let [mut images, ..] = contents(3, 2);
    change(&mut images);
    error_with(0, &images)
}

#[test]
fn a_choice_is_written_as_it_is_read() {
    for text in [
        "auto",
        "mnist",
        "emnist-letters",
        "cifar10",
        "digits",
        "./mnist",
        "/data/other",
        "kaggle:",
        "kaggle:a.npz",
        "b/c.npz",
        "d.npz/",
        "a?b",
        "a?fit=round",
        "a?grayscale",
        "a??",
        "a?fit=pad?",
    ] {
        assert_eq!(text.parse::<DatasetChoice>().unwrap().to_string(), text);
    }
    assert_eq!("./mnist".parse(), Ok(DatasetChoice::Folder("./mnist".into())));
    assert_eq!("kaggle:a.npz".parse(), Ok(DatasetChoice::Kaggle("a.npz".into())));
    assert_eq!("b/c.npz".parse(), Ok(DatasetChoice::Npz("b/c.npz".into())));
    assert_eq!("d.npz/".parse(), Ok(DatasetChoice::Folder("d.npz/".into())));
    assert_eq!("a?fit=pad?".parse(), Ok(DatasetChoice::Folder("a?fit=pad".into())));
    let options = PictureOptions { fit: Some(Fit::Pad), ..PictureOptions::default() };
    assert_eq!("a?b?fit=pad".parse(), Ok(DatasetChoice::Pictures("a?b".into(), options)));
}

#[test]
fn a_folder_has_the_digest_of_its_content_plain_or_in_gzip() {
    let contents = contents(3, 2);
    let folder = folder_of(&contents);
    let plain = loaded(folder.path()).unwrap();
    fs::remove_file(folder.path().join(PARTS[0].name)).unwrap();
    // Two gzip members, as `cat` of two gzip files makes them.
    let (first, second) = contents[0].split_at(100);
    let packed = [gzip(first), gzip(second)].concat();
    fs::write(folder.path().join(format!("{}.gz", PARTS[0].name)), packed).unwrap();
    let packed = loaded(folder.path()).unwrap();
    for data in [&plain, &packed] {
        assert_eq!(data.name, folder.path().display().to_string());
        assert_eq!(data.digest, hex(&Sha256::digest(contents.concat())));
        assert_eq!((data.train.labels(), data.test.labels()), (&[0, 1, 2][..], &[0, 1][..]));
        assert_eq!((data.train.image(2)[0], &data.note), (2, &None));
    }
}

#[test]
fn what_is_not_there_is_named() {
    let folder = folder_of(&contents(3, 2));
    fs::remove_file(folder.path().join(PARTS[3].name)).unwrap();
    let error = loaded(folder.path()).unwrap_err();
    assert!(error.to_string().contains(&format!("lacks {} (", PARTS[3].name)), "{error}");
    assert!(matches!(error, DatasetError::Missing(lacking) if *lacking.missing() == [PARTS[3].name]));
    let error = loaded(&folder.path().join("typo")).unwrap_err();
    assert!(matches!(error, DatasetError::NoFolder(_)), "{error}");
    let error = loaded(&folder.path().join(PARTS[0].name)).unwrap_err();
    assert!(matches!(error, DatasetError::IsFile { flag: "--dataset", .. }), "{error}");
    assert!(error.to_string().contains(&format!("may be {};", folder.path().display())), "{error}");
}

#[test]
fn a_file_of_another_kind_is_refused_by_its_header() {
    let error = error_of_images(|bytes| bytes[2] = 9);
    assert!(
        matches!(error, DatasetError::Header { source: IdxError::Magic { got: 0x0903, .. }, .. }),
        "{error}"
    );
    let error = error_of_images(|bytes| bytes[10] = 27);
    assert!(matches!(error, DatasetError::Header { source: IdxError::Size { .. }, .. }), "{error}");
    let error = error_with(0, &[]);
    assert!(matches!(error, DatasetError::Header { source: IdxError::Header { got: 0, .. }, .. }), "{error}");
    // Labels where images should be.
    let error = error_with(0, &contents(30, 2)[1]);
    assert!(matches!(error, DatasetError::Header { source: IdxError::Magic { .. }, .. }), "{error}");
}

#[test]
fn a_file_must_be_as_long_as_it_announces() {
    let announced = contents(3, 2)[0].len() as u64;
    let error = error_of_images(|bytes| bytes.push(0));
    assert!(matches!(error, DatasetError::Longer { expected, .. } if expected == announced), "{error}");
    let error = error_of_images(|bytes| bytes.truncate(bytes.len() - 1));
    assert!(matches!(error, DatasetError::CutOff { got, .. } if got == announced - 1), "{error}");
}

#[test]
fn images_need_as_many_labels() {
    let error = error_with(0, &contents(4, 2)[0]);
    assert!(matches!(error, DatasetError::Pair { .. }), "{error}");
    let folder = folder_of(&contents(3, 0));
    let error = loaded(folder.path()).unwrap_err();
    assert!(matches!(error, DatasetError::Empty(path) if path.ends_with(PARTS[2].name)));
}

#[test]
fn a_folder_has_the_form_and_the_classes_of_its_files() {
    let [_, mut labels, ..] = contents(3, 2);
    labels[9] = 250;
    let folder = folder_of(&contents(3, 2));
    fs::write(folder.path().join(PARTS[1].name), labels).unwrap();
    let spec = loaded(folder.path()).unwrap().train.spec();
    assert_eq!((spec.height(), spec.width(), spec.channels(), spec.classes()), (28, 28, 1, 251));
}

#[test]
fn test_images_of_another_size_are_refused() {
    let small = DataSpec::new(8, 9, 1, 3).unwrap();
    let (images, labels) = idx::encode(&Samples::new(small, vec![0; 72], vec![1]).unwrap());
    let [train_images, train_labels, ..] = contents(3, 2);
    let folder = folder_of(&[train_images, train_labels, images, labels]);
    let error = loaded(folder.path()).unwrap_err();
    assert!(matches!(error, DatasetError::Forms { .. }), "{error}");
    assert!(error.to_string().contains("8x9x1"), "{error}");
}

#[test]
fn damaged_gzip_is_refused() {
    let whole = gzip(&contents(3, 2)[0]);
    let cut = &whole[..whole.len() - 9];
    // The last 8 bytes are a checksum and the length (RFC 1952, section 2.3.1).
    let mut miscounted = whole.clone();
    *miscounted.last_mut().unwrap() ^= 1;
    let mut altered = whole.clone();
    altered[whole.len() - 8] ^= 1;
    for bytes in [cut, &miscounted, &altered, &whole[..12]] {
        let error = error_with(0, bytes);
        assert!(matches!(error, DatasetError::Gzip { .. }), "{error}");
    }
}

#[test]
fn a_gzip_bomb_is_read_no_further_than_it_announces() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&contents(3, 2)[0]).unwrap();
    for _ in 0..64 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let mut bomb = encoder.finish().unwrap();
    // Only a reader that reaches the end learns that the file is damaged.
    bomb.truncate(bomb.len() - 9);
    let error = error_with(0, &bomb);
    assert!(matches!(error, DatasetError::Longer { .. }), "{error}");
}

#[test]
fn memory_is_not_reserved_for_what_is_only_announced() {
    let count = |count: u32| move |bytes: &mut Vec<u8>| bytes[4..8].copy_from_slice(&count.to_be_bytes());
    let error = error_of_images(count(u32::MAX));
    let announced_bytes = 16 + u64::from(u32::MAX) * PIXELS as u64;
    assert!(
        matches!(error, DatasetError::TooLarge { announced, .. } if announced == announced_bytes),
        "{error}"
    );
    let most = (PART_BYTES_MAX - 16) / PIXELS as u64;
    assert_eq!(content_bytes_max(PART_BYTES_MAX, 36, false), 36 + 1);
    assert_eq!(content_bytes_max(PART_BYTES_MAX, 36, true), 36 * 1032 + 1);
    assert_eq!(content_bytes_max(1000, 36, true), 1000 + 1);
    let error = error_of_images(count(most as u32));
    assert!(matches!(error, DatasetError::CutOff { got, .. } if got == 16 + 3 * PIXELS as u64), "{error}");
}

#[test]
fn mnist_is_downloaded_once_and_then_read_without_a_request() {
    let contents = contents(3, 2);
    let server = server_of(contents.clone());
    let folder = tempfile::tempdir().unwrap();
    // A file that exists is not downloaded.
    fs::write(folder.path().join(PARTS[2].name), &contents[2]).unwrap();
    for requests in [4, 4] {
        let data = load_from(
            &DatasetChoice::Named(Named::Mnist),
            Some(folder.path()),
            origin(&contents, &server),
            None,
        )
        .unwrap();
        assert_eq!((data.name.as_str(), data.train.len(), data.test.len()), ("mnist", 3, 2));
        assert_eq!(data.digest, hex(&Sha256::digest(contents.concat())));
        assert_eq!(server.requests().len(), requests);
    }
    assert_eq!(names(folder.path()).len(), 4);
}

#[test]
fn mnist_is_read_from_torchvisions_layout_without_a_request() {
    let contents = contents(3, 2);
    let server = server_of(contents.clone());
    let root = tempfile::tempdir().unwrap();
    for (name, last) in [("FashionMNIST", 5), ("MNIST", 2)] {
        let raw = root.path().join(name).join("raw");
        fs::create_dir_all(&raw).unwrap();
        let contents = self::contents(3, last);
        PARTS
            .iter()
            .zip(contents)
            .for_each(|(part, content)| fs::write(raw.join(part.name), content).unwrap());
    }
    let data = load_from(&DatasetChoice::Auto, Some(root.path()), origin(&contents, &server), None).unwrap();
    assert_eq!((data.name.as_str(), data.digest), ("mnist", hex(&Sha256::digest(contents.concat()))));
    assert!(server.requests().is_empty());
    assert_eq!(names(root.path()), ["FashionMNIST", "MNIST"]);
}

#[test]
fn without_mnist_auto_trains_on_digits_with_a_note_where_mnist_fails() {
    let server = Server::start(|_| Reply::Status(404));
    let folder = tempfile::tempdir().unwrap();
    let cache = Some(folder.path().to_owned());
    let origin = || Origin { cache: cache.clone(), ..origin(&contents(3, 2), &server) };
    let error = load_from(&DatasetChoice::Named(Named::Mnist), None, origin(), None).unwrap_err();
    assert!(matches!(error, DatasetError::Unavailable { .. }), "{error}");
    let data = load_from(&DatasetChoice::Auto, None, origin(), None).unwrap();
    assert_eq!((data.name.as_str(), data.train.len(), data.test.len()), ("digits", 60_000, 10_000));
    let note = data.note.unwrap();
    assert_eq!(note, format!("training on the embedded digits: {error}"));
    assert!(note.contains(&server.base()) && note.contains("404") && !note.contains('\n'), "{note}");
}

#[test]
fn a_folder_that_is_named_for_mnist_is_used_or_refused() {
    let server = Server::start(|_| Reply::Status(404));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let origin = || origin(&contents(3, 2), &server);
    let named = [folder.path().to_owned(), folder.path().join("new"), file.clone(), file.join("below")];
    for path in named {
        for choice in [DatasetChoice::Auto, DatasetChoice::Named(Named::Mnist)] {
            let error = load_from(&choice, Some(&path), origin(), None).unwrap_err();
            assert!(
                matches!(error, DatasetError::NotInNamed { .. } | DatasetError::IsFile { .. }),
                "{error}"
            );
            let text = error.to_string();
            for word in [path.to_str().unwrap(), PARTS[0].name, "--dataset digits", "--data-dir"] {
                assert!(text.contains(word) && !text.contains('\n'), "{word}: {text}");
            }
        }
    }
}

#[test]
fn a_wrong_file_is_named_and_left_alone_whatever_the_choice() {
    let server = server_of(contents(3, 2));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{}.gz", PARTS[0].name));
    for bytes in [gzip(&contents(4, 2)[0]), b"not even gzip".to_vec()] {
        fs::write(&path, &bytes).unwrap();
        for choice in [DatasetChoice::Named(Named::Mnist), DatasetChoice::Auto] {
            let origin = origin(&contents(3, 2), &server);
            let error = load_from(&choice, Some(folder.path()), origin, None).unwrap_err();
            assert!(matches!(error, DatasetError::Foreign { .. } | DatasetError::Header { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()));
        }
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    assert!(server.requests().is_empty());
}

#[test]
fn the_real_mnist_is_read_where_the_environment_says_it_lies() {
    let Some(folder) = std::env::var_os("MNIST_DIR").filter(|folder| !folder.is_empty()) else {
        host::report("MNIST_DIR is not set: the real MNIST was not read");
        return;
    };
    // From its folder, or not at all.
    let origin = Origin { mirrors: mirrors(&[], PATIENT), ..Origin::public(Named::Mnist, None) };
    let data =
        load_from(&DatasetChoice::Named(Named::Mnist), Some(Path::new(&folder)), origin, None).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
    assert_eq!(data.train.labels()[..5], [5, 0, 4, 1, 9]);
    assert_eq!(data.test.labels()[..5], [7, 2, 1, 0, 4]);
}
