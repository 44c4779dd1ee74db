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
use coordinator::dataset::{Decoding, Fit, ImageSize, PicturesError, fill};
use glyph::Field;
use grey::Grey;
use novelty::Doubt;
use reader::{Reader, Verdict};
use std::path::{Path, PathBuf};
use worker::engine::network::NetworkError;

/// Why a picture can't be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum PredictError {
    /// The file is no whole picture.
    #[error(transparent)]
    Picture(#[from] PicturesError),
    /// The tensor library fails.
    #[error("{}: {source}", path.display())]
    Network { path: PathBuf, source: NetworkError },
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
        let input = model.architecture.input();
        let reads_digits = reader::reads_digits(model);
        if ![1, 3].contains(&input.channels()) {
            return Err(PredictError::Channels(input.channels()).into());
        }
        Ok(Self { reader: Reader::new(model)?, input, reads_digits, decoding: Decoding::default() })
    }

    /// Whether pictures are searched for digits.
    #[must_use]
    pub fn reads_digits(&self) -> bool {
        self.reads_digits
    }

    /// The only thing of a picture.
    ///
    /// # Errors
    /// When the file is no whole picture, or the tensor library fails.
    pub fn one(&mut self, path: &Path) -> Result<Seen, PredictError> {
        let seen = if self.reads_digits {
            let grey = self.grey(path)?;
            one_digit(&mut self.reader, &grey)
        } else {
            let input = self.input;
            let mut pixels = vec![0; input.image_bytes()];
            let size = ImageSize { height: input.height(), width: input.width() };
            self.decoding.pixels(path, input.channels(), |picture| {
                fill(picture, size, Fit::Crop, &mut pixels);
            })?;
            whole(&mut self.reader, pixels)
        };
        seen.map_err(|source| PredictError::Network { path: path.to_owned(), source })
    }

    /// The digits of a row, from left to right.
    ///
    /// # Errors
    /// When the file is no whole picture, or the tensor library fails.
    pub fn line(&mut self, path: &Path) -> Result<Vec<Seen>, PredictError> {
        let Some(ink) = ink::find(&self.grey(path)?) else { return Ok(Vec::new()) };
        let seen = line::read(&mut self.reader, &rules::removed(&ink));
        seen.map_err(|source| PredictError::Network { path: path.to_owned(), source })
    }

    fn grey(&self, path: &Path) -> Result<Grey, PredictError> {
        let mut grey = None;
        self.decoding.pixels(path, 1, |pixels| grey = Some(Grey::of(pixels)))?;
        Ok(grey.expect("a picture was handed over"))
    }
}

fn one_digit(reader: &mut Reader, picture: &Grey) -> Result<Seen, NetworkError> {
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

fn whole(reader: &mut Reader, pixels: Vec<u8>) -> Result<Seen, NetworkError> {
    let verdict = reader.inputs(&pixels)?.remove(0);
    Ok(Seen { verdict: Some(verdict), doubt: None, bounds: None, input: pixels })
}
