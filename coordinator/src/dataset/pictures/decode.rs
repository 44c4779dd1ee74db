//! One file to the pixels of one picture: 8 bits, grey or RGB, upright.
//!
//! 1. The content decides the format, not the name: PNG, JPEG, WebP or BMP. Of an animation, the first
//!    picture is taken. Colour profiles are ignored.
//! 2. Memory is bounded before anything is decoded: by the file's size, by the picture's sides and pixels,
//!    and by the decoder's own limit. Pictures beyond [`SMALL`] are decoded one at a time.
//! 3. 16 bits are rounded to 8, what is transparent lies on white, and the EXIF orientation is applied. Grey
//!    is the luma of ITU-R BT.601 in the integers that Pillow has, so that `convert("L")` gives the same. All
//!    of it is integer arithmetic.
//! 4. A picture that is damaged or cut off is refused. The JPEG decoder fills what is missing with grey, so
//!    the end of the picture, and the least data that its size needs, are looked for here
//!    ([`jpeg`](super::jpeg)).
//!
//! The decoders are integer code too, in scalar and vector forms of equal bits.

use super::error::PicturesError;
use super::jpeg;
use super::resize::Pixels;
use host::files::{FileError, Links, open_regular};
use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, GrayImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage,
};
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Largest file of a picture, in bytes: one of [`PIXELS_MAX`] in PNG rarely has more.
pub(super) const FILE_BYTES_MAX: u64 = 128 << 20;
/// Longest side of a picture, in pixels.
pub(super) const PICTURE_SIDE_MAX: u32 = 16_384;
/// Most pixels of a picture: cameras stay below.
pub(super) const PIXELS_MAX: u64 = 100_000_000;
/// Most memory that a decoder may take: twice the largest picture with 8 bytes per pixel.
const DECODER_BYTES_MAX: u64 = 2 * 8 * PIXELS_MAX;
/// Pixels, and bytes of a file, up to which all cores decode at the same time.
const SMALL: u64 = 8 << 20;

/// What a picture's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// Height and width of the upright picture.
    pub(super) size: [usize; 2],
    pub(super) is_grey: bool,
}

/// Decodes pictures; threads share it.
#[derive(Debug)]
pub struct Decoding {
    /// Held while a large picture is in memory.
    large: Mutex<()>,
    pixels_max: u64,
    decoder_bytes_max: u64,
}

impl Default for Decoding {
    fn default() -> Self {
        Self::bounded(PIXELS_MAX, DECODER_BYTES_MAX)
    }
}

impl Decoding {
    /// Decodes pictures of at most `pixels_max` pixels. A decoder may take so many bytes beside the picture
    /// itself: for a few of its rows, and for what else the file has, such as a colour profile.
    #[must_use]
    pub fn bounded(pixels_max: u64, decoder_bytes_max: u64) -> Self {
        Self { large: Mutex::new(()), pixels_max, decoder_bytes_max }
    }

    /// Reads a picture's header.
    ///
    /// # Errors
    /// When the file can't be read, is no picture, or has more pixels than are decoded.
    pub(super) fn form(&self, path: &Path) -> Result<Form, PicturesError> {
        let (file, _turn) = self.open(path)?;
        caught(path, || {
            let (mut decoder, _) = self.decoder_of(path, BufReader::new(file))?;
            let (width, height) = decoder.dimensions();
            let orientation = decoder.orientation().map_err(|error| broken(path, &error))?;
            let mut size = [height as usize, width as usize];
            if is_on_its_side(orientation) {
                size.reverse();
            }
            let is_grey = matches!(
                decoder.color_type(),
                ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16
            );
            Ok(Form { size, is_grey })
        })
    }

    /// Decodes a picture to 1 or 3 channels, and hands it to `take`. A large one is in memory until then.
    ///
    /// # Errors
    /// When the file can't be read, or is no whole picture.
    pub fn pixels(
        &self,
        path: &Path,
        channels: usize,
        take: impl FnOnce(&Pixels),
    ) -> Result<(), PicturesError> {
        let (file, turn) = self.open(path)?;
        let mut content = Vec::new();
        let read = file.take(FILE_BYTES_MAX).read_to_end(&mut content);
        read.map_err(|source| PicturesError::Read { path: path.to_owned(), source: source.into() })?;
        self.decode(path, &content, turn, channels, take)
    }

    /// Decodes a picture in memory, as [`pixels`](Self::pixels) does a file. `name` stands for it in errors.
    ///
    /// # Errors
    /// When it is no whole picture.
    pub fn pixels_in(
        &self,
        name: &Path,
        content: &[u8],
        channels: usize,
        take: impl FnOnce(&Pixels),
    ) -> Result<(), PicturesError> {
        self.decode(name, content, self.turn(content.len() as u64), channels, take)
    }

