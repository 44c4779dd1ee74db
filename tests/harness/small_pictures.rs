//! A folder of few small pictures in three classes, with which a whole run takes a second.
//!
//! They are BMP files, written here: no other code has a part in what the tests read.

use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Names of the classes, in their natural order.
pub const CLASSES: [&str; 3] = ["2", "10", "flat"];
/// Pictures of each class.
pub const EACH: u32 = 40;
/// Height and width of a picture, in pixels.
const SIDE: u32 = 12;
/// Bytes before the pixels: file header and the oldest info header, BITMAPINFOHEADER.
const HEADER: u32 = 54;

/// A folder of pictures, removed when it is dropped.
#[derive(Debug)]
pub struct SmallPictures(TempDir);

impl SmallPictures {
    /// Draws and writes [`EACH`] pictures of each class, without a part for the test.
    ///
    /// # Panics
    /// When the temporary folder can't be written.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it writes files, which a default should not")]
    pub fn write() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (class, name) in (0..).zip(CLASSES) {
            let class_folder = folder.path().join(name);
            fs::create_dir(&class_folder).expect("room for it");
            for index in 0..EACH {
                let path = class_folder.join(format!("{index}.bmp"));
                fs::write(path, bmp(SIDE, SIDE, |x, y| pixel(class, index, x, y))).expect("room for it");
            }
        }
        Self(folder)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The folder, as a value of `--dataset`.
    ///
    /// # Panics
    /// When the system's folder for temporary files has a name that is not UTF-8.
    #[must_use]
    pub fn folder(&self) -> &str {
        self.path().to_str().expect("a folder for temporary files with a readable name")
    }
}

/// Blue, green and red of a pixel: stripes across, stripes down, or flat, in a colour of the picture's own.
fn pixel(class: u32, index: u32, x: u32, y: u32) -> [u8; 3] {
    let shade = match class {
        0 => x % 4 / 2 * 120,
        1 => y % 4 / 2 * 120,
        _ => 60,
    };
    [shade + index, shade + 3 * index, shade].map(|value| value as u8)
}

/// A BMP file of 24 bits per pixel, lowest row first.
fn bmp(height: u32, width: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Vec<u8> {
    let row_bytes = (width * 3).next_multiple_of(4);
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let mut bytes = b"BM".to_vec();
    bytes.extend(words(&[HEADER + height * row_bytes, 0, HEADER, 40, width, height]));
    // One plane, 24 bits; not compressed, then sizes and colours that a reader need not know.
    bytes.extend([1, 0, 24, 0]);
    bytes.extend(words(&[0; 6]));
    for y in (0..height).rev() {
        bytes.extend((0..width).flat_map(|x| pixel(x, y)));
        bytes.extend(vec![0; (row_bytes - 3 * width) as usize]);
    }
    bytes
}
