//! Files that announce larger pictures than they hold.

use super::*;

/// A PNG whose header announces this size, and which has no more than a few bytes.
fn announced(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = grey(1, 1, 0);
    // The header's data follows the signature, its length and its name (PNG, section 5.3).
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let mut checksum = flate2::Crc::new();
    checksum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.sum().to_be_bytes());
    bytes
}

#[test]
fn a_picture_bomb_is_refused_by_its_header() {
    for (width, height) in [(16_385, 1), (1, 16_385), (16_384, 16_384), (10_001, 10_000), (u32::MAX >> 1, 2)]
    {
        let data = whole();
        put(&data, "train/b/1.png", &announced(width, height));
        let error = refused(&data, "image-size=8x8", "train/b/1.png");
        assert!(matches!(error, PicturesError::TooLarge { .. } | PicturesError::Broken { .. }), "{error}");
    }
    let data = whole();
    put(&data, "train/b/1.png", &announced(16_384, 6_000));
    assert!(matches!(refused(&data, "image-size=8x8", "train/b/1.png"), PicturesError::Broken { .. }));
    let huge = fs::File::create(data.path().join("train/b/1.png")).unwrap();
    huge.set_len(decode::FILE_BYTES_MAX + 1).unwrap();
    assert!(matches!(refused(&data, "image-size=8x8", "train/b/1.png"), PicturesError::Read { .. }));
}

/// A JPEG whose header announces this size, and which has the data of a small one and its end.
fn announced_jpeg(side: u16) -> Vec<u8> {
    let mut bytes = include_bytes!("../noise.jpg").to_vec();
    let frame = bytes.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    // Height and width follow the marker, the length and the precision (ITU-T T.81, annex B.2.2).
    for at in [frame + 5, frame + 7] {
        bytes[at..at + 2].copy_from_slice(&side.to_be_bytes());
    }
    bytes
}

#[test]
fn a_jpeg_with_less_data_than_its_size_needs_is_refused() {
    let data = whole();
    for side in [1000, 9999] {
        put(&data, "train/b/1.png", &announced_jpeg(side));
        let error = refused(&data, "image-size=8x8", "train/b/1.png");
        assert!(matches!(&error, PicturesError::Broken { .. }), "{error}");
    }
}
