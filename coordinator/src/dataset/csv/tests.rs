use super::rows::LINE_BYTES_MAX;
use super::*;
use crate::dataset::download::tests::gzip;
use crate::dataset::{PictureOptions, in_folder};
use common::data::idx;
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use std::fs;
use std::io::Write;
use tempfile::TempDir;

/// A row of a 2x2 image for each of these numbers: the label is its last digit, and each pixel the number.
fn rows(numbers: impl IntoIterator<Item = u8>) -> String {
    let row = |number: u8| format!("{},{number},{number},{number},{number}\n", number % 10);
    numbers.into_iter().map(row).collect()
}

fn folder_of(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// The error for a table with that content, which names the file, on one line.
fn error_of(content: impl AsRef<[u8]>) -> CsvError {
    let folder = folder_of(&[("train.csv", content.as_ref())]);
    let error = load(folder.path()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(folder.path().to_str().unwrap()) && !text.contains('\n'), "{text}");
    match error {
        DatasetError::Csv(error) => error,
        other => panic!("{other}"),
    }
}

/// Numbers of the images, which are their pixels.
fn numbers(samples: &Samples) -> Vec<u8> {
    (0..samples.len()).map(|index| samples.image(index)[3]).collect()
}

#[test]
fn a_tenth_of_each_class_is_the_test_whatever_the_form_of_the_table() {
    let plain = rows(0..200);
    let header = format!("label,pixel0,pixel1,pixel2,pixel3\n{plain}");
    let odd = header.replace(',', "\" , \"").replace('\n', "\"\r\n\r\n\"");
    let odd = format!("\u{feff}\"{}", odd.strip_suffix('"').unwrap());
    let tables = [plain.clone().into_bytes(), header.into_bytes(), odd.into_bytes()];
    let mut digests = Vec::new();
    for table in tables {
        for packed in [false, true] {
            let (name, content) =
                if packed { ("train.csv.gz", gzip(&table)) } else { ("train.csv", table.clone()) };
            // It has no labels, so it is not even read.
            let folder = folder_of(&[(name, &content), ("test.csv", b"pixel0\n")]);
            let data = load(folder.path()).unwrap();
            assert_eq!(data.name, format!("kaggle:{}", folder.path().display()));
            assert_eq!(data.name.parse(), Ok(DatasetChoice::Kaggle(folder.path().to_owned())));
            let note = data.note.unwrap();
            assert!(note.starts_with("20 of the 200 images in") && note.contains(name), "{note}");
            assert_eq!((data.train.len(), data.test.spec()), (180, DataSpec::new(2, 2, 1, 10).unwrap()));
            for class in 0..10 {
                assert_eq!(data.test.labels().iter().filter(|&&label| label == class).count(), 2);
            }
            let both = [numbers(&data.train), numbers(&data.test)];
            assert!(both.iter().all(|numbers| numbers.is_sorted()), "{both:?}");
            digests.push(data.digest);
        }
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    // Printed once by this very test; another one means that old runs on such data can't go on.
    assert_eq!(digests[0], "60bc730189a5caa890ad5fa129050c5930512aa6fb7836a924624bd9a54f04ea");
}

#[test]
fn a_class_of_few_rows_gives_a_tenth_rounded_to_the_nearest() {
    for (count, held_out) in [(5, 1), (14, 1), (15, 2)] {
        let folder = folder_of(&[("train.csv", rows(vec![7; count]).as_bytes())]);
        let data = load(&folder.path().join("train.csv")).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (count - held_out, held_out));
    }
    let error = error_of(rows(0..40));
    assert!(matches!(error, CsvError::TooFew { rows: 40, .. }), "{error}");
}

#[test]
fn a_pair_is_trained_on_and_tested_on_whoever_of_both_is_named() {
    let train = rows(0..30);
    let test = gzip(rows(9..14).as_bytes());
    let folder = folder_of(&[
        ("digits_train.csv", train.as_bytes()),
        ("digits_train.csv.gz", b"not looked at"),
        ("digits_test.csv.gz", &test),
        ("other_train.csv", b"has no test"),
    ]);
    let file = folder.path().join("digits_train.csv");
    for path in [folder.path(), &file] {
        let data = load(path).unwrap();
        assert_eq!((numbers(&data.train), numbers(&data.test)), ((0..30).collect(), (9..14).collect()));
        assert_eq!(data.note, None);
        let files = [&data.train, &data.test].map(idx::encode);
        let files = files.map(|(images, labels)| [images, labels].concat()).concat();
        assert_eq!(data.digest, sha256(&files));
    }
    fs::write(folder.path().join("other_test.csv"), "").unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, DatasetError::Csv(CsvError::Ambiguous { .. })), "{error}");
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    common::train::config::hex(&sha2::Sha256::digest(bytes))
}

#[test]
fn halves_of_different_forms_are_refused_and_share_their_classes() {
    let large = "3,1,1,1,1,1,1,1,1,1\n";
    let folder = folder_of(&[("a_train.csv", rows(0..5).as_bytes()), ("a_test.csv", large.as_bytes())]);
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, DatasetError::Forms { .. }), "{error}");
    fs::write(folder.path().join("a_test.csv"), "999,1,1,1,1\n").unwrap();
    let data = load(folder.path()).unwrap();
    assert_eq!((data.train.spec().classes(), data.test.labels()), (1000, &[999][..]));
    fs::write(folder.path().join("a_test.csv"), "label,a,b,c,d\n").unwrap();
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, DatasetError::Empty(path) if path.ends_with("a_test.csv")));
}

