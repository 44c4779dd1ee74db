//! Sheets of pictures as PNG files, for a person who looks before training.

use crate::folder;
use common::data::spec::DataSpec;
use image::{Rgb, RgbImage};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Pixels between two pictures.
const GAP: usize = 2;
/// Colour between pictures: unlike paper and ink.
pub(super) const BETWEEN: Rgb<u8> = Rgb([64, 96, 160]);
/// First bytes of every PNG file (RFC 2083, section 3.1).
const PNG_MAGIC: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Why a sheet can't be written.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum SheetError {
    /// There is a file of another kind.
    #[error("{} is there and is no PNG file; move it away, or name another file", .0.display())]
    Other(PathBuf),
    /// The file system refuses.
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// A table of pictures of one form.
#[derive(Debug)]
pub struct Sheet {
    spec: DataSpec,
    canvas: RgbImage,
}

impl Sheet {
    /// An empty sheet for `rows` times `columns` pictures of that form.
    #[must_use]
    pub fn new(spec: DataSpec, rows: usize, columns: usize) -> Self {
        let size = [columns * (spec.width() + GAP) + GAP, rows * (spec.height() + GAP) + GAP];
        let [width, height] = size.map(|side| side as u32);
        Self { spec, canvas: RgbImage::from_pixel(width, height, BETWEEN) }
    }

    /// Draws a picture, `[height, width, channels]`, at a place of the table.
    ///
    /// # Panics
    /// When the sheet has no such place.
    pub fn put(&mut self, row: usize, column: usize, pixels: &[u8]) {
        let spec = self.spec;
        let corner = [GAP + column * (spec.width() + GAP), GAP + row * (spec.height() + GAP)];
        for (at, pixel) in pixels.chunks_exact(spec.channels()).enumerate() {
            let [x, y] = [corner[0] + at % spec.width(), corner[1] + at / spec.width()];
            self.canvas.put_pixel(x as u32, y as u32, colour(pixel));
        }
    }

    /// Writes it as PNG, over an older PNG file of that name.
    ///
    /// # Errors
    /// When there is a file of another kind, or it can't be written.
    pub fn write(&self, path: &Path) -> Result<(), SheetError> {
        let failed = |source| SheetError::Write { path: path.to_owned(), source };
        if !is_png_or_new(path).map_err(failed)? {
            return Err(SheetError::Other(path.to_owned()));
        }
        let place = match path.parent() {
            Some(place) if place != Path::new("") => place,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        let new = builder.suffix(".png").permissions(folder::permissions()).tempfile_in(place);
        let new = new.map_err(failed)?;
        let written = self.canvas.write_to(&mut io::BufWriter::new(new.as_file()), image::ImageFormat::Png);
        written.map_err(|error| failed(io::Error::other(error)))?;
        folder::put(new, path).map(|_| ()).map_err(failed)
    }
}

fn is_png_or_new(path: &Path) -> io::Result<bool> {
    let mut file = match host::files::open_regular(path, u64::MAX, host::files::Links::Followed) {
        Ok(file) => file,
        Err(host::files::FileError::System(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(true);
        }
        Err(host::files::FileError::System(error)) => return Err(error),
        Err(_) => return Ok(false),
    };
    let mut start = [0; PNG_MAGIC.len()];
    Ok(file.read_exact(&mut start).is_ok() && start == PNG_MAGIC)
}

/// The colour of a pixel of 1 to 4 channels; transparency is not shown.
fn colour(pixel: &[u8]) -> Rgb<u8> {
    match *pixel {
        [red, green, blue, ..] => Rgb([red, green, blue]),
        [grey, ..] => Rgb([grey; 3]),
        [] => BETWEEN,
    }
}
