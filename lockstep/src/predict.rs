//! `lockstep predict`: what a model sees in pictures of any size.
//!
//! Reading order, for a model of digits: [`grey`] is a picture of bounded size, [`paper`] its paper, [`ink`]
//! what is written on it; [`rules`] takes ruled lines away. [`components`] are connected pieces of ink,
//! [`subject`] the digit among them, and [`glyph`] makes it what MNIST's digits are. [`reader`] asks the model
//! about it in a few [`views`], and [`novelty`] says whether it is a digit. [`mod@line`] reads a row of them,
//! cut by [`seams`]. [`report`] has the forms of the answers, and [`show`] draws what the model saw.
//!
//! A model of anything else gets the middle of the picture in its size and colours, and its answer is taken.

pub mod components;
pub mod glyph;
pub mod grey;
pub mod ink;
pub mod line;
pub mod novelty;
pub mod paper;
pub mod reader;
pub mod report;
pub mod rules;
pub mod seams;
pub mod show;
pub mod subject;
pub mod views;

use common::checkpoint::Model;
use components::Bounds;
use coordinator::dataset::{Decoding, Fit, ImageSize, PicturesError, Pixels, fill};
use glyph::Field;
use grey::Grey;
use novelty::Doubt;
use reader::{ComputeError, Reader, Verdict};
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
            let grey = self.grey(picture)?;
            one_digit(&mut self.reader, &grey)
        } else {
            let input = self.input;
            let mut pixels = vec![0; input.image_bytes()];
            let size = ImageSize { height: input.height(), width: input.width() };
            self.decode(picture, input.channels(), |picture| fill(picture, size, Fit::Crop, &mut pixels))?;
            whole(&mut self.reader, pixels)
        };
        seen.map_err(|source| PredictError::Model { path: picture.name().to_owned(), source })
    }

    /// The digits of a row, from left to right.
    ///
    /// # Errors
    /// When it is no whole picture, or the model gives no answer.
    pub fn line(&mut self, picture: Source) -> Result<Vec<Seen>, PredictError> {
        let Some(ink) = ink::find(&self.grey(picture)?) else { return Ok(Vec::new()) };
        let seen = line::read(&mut self.reader, &rules::removed(&ink));
        seen.map_err(|source| PredictError::Model { path: picture.name().to_owned(), source })
    }

    fn grey(&self, picture: Source) -> Result<Grey, PredictError> {
        let mut grey = None;
        self.decode(picture, 1, |pixels| grey = Some(Grey::of(pixels)))?;
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
