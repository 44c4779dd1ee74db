mod bombs;

use super::*;
use crate::dataset::DatasetError;
use crate::observe::console::Console;
use common::train::config::hex;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use std::fs;
use std::io::Cursor;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder with these files.
fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in files {
        put(&folder, path, content);
    }
    folder
}

fn put(folder: &TempDir, path: &str, content: &[u8]) {
    let path = folder.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A PNG of one grey, with one channel.
fn grey(height: u32, width: u32, value: u8) -> Vec<u8> {
    encoded(image::GrayImage::from_pixel(width, height, image::Luma([value])), ImageFormat::Png)
}

/// A PNG of one colour.
fn colour(height: u32, width: u32, value: [u8; 3]) -> Vec<u8> {
    encoded(RgbImage::from_pixel(width, height, Rgb(value)), ImageFormat::Png)
}

fn read(folder: &TempDir, options: &str) -> Result<Dataset, PicturesError> {
    load(folder.path(), options.parse().unwrap(), None)
}

/// The error for a folder, which names `path` in it.
#[track_caller]
fn refused(folder: &TempDir, options: &str, path: &str) -> PicturesError {
    let error = read(folder, options).unwrap_err();
    let text = error.to_string();
    let path = format!("{}/{path}", folder.path().display());
    assert!(text.contains(path.trim_end_matches('/')) && !text.contains('\n'), "{text}");
    error
}

/// Two classes with a picture each in both parts, as a start.
fn whole() -> TempDir {
    folder(&[
        ("train/a/1.png", grey(2, 3, 10)),
        ("train/b/1.png", grey(2, 3, 20)),
        ("test/a/1.png", grey(2, 3, 30)),
        ("test/b/1.png", grey(2, 3, 40)),
    ])
}

#[test]
fn classes_and_files_are_taken_in_natural_order_and_hidden_files_are_not() {
    let data = folder(&[
        ("Train/10/b.png", grey(2, 2, 5)),
        ("Train/2/10.png", grey(2, 2, 4)),
        ("Train/2/9.png", grey(2, 2, 3)),
        ("Train/1/x.png", grey(2, 2, 2)),
        ("Train/1/.DS_Store", vec![1]),
        ("Train/.hidden/1.png", vec![1]),
        ("Train/2/Thumbs.db", vec![1]),
        ("testing/1/x.png", grey(2, 2, 6)),
        ("testing/2/x.png", grey(2, 2, 7)),
        ("testing/10/x.png", grey(2, 2, 8)),
        ("valid/1/x.png", grey(2, 2, 9)),
    ]);
    let data = read(&data, "").unwrap();
    assert_eq!(data.train.labels(), [0, 1, 1, 2]);
    assert_eq!([0, 1, 2, 3].map(|index| data.train.image(index)[0]), [2, 3, 4, 5]);
    assert_eq!((data.test.labels(), data.test.image(2)[0]), (&[0, 1, 2][..], 8));
    let note = data.note.unwrap();
    assert!(note.contains("(1, 2, 10)") && note.contains("left out: valid"), "{note}");
}

#[test]
fn classes_are_called_like_their_folders_and_another_name_for_a_label_is_the_same_data() {
    let called = |names: [&str; 2]| {
        let path = |class: &str, index: u32| format!("{class}/{index}.png");
        let files = [
            (path(names[0], 1), grey(2, 2, 1)),
            (path(names[0], 2), grey(2, 2, 2)),
            (path(names[1], 1), grey(2, 2, 3)),
            (path(names[1], 2), grey(2, 2, 4)),
        ];
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(path, content)| put(&folder, path, content));
        let data = read(&folder, "test-split=1").unwrap();
        assert_eq!(data.classes.len(), data.train.spec().classes());
        ([0, 1].map(|class| data.classes.get(class).to_owned()), data.digest)
    };
    let long = "z".repeat(255);
    let (before, digest) = called(["cat", "dog"]);
    let (renamed, same) = called(["a\u{1b}[2J\nb", &long]);
    assert_eq!(before, ["cat", "dog"]);
    assert_eq!(renamed, ["a\u{1b}[2J\nb".to_owned(), "z".repeat(61) + "..."]);
    assert_eq!(digest, same);
    let (sorted_elsewhere, other) = called(["eel", "dog"]);
    assert_eq!(sorted_elsewhere, ["dog", "eel"]);
    assert_ne!(digest, other);
}

