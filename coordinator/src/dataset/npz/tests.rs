use super::*;
use crate::dataset::{DatasetChoice, PictureOptions, in_folder};
use common::data::idx;
use common::data::spec::DataSpec;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::fs;
use std::io::Write;
use tempfile::TempDir;

/// An array's name, NumPy's name of its type, its shape, and its bytes.
type Given<'a> = (&'a str, &'a str, &'a str, &'a [u8]);

/// An array in NumPy's format, version 1.
fn npy(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    [b"\x93NUMPY\x01\0", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), bytes].concat()
}

/// A zip file of members with these names and contents.
fn zip_of(members: &[(String, Vec<u8>)], packed: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in members {
        let data = if packed { deflated(content) } else { content.clone() };
        let method: u16 = if packed { 8 } else { 0 };
        let mut fields = [&[20, 0, 0, 0], &method.to_le_bytes()[..], &[0; 4]].concat();
        let sizes = [crc32fast::hash(content), data.len() as u32, content.len() as u32, name.len() as u32];
        sizes.iter().for_each(|size| fields.extend(size.to_le_bytes()));
        let at = (file.len() as u32).to_le_bytes();
        // What stood in `name.len()` as 32 bits are two lengths of 16: the name's and the extra field's.
        directory.extend([b"PK\x01\x02\x14\0", &fields[..], &[0; 10], &at[..], name.as_bytes()].concat());
        file.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), &data].concat());
    }
    let counts = (members.len() as u16).to_le_bytes();
    let size = (directory.len() as u32).to_le_bytes();
    let at = (file.len() as u32).to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0", &counts[..], &counts[..], &size[..], &at[..], &[0, 0]].concat();
    [file, directory, end].concat()
}

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn npz(arrays: &[Given<'_>], packed: bool) -> Vec<u8> {
    let member = |(name, descr, shape, bytes): &Given<'_>| (format!("{name}.npy"), npy(descr, shape, bytes));
    zip_of(&arrays.iter().map(member).collect::<Vec<_>>(), packed)
}

/// Three images of 2x3 pixels to train on, and two to test on.
const GOOD: [Given<'_>; 4] = [
    ("x_train", "|u1", "3, 2, 3", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]),
    ("y_train", "|u1", "3,", &[4, 0, 2]),
    ("x_test", "|u1", "2, 2, 3", &[0; 12]),
    ("y_test", "<i4", "2, 1", &[1, 0, 0, 0, 3, 0, 0, 0]),
];

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.npz");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The error for a file with these bytes, which names it, on one line.
fn error_of(bytes: &[u8]) -> DatasetError {
    let (_folder, path) = written(bytes);
    let error = load(&path).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && !text.contains('\n'), "{text}");
    error
}

/// The error where the good array of that name is replaced.
fn error_with(array: Given<'_>) -> NpzError {
    let arrays = GOOD.map(|good| if good.0 == array.0 { array } else { good });
    match error_of(&npz(&arrays, true)) {
        DatasetError::Npz(error) => {
            assert!(error.to_string().contains(array.0), "{error}");
            error
        }
        other => panic!("{other}"),
    }
}