    fn decode(
        &self,
        path: &Path,
        content: &[u8],
        turn: Option<MutexGuard<'_, ()>>,
        channels: usize,
        take: impl FnOnce(&Pixels),
    ) -> Result<(), PicturesError> {
        caught(path, || {
            let (mut decoder, format) = self.decoder_of(path, Cursor::new(content))?;
            if format == ImageFormat::Jpeg && !jpeg::is_whole(content) {
                return Err(broken(path, &"it is cut off"));
            }
            let (width, height) = decoder.dimensions();
            if format == ImageFormat::Jpeg && !jpeg::can_hold(content.len(), width, height) {
                return Err(broken(path, &format!("{width} x {height} pixels need more data")));
            }
            let _turn = turn.or_else(|| self.turn(u64::from(width) * u64::from(height)));
            let orientation = decoder.orientation().map_err(|error| broken(path, &error))?;
            let color = decoder.color_type();
            let mut raw = vec![0; decoder.total_bytes() as usize];
            decoder.read_image(&mut raw).map_err(|error| broken(path, &error))?;
            let bytes =
                flatten(raw, color, channels).ok_or_else(|| broken(path, &"its colours are unknown"))?;
            let flat = match channels {
                1 => GrayImage::from_raw(width, height, bytes).map(DynamicImage::from),
                _ => RgbImage::from_raw(width, height, bytes).map(DynamicImage::from),
            };
            let mut flat = flat.ok_or_else(|| broken(path, &"it has fewer pixels than it says"))?;
            flat.apply_orientation(orientation);
            let (width, height) = (flat.width() as usize, flat.height() as usize);
            take(&Pixels { height, width, channels, bytes: flat.into_bytes() });
            Ok(())
        })
    }

    /// Opens a regular file of bounded size, with the turn for large pictures if it is a large file.
    fn open(&self, path: &Path) -> Result<(File, Option<MutexGuard<'_, ()>>), PicturesError> {
        let failed = |source| PicturesError::Read { path: path.to_owned(), source };
        let file = open_regular(path, FILE_BYTES_MAX, Links::Followed).map_err(failed)?;
        let bytes = file.metadata().map_err(|error| failed(FileError::from(error)))?.len();
        Ok((file, self.turn(bytes)))
    }

    /// The turn for large pictures, if this is the size of one.
    fn turn(&self, size: u64) -> Option<MutexGuard<'_, ()>> {
        (size > SMALL).then(|| self.large.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The decoder for a picture within the bounds, and its format.
    fn decoder_of<'a>(
        &self,
        path: &Path,
        content: impl BufRead + Seek + 'a,
    ) -> Result<(impl ImageDecoder + 'a, ImageFormat), PicturesError> {
        let guessed = ImageReader::new(content).with_guessed_format();
        let mut reader =
            guessed.map_err(|source| PicturesError::Read { path: path.to_owned(), source: source.into() })?;
        let format = match reader.format() {
            Some(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP | ImageFormat::Bmp)) => {
                format
            }
            _ => return Err(PicturesError::NotPicture(path.to_owned())),
        };
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(self.decoder_bytes_max);
        reader.limits(limits);
        let decoder = reader.into_decoder().map_err(|error: ImageError| broken(path, &error))?;
        let (width, height) = decoder.dimensions();
        let pixels = u64::from(width) * u64::from(height);
        if width.max(height) > PICTURE_SIDE_MAX || pixels > self.pixels_max {
            return Err(PicturesError::TooLarge { path: path.to_owned(), width, height });
        }
        if pixels == 0 {
            return Err(broken(path, &"it has no pixel"));
        }
        Ok((decoder, format))
    }
}

fn broken(path: &Path, problem: &dyn std::fmt::Display) -> PicturesError {
    // An error of a decoder may have several lines.
    let problem = problem.to_string().replace('\n', " ");
    PicturesError::Broken { path: path.to_owned(), problem }
}

/// The result of `decode`. A decoder that panics has met bytes that its authors did not think of.
fn caught<T>(path: &Path, decode: impl FnOnce() -> Result<T, PicturesError>) -> Result<T, PicturesError> {
    // What `decode` had in hand is dropped with it.
    let caught = catch_unwind(AssertUnwindSafe(decode));
    caught.unwrap_or_else(|_| Err(broken(path, &"its decoder failed")))
}

fn is_on_its_side(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH)
}

/// Decoded bytes as pixels of 8 bits and 1 or 3 channels; `None` for colours that none of the formats has.
fn flatten(raw: Vec<u8>, color: ColorType, channels: usize) -> Option<Vec<u8>> {
    use ColorType::{L8, L16, La8, La16, Rgb8, Rgb16, Rgba8, Rgba16};
    let colors = match color {
        L8 | La8 | L16 | La16 => 1,
        Rgb8 | Rgba8 | Rgb16 | Rgba16 => 3,
        _ => return None,
    };
    let values = match color {
        L16 | La16 | Rgb16 | Rgba16 => raw.as_chunks().0.iter().map(|&two| narrowed(two)).collect(),
        _ => raw,
    };
    let opaque = match color {
        La8 | La16 | Rgba8 | Rgba16 => values
            .chunks_exact(colors + 1)
            .flat_map(|pixel| pixel[..colors].iter().map(|&value| on_white(value, pixel[colors])))
            .collect(),
        _ => values,
    };
    Some(match (colors, channels) {
        (3, 1) => opaque.as_chunks().0.iter().map(|&pixel| luma(pixel)).collect(),
        (1, 3) => opaque.into_iter().flat_map(|value| [value; 3]).collect(),
        _ => opaque,
    })
}

/// A value of 16 bits in 8, rounded.
fn narrowed(two: [u8; 2]) -> u8 {
    ((u32::from(u16::from_ne_bytes(two)) * 255 + 32_767) / 65_535) as u8
}

/// A value with this opacity on white, rounded.
fn on_white(value: u8, alpha: u8) -> u8 {
    let alpha = u32::from(alpha);
    ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Luma of ITU-R BT.601, with the factors 0.299, 0.587 and 0.114 in 65,536ths.
fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}