#[test]
fn all_four_formats_are_read_whatever_their_names_say() {
    let image =
        RgbImage::from_fn(16, 16, |x, y| if x < 8 { Rgb([200, y as u8, 0]) } else { Rgb([0, 0, 90]) });
    let formats = [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Jpeg];
    let named = |format| ("a/1.png", encoded(image.clone(), format));
    for format in formats {
        let data =
            folder(&[named(format), ("a/2.png", colour(16, 16, [1; 3])), ("b/1", colour(16, 16, [2; 3]))]);
        let data = read(&data, "test-split=1").unwrap();
        let mut both = (0..2).map(|index| data.train.image(index)).chain([data.test.image(0)]);
        let tolerance = if format == ImageFormat::Jpeg { 40 } else { 0 };
        let near = |got: &[u8]| got.iter().zip(image.as_raw()).all(|(a, b)| a.abs_diff(*b) <= tolerance);
        assert!(both.any(near), "{format:?}");
        assert_eq!(data.train.spec().channels(), 3);
    }
}

#[test]
fn lossy_formats_have_the_same_pixels_on_every_machine() {
    let lossy = [include_bytes!("noise.jpg").to_vec(), include_bytes!("noise.webp").to_vec()];
    let pixels = lossy.map(|content| {
        let data = folder(&[("a/1", content.clone()), ("a/2.jpg", content.clone()), ("b/1", content)]);
        let data = read(&data, "test-split=1").unwrap();
        assert_eq!(data.train.spec().to_string(), "24x40x3, 2 classes");
        let note = data.note.unwrap();
        assert!(note.contains("1 of the test pictures are training pictures too"), "{note}");
        hex(&Sha256::digest(data.train.image(0)))
    });
    assert_eq!(pixels, LOSSY);
}

/// Pixels of the two pictures beside this file, which Pillow wrote (quality 50, chroma at half of the size).
/// Printed once by this very test, and the same under `qemu-x86_64 -cpu qemu64`, which has no AVX2.
const LOSSY: [&str; 2] = [
    "4f02d079da3da7d37de44428676309fe4bc8db12fb16f675a31ae9e8f33abfd3",
    "d9f3c925d52dacddb2512dff9a49a4298ee2c19890a2cee36bce54f5b59b6af3",
];

#[test]
fn grey_pictures_have_one_channel_and_mixed_ones_three() {
    assert_eq!(read(&whole(), "").unwrap().train.spec().to_string(), "2x3x1, 2 classes");
    let mixed = whole();
    put(&mixed, "train/a/2.png", &colour(2, 3, [10, 20, 30]));
    let data = read(&mixed, "").unwrap();
    assert_eq!((data.train.spec().channels(), data.train.image(0)), (3, &[10; 18][..]));
    assert_eq!(data.train.image(1)[..3], [10, 20, 30]);
    let data = read(&mixed, "grayscale").unwrap();
    // 0.299 * 10 + 0.587 * 20 + 0.114 * 30 = 18.15.
    assert_eq!((data.train.spec().channels(), data.train.image(1)), (1, &[18; 6][..]));
}

#[test]
fn what_is_transparent_lies_on_white_and_16_bits_become_8() {
    let data = whole();
    let clear = RgbaImage::from_fn(3, 2, |x, _| Rgba([100, 0, 0, [0, 255, 51][x as usize]]));
    put(&data, "train/a/1.png", &encoded(clear, ImageFormat::Png));
    let deep = image::ImageBuffer::<image::Luma<u16>, _>::from_fn(3, 2, |x, _| {
        image::Luma([[0, 257 * 128 + 128, 65_535][x as usize]])
    });
    put(&data, "train/b/1.png", &encoded(deep, ImageFormat::Png));
    let data = read(&data, "").unwrap();
    // 51 is a fifth: 100 / 5 + 255 * 4 / 5 = 224.
    assert_eq!(data.train.image(0)[..9], [255, 255, 255, 100, 0, 0, 224, 204, 204]);
    assert_eq!(data.train.image(1)[..9], [0, 0, 0, 128, 128, 128, 255, 255, 255]);
}

