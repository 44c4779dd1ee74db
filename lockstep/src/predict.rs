//! `lockstep predict`: what a model sees in pictures of any size.
//!
//! Reading order, for a model of digits: [`grey`] is a picture of bounded size, [`paper`] its paper, [`ink`]
//! what is written on it; [`rules`] takes ruled lines away. [`components`] are connected pieces of ink,
//! [`subject`] the digit among them, and [`glyph`] makes it what MNIST's digits are. [`reader`] asks the
//! model about it in a few [`views`], and [`novelty`] says whether it is a digit. [`mod@line`] reads a row of
//! them, cut by [`seams`] where [`prices`] are lowest, and [`page`] finds the rows of a page. [`report`] has
//! the forms of the answers, [`show`] draws what the model saw, and [`boxes`] where.
//!
//! A model of anything else gets the middle of the picture in its size and colours, and its answer is taken.

pub mod boxes;
pub mod components;
pub mod glyph;
pub mod grey;
pub mod ink;
pub mod line;
pub mod novelty;
pub mod page;
pub mod paper;
pub mod prices;
pub mod reader;
pub mod report;
pub mod rules;
pub mod seams;
pub mod show;
pub mod subject;
#[cfg(test)]
mod tests;
pub mod views;

use common::checkpoint::Model;
use common::data::classes::ClassNames;
use components::Bounds;
use coordinator::dataset::{Decoding, Fit, ImageSize, PicturesError, Pixels, fill};
use glyph::{Cutout, Field};
use grey::Grey;
use image::{ImageFormat, RgbImage};
use novelty::Doubt;
use reader::{ComputeError, Reader, Verdict};
use std::io::Cursor;
use std::path::{Path, PathBuf};

/// Why a picture can't be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum PredictError {
    /// The file is no whole picture.
    #[error(transparent)]
    Picture(#[from] PicturesError),
    /// The model gave no answer.
    #[error("{}: {source}", path.display())]
    Model { path: PathBuf, source: ComputeError },
    /// The model takes something that pictures do not have.
    #[error("the model takes {0} channels, and pictures are brought to 1 or 3; use a model of pictures")]
    Channels(usize),
    /// There is more to look at than digits.
    #[error("{}: there is too much in it to look for digits; cut out the part with digits", .0.display())]
    TooMuch(PathBuf),
    /// The answer has no form in JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The copy of the picture can't be made.
    #[error("{}: its copy with boxes can't be written as a PNG: {source}", path.display())]
    Png { path: PathBuf, source: image::ImageError },
}

/// What a model says of a thing.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its verdict; `None` of empty paper.
    pub verdict: Option<Verdict>,
    /// Why it is no digit, if it is none.
    pub doubt: Option<Doubt>,
    /// Where it lies in the picture; `None` for the picture as a whole.
    pub bounds: Option<Bounds>,
    /// What the model was shown.
    pub input: Vec<u8>,
}

/// Where a picture is.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// In a file.
    File(&'a Path),
    /// In memory, as the bytes of a file.
    Memory(&'a [u8]),
}

/// What is looked at in one picture at most, so that none takes minutes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Groups of pieces of ink that may be a digit; a digit in a row makes about 30 of them.
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { groups: 100_000 }
    }
}

/// Reads pictures with one model.
pub struct Predictor {
    reader: Reader,
    input: common::data::spec::DataSpec,
    reads_digits: bool,
    decoding: Decoding,
}

impl Predictor {
    /// Makes a model ready.
    ///
    /// # Errors
    /// When the model takes no pictures, or the tensor library fails.
    pub fn new(model: &Model) -> anyhow::Result<Self> {
        Ok(Self::with(model, Reader::new(model)?, Decoding::default())?)
    }

    /// Reads with `reader`, which asks this model, and decodes as `decoding` does.
    ///
    /// # Errors
    /// When the model takes no pictures.
    pub fn with(model: &Model, reader: Reader, decoding: Decoding) -> Result<Self, PredictError> {
        let input = model.architecture.input();
        if ![1, 3].contains(&input.channels()) {
            return Err(PredictError::Channels(input.channels()));
        }
        Ok(Self { reader, input, reads_digits: reader::reads_digits(model), decoding })
    }

    /// Whether pictures are searched for digits.
    #[must_use]
    pub fn reads_digits(&self) -> bool {
        self.reads_digits
    }

    /// The only thing of a picture.
    ///
    /// # Errors
    /// When it is no whole picture, or the model gives no answer.
    pub fn one(&mut self, picture: Source) -> Result<Seen, PredictError> {
        let seen = if self.reads_digits {
            let (grey, whole) = self.grey(picture)?;
            one_digit(&mut self.reader, &grey).map(|seen| seen.scaled(&grey, whole))
        } else {
            let input = self.input;
            let mut pixels = vec![0; input.image_bytes()];
            let size = ImageSize { height: input.height(), width: input.width() };
            self.decode(picture, input.channels(), |picture| {
                fill(picture, size, Fit::Crop, &mut pixels);
            })?;
            whole(&mut self.reader, pixels)
        };
        seen.map_err(|source| PredictError::Model { path: picture.name().to_owned(), source })
    }

