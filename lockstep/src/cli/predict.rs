//! Flags of `lockstep predict`, and the command.

use super::Trained;
use crate::predict::report::{Answer, HEADER, row_json, row_line};
use crate::predict::{Predictor, Source, show};
use anyhow::bail;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Flags of `lockstep predict`.
///
/// Pictures are PNG, JPEG, WebP or BMP. A file that can't be read is told on standard error, the others are read
/// all the same, and the exit code is 1.
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
    /// Pictures
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<PathBuf>,
}

impl Predict {
    pub(super) fn run(&self) -> anyhow::Result<String> {
        let model = self.trained.open()?;
        let mut predictor = Predictor::new(&model)?;
        let width = model.architecture.input().width();
        if self.line && !predictor.reads_digits() {
            bail!("--line reads digits, and this model's input is not 28x28x1 with the classes 0 to 9");
        }
        let mut failed = 0;
        if self.csv {
            say(HEADER);
        }
        for path in &self.images {
            if self.line {
                match predictor.line(Source::File(path)) {
                    Ok(seen) if self.json => say(&row_json(path, &seen, &model.classes)?),
                    Ok(seen) => say(&row_line(path, &seen, &model.classes)),
                    Err(error) => {
                        failed += 1;
                        host::report(&error.to_string());
                    }
                }
                continue;
            }
            let seen = match predictor.one(Source::File(path)) {
                Ok(seen) => seen,
                Err(error) => {
                    failed += 1;
                    host::report(&error.to_string());
                    continue;
                }
            };
            let answer = Answer::of(&seen, &model.classes);
            if self.json {
                say(&answer.json(path)?);
            } else if self.csv {
                say(&answer.csv(path));
            } else {
                say(&answer.text(path));
            }
            if self.show && model.architecture.input().channels() == 1 {
                say(&show::drawn(&seen.input, width));
            }
        }
        if failed > 0 {
            bail!("{failed} of {} pictures can't be read", self.images.len());
        }
        Ok(String::new())
    }
}

/// Writes to standard output at once: there may be many pictures. If it is closed, nobody reads it.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