#[test]
fn what_is_not_there_is_named() {
    let folder = folder_of(&[("test.csv", b"")]);
    let error = load(folder.path()).unwrap_err();
    assert!(matches!(error, DatasetError::Csv(CsvError::NoTable(_))), "{error}");
    for path in [folder.path().join("typo"), PathBuf::new()] {
        let error = load(&path).unwrap_err();
        assert!(matches!(error, DatasetError::Csv(CsvError::Missing(_))), "{error}");
    }
    let table = folder.path().join("train.csv");
    fs::write(&table, "").unwrap();
    let error = in_folder(&table, PictureOptions::default(), None).unwrap_err();
    assert!(error.to_string().contains(&format!("--dataset kaggle:{}", table.display())), "{error}");
    let error = load(&table).unwrap_err();
    assert!(matches!(error, DatasetError::Empty(_)), "{error}");
}

#[test]
fn a_wrong_field_is_named_by_line_and_column_with_its_value() {
    for value in ["256", "-1", "1.0", "", "nan", "1 2", "99999999999", "\u{1b}[31m"] {
        let error = error_of(format!("label,a,b,c,d\n\n1,2,3,4,5\n1,2,3,{value},5\n"));
        let shown = host::printable(value).into_owned();
        assert!(
            matches!(&error, CsvError::Pixel { line: 4, column: 4, value, .. } if *value == shown),
            "{error}"
        );
    }
    for value in ["1000", "-1", "1.0", "x", ""] {
        let error = error_of(format!("1,2,3,4,5\n{value},2,3,4,5\n"));
        assert!(matches!(&error, CsvError::Label { line: 2, value: got, .. } if got == value), "{error}");
    }
    for row in ["1,2,3,4", "1,2,3,4,5,6", "1"] {
        let error = error_of(format!("1,2,3,4,5\n{row}\n"));
        assert!(matches!(error, CsvError::Columns { line: 2, expected: 5, .. }), "{error}");
    }
}

#[test]
fn another_first_row_is_refused() {
    for first in ["pixel0,pixel1,label\n", ",label,a,b,c,d\n", "PK\u{3}\u{4}", "{\"a\": 1}\n"] {
        let error = error_of(first);
        assert!(matches!(error, CsvError::FirstColumn { .. }), "{error}");
    }
    for first in ["label\n", "label,a,b\n", "3,1,2,3\n"] {
        let error = error_of(first);
        assert!(matches!(error, CsvError::NotSquare { line: 1, .. }), "{error}");
    }
    let wide = format!("label{}\n", ",p".repeat(257 * 257));
    assert!(matches!(error_of(wide), CsvError::NotSquare { pixels: 66_049, .. }));
}

#[test]
fn a_line_without_end_is_read_no_further_than_the_longest_row() {
    let long = format!("{}{}", rows(0..3), "1,".repeat(LINE_BYTES_MAX));
    let error = error_of(&long);
    assert!(matches!(error, CsvError::LineTooLong { line: 4, .. }), "{error}");
    // A gzip bomb: only a reader that reaches the end learns that the file is damaged.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    (0..64).for_each(|_| encoder.write_all(&vec![b'1'; 1 << 20]).unwrap());
    let mut bomb = encoder.finish().unwrap();
    bomb.truncate(bomb.len() - 9);
    let error = error_of(&bomb);
    assert!(matches!(error, CsvError::LineTooLong { line: 1, .. }), "{error}");
}

#[test]
fn damaged_gzip_is_refused() {
    let whole = gzip(rows(0..200).as_bytes());
    let mut altered = whole.clone();
    altered[whole.len() - 8] ^= 1;
    for bytes in [&whole[..whole.len() - 9], &altered] {
        let error = error_of(bytes);
        assert!(matches!(error, CsvError::Gzip { .. }), "{error}");
    }
}

#[test]
fn a_table_without_labels_is_read_and_one_with_them_is_refused() {
    let table = |content: &[u8]| {
        let folder = folder_of(&[("test.csv", content)]);
        read_unlabelled(&folder.path().join("test.csv"))
    };
    let header = b"pixel0,pixel1,pixel2,pixel3\n1,2,3,4\n\n5,6,7,255\n";
    for content in [&header[..], &header[28..], &gzip(header)] {
        let samples = table(content).unwrap();
        assert_eq!(
            (samples.len(), samples.image(0), samples.image(1)),
            (2, &[1, 2, 3, 4][..], &[5, 6, 7, 255][..])
        );
    }
    assert!(table(b"pixel0\n").unwrap().is_empty());
    let error = table(b"label,pixel0,pixel1,pixel2,pixel3\n1,2,3,4,5\n").unwrap_err();
    assert!(matches!(error, CsvError::Labelled(_)), "{error}");
    let error = table(b"1,2,3,4,5\n").unwrap_err();
    assert!(matches!(error, CsvError::NoImage { line: 1, columns: 5, .. }), "{error}");
    let error = table(b"1,2,3,4\n1,2,3\n").unwrap_err();
    assert!(matches!(error, CsvError::Columns { line: 2, expected: 4, got: 3, .. }), "{error}");
    let error = table(b"a,b,c,d\n1,2,256,4\n").unwrap_err();
    assert!(matches!(error, CsvError::Pixel { line: 2, column: 3, .. }), "{error}");
}