#[test]
fn a_picture_that_a_camera_held_on_its_side_is_turned() {
    // A TIFF header with one entry, the orientation 6: turn by 90 degrees clockwise.
    let exif = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif).unwrap();
    // Two rows of three pixels.
    encoder.write_image(&[1, 2, 3, 4, 5, 6], 3, 2, ExtendedColorType::L8).unwrap();
    let data = folder(&[
        ("train/a/1", bytes.clone()),
        ("train/b/1", bytes.clone()),
        ("test/a/1", bytes.clone()),
        ("test/b/1", bytes),
    ]);
    let data = read(&data, "").unwrap();
    assert_eq!(data.train.spec().to_string(), "3x2x1, 2 classes");
    assert_eq!(data.train.image(0), [4, 1, 5, 2, 6, 3]);
}

#[test]
fn sizes_that_differ_need_a_size_and_are_named() {
    let data = whole();
    put(&data, "train/b/1.png", &grey(5, 3, 9));
    let error = refused(&data, "", "train/a/1.png");
    let text = error.to_string();
    assert!(text.contains("train/b/1.png has 5 x 3") && text.contains("--image-size 32x32"), "{text}");
    for fit in ["crop", "pad", "stretch"] {
        let data = read(&data, &format!("image-size=4x4,fit={fit}")).unwrap();
        assert_eq!(data.train.spec().to_string(), "4x4x1, 2 classes");
    }
    assert_eq!(read(&data, "image-size=1x1").unwrap().train.pixels(), [10, 9]);
    let large =
        folder(&[("a/1.png", grey(300, 2, 1)), ("b/1.png", grey(300, 2, 1)), ("a/2.png", grey(300, 2, 1))]);
    let error = read(&large, "test-split=1").unwrap_err();
    assert!(matches!(error, PicturesError::LargeSamples { height: 300, width: 2 }), "{error}");
}

#[test]
fn the_digest_is_that_of_the_samples_and_the_name_reads_back() {
    let data = whole();
    let whole = read(&data, "").unwrap();
    assert_eq!(whole.name, data.path().display().to_string());
    let stretched = read(&data, "image-size=2x3,fit=stretch").unwrap();
    assert_eq!((&stretched.digest, &stretched.train), (&whole.digest, &whole.train));
    let choice: DatasetChoice = stretched.name.parse().unwrap();
    let again = crate::dataset::load(&choice, None, &Console::silent()).unwrap();
    assert_eq!((again.digest, again.name), (stretched.digest, stretched.name));
    assert_ne!(read(&data, "image-size=1x3").unwrap().digest, whole.digest);
    put(&data, "test/a/1.png", &grey(2, 3, 31));
    assert_ne!(read(&data, "").unwrap().digest, whole.digest);
}

#[test]
fn without_a_test_folder_every_class_gives_a_tenth() {
    let mut files = Vec::new();
    for index in 0..20 {
        files.push((format!("train/a/{index}.png"), grey(1, 1, index)));
        files.push((format!("train/b/{index}.png"), grey(1, 1, 100 + index)));
    }
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(path, content)| (path.as_str(), content.clone())).collect();
    let data = folder(&files);
    let drawn = read(&data, "").unwrap();
    assert_eq!((drawn.test.labels(), drawn.train.len()), (&[0, 0, 1, 1][..], 36));
    assert!(
        drawn.note.unwrap().contains("36 pictures to train on and 4 for the test (drawn from the others)")
    );
    assert_eq!(read(&data, "test-split=25%").unwrap().test.len(), 10);
    assert_eq!(read(&data, "test-split=7").unwrap().test.len(), 7);
    assert!(matches!(read(&data, "test-split=39").unwrap_err(), PicturesError::Split { most: 38, .. }));
    assert!(matches!(refused(&whole(), "test-split=1", ""), PicturesError::SplitTwice(_)));
}

