//! Samples as files of other formats than IDX: tables in CSV, and NumPy's arrays in a zip file.
//!
//! It stands on `common` alone, so that the fuzz targets can include this file.

use common::data::samples::Samples;
use std::fmt::Write;

/// A table with a row for each sample, below a header if there is to be one.
#[must_use]
pub fn csv(samples: &Samples, header: bool) -> String {
    let mut table = String::new();
    if header {
        table += "label";
        (0..samples.spec().image_bytes()).for_each(|pixel| append(&mut table, format_args!(",pixel{pixel}")));
        table.push('\n');
    }
    for (index, label) in samples.labels().iter().enumerate() {
        append(&mut table, format_args!("{label}"));
        samples.image(index).iter().for_each(|pixel| append(&mut table, format_args!(",{pixel}")));
        table.push('\n');
    }
    table
}

fn append(table: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = table.write_fmt(text);
}

/// A file of four arrays, as `numpy.savez` writes it. Labels have 64 bits.
#[must_use]
pub fn npz(train: &Samples, test: &Samples) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for (half, samples) in [("train", train), ("test", test)] {
        let spec = samples.spec();
        let count = samples.len();
        let shape = format!("{count}, {}, {}, {}", spec.height(), spec.width(), spec.channels());
        // An image without channels has three dimensions.
        let shape = shape.strip_suffix(", 1").filter(|_| spec.channels() == 1).unwrap_or(&shape);
        let images = array("|u1", shape, samples.pixels());
        let labels: Vec<u8> = samples.labels().iter().flat_map(|&y| u64::from(y).to_le_bytes()).collect();
        let labels = array("<i8", &format!("{count},"), &labels);
        for (name, content) in [(format!("x_{half}.npy"), images), (format!("y_{half}.npy"), labels)] {
            let at = file.len() as u32;
            let length = content.len() as u32;
            // Version, flags, method, time and date; then checksum, both sizes, and the lengths of the texts.
            let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            for number in [crc32(&content), length, length, name.len() as u32] {
                fields.extend(number.to_le_bytes());
            }
            file.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), &content].concat());
            let offset = at.to_le_bytes();
            directory.extend([b"PK\x01\x02\x14\0", &fields[..], &[0; 10], &offset, name.as_bytes()].concat());
        }
    }
    let size = (directory.len() as u32).to_le_bytes();
    let at = (file.len() as u32).to_le_bytes();
    let end = [b"PK\x05\x06\0\0\0\0\x04\0\x04\0", &size[..], &at, &[0, 0]].concat();
    [file, directory, end].concat()
}

/// An array in NumPy's format, version 1.
fn array(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
    [b"\x93NUMPY\x01\0", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), bytes].concat()
}

/// The checksum of zip files, bit by bit.
#[must_use]
pub fn crc32(bytes: &[u8]) -> u32 {
    let shifted = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| shifted(crc)))
}