#[test]
fn arrays_are_samples_with_the_digest_of_their_idx_files() {
    let mut digests = Vec::new();
    for packed in [false, true] {
        let (_folder, path) = written(&npz(&GOOD, packed));
        let data = load(&path).unwrap();
        assert_eq!(data.name.parse(), Ok(DatasetChoice::Npz(path)));
        assert_eq!(data.train.spec(), DataSpec::new(2, 3, 1, 5).unwrap());
        assert_eq!((data.train.image(1), data.train.labels()), (&[7, 8, 9, 10, 11, 12][..], &[4, 0, 2][..]));
        assert_eq!((data.test.labels(), data.note), (&[1, 3][..], None));
        let folder = tempfile::tempdir().unwrap();
        for (half, samples) in [("train", &data.train), ("t10k", &data.test)] {
            let (images, labels) = idx::encode(samples);
            fs::write(folder.path().join(format!("{half}-images-idx3-ubyte")), images).unwrap();
            fs::write(folder.path().join(format!("{half}-labels-idx1-ubyte")), labels).unwrap();
        }
        digests.push(data.digest);
        digests.push(in_folder(folder.path(), PictureOptions::default(), None).unwrap().digest);
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn channels_and_labels_of_every_width_are_read() {
    let labels = |bytes: usize| (0..2).flat_map(move |at| [vec![7 * at], vec![0; bytes - 1]].concat());
    for (descr, bytes) in [("|u1", 1), ("|i1", 1), ("<u2", 2), ("<i2", 2), ("<u4", 4), ("<i8", 8), ("<u8", 8)]
    {
        let labels: Vec<u8> = labels(bytes).collect();
        let x: Given<'_> = ("", "|u1", "2, 1, 2, 3", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let y: Given<'_> = ("", descr, "2,", &labels);
        let arrays = [("x_train", x), ("y_train", y), ("x_test", x), ("y_test", y)];
        let arrays = arrays.map(|(name, (_, descr, shape, bytes))| (name, descr, shape, bytes));
        let (_folder, path) = written(&npz(&arrays, true));
        let data = load(&path).unwrap();
        assert_eq!(data.train.spec(), DataSpec::new(1, 2, 3, 8).unwrap());
        assert_eq!((data.test.image(1)[0], data.test.labels()), (7, &[0, 7][..]));
    }
}

#[test]
fn missing_arrays_are_named_beside_those_that_are_there() {
    let text = error_of(&npz(&GOOD[..2], false)).to_string();
    assert!(text.contains("lacks x_test, y_test; it has x_train.npy, y_train.npy;"), "{text}");
    let many: Vec<_> = (0..20).map(|index| (format!("\u{1b}{index}"), Vec::new())).collect();
    let text = error_of(&zip_of(&many, false)).to_string();
    assert!(text.contains("\\u001b7 and 12 more") && !text.contains('\u{1b}'), "{text}");
    assert!(error_of(&zip_of(&[], false)).to_string().contains("no array"));
}

#[test]
fn what_numpy_has_to_convert_is_refused_with_how() {
    let floats = error_with(("x_test", "<f4", "2, 2, 3", &[0; 48]));
    assert!(matches!(floats, NpzError::NotBytes { .. }));
    assert!(floats.to_string().contains("(x * 255).round().astype('uint8')"), "{floats}");
    for descr in ["<f8", ">i8", "|b1", "|O", "<U1"] {
        let error = error_with(("y_train", descr, "3,", &[0; 24]));
        assert!(matches!(error, NpzError::NotWhole { .. }), "{error}");
    }
    for shape in ["", "18,", "3, 6", "3, 2, 3, 1, 1"] {
        let error = error_with(("x_train", "|u1", shape, &[0; 18]));
        assert!(matches!(error, NpzError::Shape { .. }), "{error}");
    }
    let one_hot = error_with(("y_train", "|u1", "3, 5", &[0; 15]));
    assert!(one_hot.to_string().contains("argmax"), "{one_hot}");
    for shape in ["1, 1, 257, 1", "1, 3, 28, 28", "1, 0, 1", "1, 18446744073709551615, 1"] {
        let error = error_with(("x_train", "|u1", shape, &[]));
        assert!(matches!(error, NpzError::Size { .. }), "{error}");
    }
    let mut fortran = npy("|u1", "3,", &[4, 0, 2]);
    let at = fortran.windows(5).position(|word| word == b"False").unwrap();
    fortran.splice(at..at + 5, *b"True ");
    let members = GOOD.map(|(name, descr, shape, bytes)| (format!("{name}.npy"), npy(descr, shape, bytes)));
    let members = members
        .map(|(name, array)| if name == "y_train.npy" { (name, fortran.clone()) } else { (name, array) });
    let error = error_of(&zip_of(&members, true));
    assert!(matches!(error, DatasetError::Npz(NpzError::Fortran { array: "y_train", .. })), "{error}");
}

#[test]
fn labels_must_be_classes_and_as_many_as_images() {
    let error = error_with(("y_train", "|i1", "3,", &[4, 0, 255]));
    assert!(matches!(error, NpzError::Label { index: 2, value: -1, .. }), "{error}");
    let error = error_with(("y_train", "<u2", "3,", &[4, 0, 0, 0, 232, 3]));
    assert!(matches!(error, NpzError::Label { index: 2, value: 1000, .. }), "{error}");
    let error = error_with(("y_train", "<u8", "3,", &[255; 24]));
    assert!(matches!(error, NpzError::Label { value, .. } if value == i128::from(u64::MAX)), "{error}");
    let error = error_with(("y_train", "|u1", "4,", &[4, 0, 2, 1]));
    assert!(matches!(error, NpzError::Counts { images: 3, got: 4, .. }), "{error}");
    let none = GOOD.map(|(name, descr, shape, bytes)| {
        let empty = shape.replacen(|c: char| c.is_ascii_digit(), "0", 1);
        if name.ends_with("test") {
            (name, descr, empty, &[][..])
        } else {
            (name, descr, shape.to_owned(), bytes)
        }
    });
    let none = none.each_ref().map(|(name, descr, shape, bytes)| (*name, *descr, shape.as_str(), *bytes));
    let error = error_of(&npz(&none, false));
    assert!(matches!(error, DatasetError::Empty(_)), "{error}");
}

#[test]
fn a_size_that_is_only_announced_is_refused_before_memory_is_reserved() {
    for (images, labels) in [("20000, 256, 256", &[0; 20_000][..]), ("4000000000, 256, 256", &[])] {
        let mut arrays = GOOD;
        arrays[0] = ("x_train", "|u1", images, &[0; 18]);
        let (count, _) = images.split_once(',').unwrap();
        arrays[1] = ("y_train", "|u1", count, labels);
        let error = error_of(&npz(&arrays, true));
        assert!(matches!(error, DatasetError::Npz(NpzError::TooLarge { .. })), "{error}");
    }
    let error = error_with(("x_train", "|u1", "3, 2, 4", &[0; 18]));
    assert!(matches!(error, NpzError::Length { .. }), "{error}");
    let error = error_with(("y_train", "|u1", "3,", &[0; 4]));
    assert!(matches!(error, NpzError::Length { .. }), "{error}");
    // The directory announces what the shape does, and the data end before or go on.
    let good = zip_of(&[("x_train.npy".to_owned(), npy("|u1", "3, 2, 3", &[0; 18]))], true);
    for change in [1, -1] {
        let mut bytes = npz(&GOOD, true);
        let directory = bytes.windows(4).position(|word| word == b"PK\x01\x02").unwrap();
        bytes[directory + 24] = bytes[directory + 24].wrapping_add_signed(change);
        let error = error_of(&bytes);
        assert!(matches!(error, DatasetError::Npz(NpzError::Length { .. })), "{error}");
    }
    let bomb = npy("|u1", "3, 2, 3", &vec![0; 64 << 20]);
    let mut bytes = zip_of(&[("x_train.npy".to_owned(), bomb)], true);
    let directory = bytes.windows(4).position(|word| word == b"PK\x01\x02").unwrap();
    let at = good.windows(4).position(|word| word == b"PK\x01\x02").unwrap();
    bytes[directory + 24..directory + 28].copy_from_slice(&good[at + 24..at + 28]);
    let (_folder, path) = written(&bytes);
    let archive = Archive::open(fs::File::open(&path).unwrap()).unwrap();
    let content = archive.content(archive.member("x_train.npy").unwrap()).unwrap();
    let error = content.rest().unwrap_err();
    assert!(
        matches!(&error, ZipError::Damaged { offset, why, .. } if *offset < 200 && why.starts_with("they go on")),
        "{error}"
    );
}

#[test]
fn a_damaged_zip_file_is_refused() {
    let good = npz(&GOOD, false);
    assert!(matches!(error_of(&[]), DatasetError::Npz(NpzError::Zip { source: ZipError::NotZip, .. })));
    for cut in [10, 30, good.len() / 2, good.len() - 1] {
        let error = error_of(&good[..cut]);
        assert!(matches!(error, DatasetError::Npz(NpzError::Zip { .. })), "{error}");
    }
    let directory = good.windows(4).position(|word| word == b"PK\x01\x02").unwrap();
    let end = good.len() - 22;
    // Its flag of encryption, its method, its checksum, its offset, and the directory's length, offset and
    // disk.
    for (at, byte) in [(8, 1), (10, 12), (16, 0xa5), (42, 9)]
        .map(|(at, byte)| (directory + at, byte))
        .into_iter()
        .chain([(end + 12, 255), (end + 15, 1), (end + 16, 3), (end + 4, 1)])
    {
        let mut bytes = good.clone();
        bytes[at] ^= byte;
        let error = error_of(&bytes);
        assert!(matches!(error, DatasetError::Npz(NpzError::Zip { .. })), "{at}: {error}");
    }
    let mut bytes = good.clone();
    bytes[directory + 24..directory + 28].fill(255);
    let error = error_of(&bytes);
    assert!(
        matches!(error, DatasetError::Npz(NpzError::Zip { source: ZipError::Zip64 { .. }, .. })),
        "{error}"
    );
    // A comment at the end, which looks like an end itself, changes nothing.
    let mut bytes = good;
    bytes[end + 20] = 40;
    let comment = [&b"PK\x05\x06"[..], &[7; 36]].concat();
    bytes.extend(comment);
    let (_folder, path) = written(&bytes);
    assert_eq!(load(&path).unwrap().train.len(), 3);
}

#[test]
fn only_plain_headers_are_understood() {
    let with = |array: Vec<u8>| {
        let members =
            GOOD.map(|(name, descr, shape, bytes)| (format!("{name}.npy"), npy(descr, shape, bytes)));
        let members = members
            .map(|(name, old)| if name == "y_train.npy" { (name, array.clone()) } else { (name, old) });
        written(&zip_of(&members, true))
    };
    let text_of = |text: &str, version: u8| {
        let length = (text.len() as u32).to_le_bytes();
        let length = if version == 1 { &length[..2] } else { &length[..] };
        [b"\x93NUMPY", &[version, 0][..], length, text.as_bytes(), &[4, 0, 2]].concat()
    };
    for (text, version) in [
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }          \n", 1),
        ("{\"shape\":(3),\"descr\":\"|u1\",\"fortran_order\":False}", 2),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (3L,)}", 3),
    ] {
        let (_folder, path) = with(text_of(text, version));
        assert_eq!(load(&path).unwrap().train.labels(), [4, 0, 2], "{text}");
    }
    for text in [
        "",
        "{",
        "{'descr': '|u1'}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), } x",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), 'more': 1}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-3,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|u1\\'', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (((((((((((((((",
    ] {
        let (_folder, path) = with(text_of(text, 1));
        let error = load(&path).unwrap_err();
        let DatasetError::Npz(NpzError::Header { array: "y_train", source, .. }) = &error else {
            panic!("{text}: {error}");
        };
        assert!(matches!(source, HeaderError::Text { .. }), "{error}");
    }
    for (bytes, wanted) in [
        (b"\x93NUMPX\x01\0\0\0".to_vec(), HeaderError::Magic),
        (b"\x93NUMPY\x04\0\0\0".to_vec(), HeaderError::Version { major: 4 }),
        (b"\x93NUMPY\x02\0\0\0\0\xff".to_vec(), HeaderError::TooLong { bytes: 0xff00_0000 }),
    ] {
        let (_folder, path) = with(bytes);
        let error = load(&path).unwrap_err();
        assert!(
            matches!(&error, DatasetError::Npz(NpzError::Header { source, .. }) if *source == wanted),
            "{error}"
        );
    }
}
