//! Flags of `lockstep predict`, and the command.

use super::Trained;
use crate::export;
use crate::predict::report::{Answer, HEADER, page_json, page_lines, row_json, row_line};
use crate::predict::{PredictError, Predictor, Seen, Source, show};
use anyhow::bail;
use clap::Args;
use common::checkpoint::Model;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `lockstep predict`.
///
/// Pictures are PNG, JPEG, WebP or BMP. A file that can't be read is told on standard error, the others are
/// read all the same, and the exit code is 1.
#[derive(Clone, Debug, Args)]
pub struct Predict {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub trained: Trained,
    /// Print a line of JSON for each picture
    #[arg(long, conflicts_with_all = ["csv", "show"])]
    pub json: bool,
    /// Print CSV, a row for each picture
    #[arg(long, conflicts_with = "show")]
    pub csv: bool,
    /// Draw what the model saw
    #[arg(long)]
    pub show: bool,
    /// Read a row of digits in each picture, from left to right
    #[arg(long, conflicts_with_all = ["csv", "show"])]
    pub line: bool,
    /// Read all rows of digits in each picture, from top to bottom
    #[arg(long, conflicts_with_all = ["csv", "show", "line"])]
    pub page: bool,
    /// New file for a copy of the picture with what was read in boxes; of one picture
    #[arg(long, value_name = "FILE.png")]
    pub boxes: Option<PathBuf>,
    /// Pictures
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
}

impl Predict {
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let model = self.trained.open()?;
        let mut predictor = Predictor::new(&model)?;
        self.check(&predictor)?;
        if self.csv {
            say(HEADER);
        }
        let mut failed = 0;
        for path in &self.images {
            let seen = match self.read(&mut predictor, path, &model) {
                Ok(seen) => seen,
                Err(error) => {
                    failed += 1;
                    host::report(&error.to_string());
                    continue;
                }
            };
            if let Some(file) = &self.boxes {
                export::put_new(&predictor.boxes(Source::File(path), &seen, &model.classes)?, file)?;
            }
        }
        if failed > 0 {
            bail!("{failed} of {} pictures can't be read", self.images.len());
        }
        Ok(String::new())
    }

    /// What the flags ask of the model and of each other.
    fn check(&self, predictor: &Predictor) -> anyhow::Result<()> {
        let asks_for_digits =
            [("--line", self.line), ("--page", self.page), ("--boxes", self.boxes.is_some())];
        for (flag, _) in asks_for_digits.iter().filter(|(_, is_given)| *is_given) {
            if !predictor.reads_digits() {
                bail!("{flag} reads digits, and this model's input is not 28x28x1 with the classes 0 to 9");
            }
        }
        if self.boxes.is_some() && self.images.len() > 1 {
            bail!("--boxes is a copy of one picture, and {} are named", self.images.len());
        }
        Ok(())
    }

    /// Reads a picture, says what is in it, and returns all that was seen.
    fn read(&self, predictor: &mut Predictor, path: &Path, model: &Model) -> Result<Vec<Seen>, PredictError> {
        let classes = &model.classes;
        if self.line {
            let row = predictor.line(Source::File(path))?;
            say(&if self.json { row_json(path, &row, classes)? } else { row_line(path, &row, classes) });
            return Ok(row);
        }
        if self.page {
            let rows = predictor.page(Source::File(path))?;
            say(&if self.json { page_json(path, &rows, classes)? } else { page_lines(path, &rows, classes) });
            return Ok(rows.concat());
        }
        let seen = predictor.one(Source::File(path))?;
        let answer = Answer::of(&seen, classes);
        say(&match (self.json, self.csv) {
            (true, _) => answer.json(path)?,
            (_, true) => answer.csv(path),
            _ => answer.text(path),
        });
        let input = model.architecture.input();
        if self.show && input.channels() == 1 {
            say(&show::drawn(&seen.input, input.width()));
        }
        Ok(vec![seen])
    }
}

/// Writes to standard output at once: there may be many pictures. If it is closed, nobody reads it.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