    /// The digits of a row, from left to right.
    ///
    /// # Errors
    /// When it is no whole picture or has too much in it, or the model gives no answer.
    pub fn line(&mut self, picture: Source) -> Result<Vec<Seen>, PredictError> {
        let (grey, whole) = self.grey(picture)?;
        let row = line_of(&mut self.reader, &grey);
        let row = row.map_err(|source| PredictError::Model { path: picture.name().to_owned(), source })?;
        let row = row.ok_or_else(|| PredictError::TooMuch(picture.name().to_owned()))?;
        Ok(row.into_iter().map(|seen| seen.scaled(&grey, whole)).collect())
    }

    /// The digits of each row, from top to bottom.
    ///
    /// # Errors
    /// When it is no whole picture or has too much in it, or the model gives no answer.
    pub fn page(&mut self, picture: Source) -> Result<Vec<Vec<Seen>>, PredictError> {
        let (grey, whole) = self.grey(picture)?;
        let rows = page_of(&mut self.reader, &grey);
        let rows = rows.map_err(|source| PredictError::Model { path: picture.name().to_owned(), source })?;
        let rows = rows.ok_or_else(|| PredictError::TooMuch(picture.name().to_owned()))?;
        let scaled = |row: Vec<Seen>| row.into_iter().map(|seen| seen.scaled(&grey, whole)).collect();
        Ok(rows.into_iter().map(scaled).collect())
    }

    /// A copy of the picture with what was seen in it in boxes, as a PNG.
    ///
    /// # Errors
    /// When it is no whole picture.
    pub fn boxes(
        &self,
        picture: Source,
        seen: &[Seen],
        classes: &ClassNames,
    ) -> Result<Vec<u8>, PredictError> {
        let mut copy = RgbImage::new(0, 0);
        self.decode(picture, 3, |Pixels { height, width, bytes, .. }| {
            let whole = RgbImage::from_raw(*width as u32, *height as u32, bytes.clone());
            copy = whole.expect("three bytes for each pixel");
        })?;
        boxes::draw(&mut copy, seen, classes);
        let mut png = Cursor::new(Vec::new());
        let written = copy.write_to(&mut png, ImageFormat::Png);
        written.map_err(|source| PredictError::Png { path: picture.name().to_owned(), source })?;
        Ok(png.into_inner())
    }

    /// The picture in grey, and its own width and height.
    fn grey(&self, picture: Source) -> Result<(Grey, [usize; 2]), PredictError> {
        let mut grey = None;
        self.decode(picture, 1, |pixels| {
            grey = Some((Grey::of(pixels), [pixels.width, pixels.height]));
        })?;
        Ok(grey.expect("a picture was handed over"))
    }

    fn decode(
        &self,
        picture: Source,
        channels: usize,
        take: impl FnOnce(&Pixels),
    ) -> Result<(), PicturesError> {
        match picture {
            Source::File(path) => self.decoding.pixels(path, channels, take),
            Source::Memory(bytes) => self.decoding.pixels_in(picture.name(), bytes, channels, take),
        }
    }
}

impl Source<'_> {
    /// What stands for it in errors.
    #[must_use]
    pub fn name(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory(_) => Path::new("the picture"),
        }
    }
}

impl Seen {
    /// What was seen in `grey`, with its place in the whole picture.
    fn scaled(self, grey: &Grey, whole: [usize; 2]) -> Self {
        let bounds = self.bounds.map(|bounds| bounds.scaled([grey.width, grey.height], whole));
        Self { bounds, ..self }
    }
}

fn line_of(reader: &mut Reader, picture: &Grey) -> Result<Option<Vec<Seen>>, ComputeError> {
    let Some(ink) = ink::find(picture) else { return Ok(Some(Vec::new())) };
    line::read(reader, &rules::removed(&ink), &mut Limits::default())
}

fn page_of(reader: &mut Reader, picture: &Grey) -> Result<Option<Vec<Vec<Seen>>>, ComputeError> {
    let Some(ink) = ink::find(picture) else { return Ok(Some(Vec::new())) };
    let Some(rows) = page::rows(&rules::removed(&ink)) else { return Ok(None) };
    let mut limits = Limits::default();
    let mut all = Vec::with_capacity(rows.len());
    for Cutout { bounds, ink } in rows {
        let Some(mut row) = line::read(reader, &ink, &mut limits)? else { return Ok(None) };
        for seen in &mut row {
            seen.bounds = seen.bounds.map(|own| own.moved(bounds.left, bounds.top));
        }
        if !row.is_empty() {
            all.push(row);
        }
    }
    Ok(Some(all))
}

fn one_digit(reader: &mut Reader, picture: &Grey) -> Result<Seen, ComputeError> {
    let nothing = Seen { verdict: None, doubt: Some(Doubt::Empty), bounds: None, input: Vec::new() };
    let Some(ink) = ink::find(picture) else { return Ok(nothing) };
    let ink = rules::removed(&ink);
    let Some(subject) = subject::find(&ink, &components::find(&ink)) else { return Ok(nothing) };
    let field: Field = subject.cutout.field();
    let verdict = reader.digits(&[field])?.remove(0);
    let doubt = novelty::of_subject(&subject, &verdict);
    let bounds = Some(subject.cutout.bounds);
    Ok(Seen { verdict: Some(verdict), doubt, bounds, input: field.to_vec() })
}

fn whole(reader: &mut Reader, pixels: Vec<u8>) -> Result<Seen, ComputeError> {
    let verdict = reader.inputs(&pixels)?.remove(0);
    Ok(Seen { verdict: Some(verdict), doubt: None, bounds: None, input: pixels })
}
