//! A sample as a picture.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::data::samples::Samples;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use std::io::Cursor;

/// A sample as a picture; transparency is not shown.
///
/// # Panics
/// When there is no such sample.
#[must_use]
pub fn picture(samples: &Samples, index: usize) -> DynamicImage {
    let spec = samples.spec();
    let [width, height] = [spec.width() as u32, spec.height() as u32];
    let pixels = samples.image(index).chunks_exact(spec.channels());
    let made = if spec.channels() < 3 {
        GrayImage::from_raw(width, height, pixels.map(|pixel| pixel[0]).collect()).map(DynamicImage::from)
    } else {
        let bytes = pixels.flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
        RgbImage::from_raw(width, height, bytes).map(DynamicImage::from)
    };
    made.expect("a sample has all its pixels")
}

/// The same as a PNG file.
///
/// # Panics
/// When there is no such sample.
#[must_use]
pub fn png(samples: &Samples, index: usize) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture(samples, index).write_to(&mut bytes, ImageFormat::Png).expect("memory takes any picture");
    bytes.into_inner()
}

/// A PNG file as a `data:` URL (RFC 2397), for a page that loads nothing.
#[must_use]
pub fn png_data_url(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