#[test]
fn folders_that_are_in_no_layout_are_refused_by_what_is_wrong() {
    let change = |path: &str, content: &[u8]| {
        let data = whole();
        put(&data, path, content);
        data
    };
    let png = grey(2, 3, 1);
    let error = refused(&change("test/c/1.png", &png), "", "test");
    assert!(matches!(error, PicturesError::ClassMissing { class, .. } if class == "c"));
    let error = refused(&change("train/c/1.png", &png), "", "test");
    assert!(matches!(error, PicturesError::ClassMissing { class, .. } if class == "c"));
    assert!(matches!(
        refused(&change("train/list.csv", b"a,b"), "", "train/list.csv"),
        PicturesError::BesideClasses(_)
    ));
    assert!(matches!(
        refused(&change("train/a/b/1.png", &png), "", "train/a/b"),
        PicturesError::WithinClass(_)
    ));
    assert!(matches!(
        refused(&change("training/a/1.png", &png), "", "training"),
        PicturesError::TwoParts { .. }
    ));
    assert!(matches!(
        refused(&change("train/a/notes.txt", b"hello"), "", "train/a/notes.txt"),
        PicturesError::NotPicture(_)
    ));
    assert!(matches!(
        refused(&change("train/a/1.gif", b"GIF89a12345678"), "", "train/a/1.gif"),
        PicturesError::NotPicture(_)
    ));
    assert!(matches!(
        refused(&change("train/a/empty.png", b""), "", "train/a/empty.png"),
        PicturesError::NotPicture(_)
    ));
    let data = change("train/a/.keep", b"");
    fs::remove_file(data.path().join("train/a/1.png")).unwrap();
    assert!(matches!(refused(&data, "", "train/a"), PicturesError::EmptyClass(_)));
    let unsorted = folder(&[
        ("train/a/1.png", png.clone()),
        ("train/b/1.png", png.clone()),
        ("test/1.png", png.clone()),
    ]);
    assert!(matches!(refused(&unsorted, "", "test"), PicturesError::TestWithoutClasses(_)));
    let one = folder(&[("a/1.png", png.clone()), ("a/2.png", png)]);
    assert!(matches!(refused(&one, "", ""), PicturesError::Spec { .. }));
    let none = folder(&[("text", vec![])]);
    assert!(matches!(refused(&none, "", ""), PicturesError::NoClass(_)));
    let socket = whole();
    let _listener = UnixListener::bind(socket.path().join("train/a/2.png")).unwrap();
    assert!(matches!(refused(&socket, "", "train/a/2.png"), PicturesError::Read { .. }));
}

#[test]
fn damaged_pictures_are_refused_in_every_format() {
    let image = RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 8) as u8, (y * 8) as u8, (x * y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP, ImageFormat::Jpeg] {
        let bytes = encoded(image.clone(), format);
        for cut in [bytes.len() / 4, bytes.len() / 2, bytes.len() * 3 / 4] {
            let data = whole();
            put(&data, "test/b/1.png", &bytes[..cut]);
            let error = refused(&data, "image-size=8x8", "test/b/1.png");
            assert!(matches!(error, PicturesError::Broken { .. }), "{format:?} {cut}: {error}");
        }
    }
}

#[test]
fn a_folder_of_pictures_is_told_from_one_of_four_files() {
    let data = whole();
    let of = |folder: &TempDir, options: &str| {
        let text = format!("{}{options}", folder.path().display());
        crate::dataset::load(&text.parse().unwrap(), None, &Console::silent())
    };
    assert_eq!(of(&data, "").unwrap().train.len(), 2);
    let empty = folder(&[("a/notes", vec![])]);
    assert!(matches!(of(&empty, "").unwrap_err(), DatasetError::Missing(_)));
    assert!(matches!(of(&empty, "?grayscale").unwrap_err(), DatasetError::Pictures(_)));
    for part in crate::dataset::parts::PARTS {
        put(&data, part.name, b"");
    }
    let error = of(&data, "?fit=pad").unwrap_err();
    assert!(
        matches!(&error, DatasetError::Pictures(PicturesError::FourFiles { flag: "--fit", .. })),
        "{error}"
    );
    assert!(matches!(of(&data, "").unwrap_err(), DatasetError::Header { .. }));
    let gone = DatasetChoice::in_folder(
        &PathBuf::from("/nowhere"),
        PictureOptions { grayscale: true, ..Default::default() },
    );
    let error = crate::dataset::load(&gone, None, &Console::silent()).unwrap_err();
    assert!(matches!(error, DatasetError::NoFolder(_)), "{error}");
}
