//! Flags of `lockstep compress`, and the command.

use super::{Data, Trained, described, threads, threads_or_all};
use crate::compress::{self, Measured};
use crate::export::integers::{self, IntegerFormat};
use crate::export::{self, Format};
use crate::{int8, prune};
use clap::{ArgGroup, Args};
use common::checkpoint::Model;
use coordinator::dataset::Dataset;
use coordinator::observe::console::Console;
use host::{printable, printable_lines};
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// Flags of `lockstep compress`.
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("how").required(true))]
pub struct Compress {
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub trained: Trained,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub data: Data,
    /// Round weights and values to 8 bits, and write a program or graph that computes with them
    #[arg(long, group = "how", requires = "format")]
    pub int8: bool,
    /// Set this share of the weights to zero, the smallest, and write the model: 0 to 1
    #[arg(long, group = "how", value_name = "SHARE", value_parser = share)]
    pub prune: Option<f64>,
    /// Take this share of the channels out of each layer but the last, those of the smallest weights, and
    /// write the smaller model: 0 to 1
    #[arg(long, group = "how", value_name = "SHARE", value_parser = share)]
    pub prune_channels: Option<f64>,
    /// Form of the file of --int8
    #[arg(long, value_enum, requires = "int8")]
    pub format: Option<IntegerFormat>,
    /// Training images that --int8 measures the ranges of values on
    #[arg(long, value_name = "N", default_value = "1000", requires = "int8")]
    pub calibration: NonZeroUsize,
    /// File for the logits of --int8 on the test samples, `[samples, classes]`, as a NumPy array of f32
    #[arg(long, value_name = "FILE.npy", requires = "int8")]
    pub logits: Option<PathBuf>,
    /// The file; one that is there is replaced if it is of the same format
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Number of threads [default: all cores]
    #[arg(long, value_name = "N", env = "LOCKSTEP_THREADS", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
}

impl Compress {
    pub(super) fn run(&self, console: &Console) -> anyhow::Result<String> {
        let model = self.trained.open()?;
        let data = self.data.read(&model, console)?;
        let mut text = format!("{}, on the test samples of {}\n\n", described(&model), printable(&data.name));
        let before = compress::measured(&model, &data.test, self.threads())?;
        text += &match (self.format, self.prune, self.prune_channels) {
            (Some(format), ..) => self.int8(&model, &data, format, before)?,
            (_, Some(share), _) => self.pruned(&model, &data, share, before)?,
            (.., share) => self.without_channels(&model, &data, share.unwrap_or_default(), before)?,
        };
        Ok(printable_lines(&text).into_owned())
    }

    fn int8(
        &self,
        model: &Model,
        data: &Dataset,
        format: IntegerFormat,
        before: Measured,
    ) -> anyhow::Result<String> {
        let images = compress::spread(&data.train, self.calibration);
        let network = int8::of(model, &images, self.threads())?;
        let (logits, after) = compress::measured_int8(&network, &data.test, self.threads());
        let written = integers::write(model, &network, format, &self.output)?;
        if let Some(path) = &self.logits {
            export::put_array(path, &[data.test.len(), model.classes.len()], &logits)?;
        }
        let other = compress::differing(&before, &after);
        let mut text = compress::table(&before, &after);
        // Writing to a string can't fail.
        let _ = writeln!(text, "other predictions   {other} of {}", data.test.len());
        let _ = writeln!(text, "calibrated on       {} training images", images.len());
        let _ = writeln!(text, "file                {}, {} bytes", self.output.display(), written.bytes);
        let _ = writeln!(text, "checked             {}", written.checked);
        Ok(text)
    }

    fn pruned(&self, model: &Model, data: &Dataset, share: f64, before: Measured) -> anyhow::Result<String> {
        let mut smaller = model.clone();
        let [weights, zeros] = prune::smallest(&mut smaller, share);
        let after = compress::measured(&smaller, &data.test, self.threads())?;
        let text =
            format!("{}zeros               {zeros} of {weights} weights\n", compress::table(&before, &after));
        Ok(text + &self.written(&smaller, " --mask \"*.weight\"")?)
    }

    fn without_channels(
        &self,
        model: &Model,
        data: &Dataset,
        share: f64,
        before: Measured,
    ) -> anyhow::Result<String> {
        let smaller = prune::channels::without(model, share)?;
        let after = compress::measured(&smaller, &data.test, self.threads())?;
        let text = format!(
            "{}network             {}\n",
            compress::table(&before, &after),
            smaller.architecture.layers()
        );
        Ok(text + &self.written(&smaller, "")?)
    }

    /// Writes a model, and says how it is trained on.
    fn written(&self, model: &Model, mask: &str) -> anyhow::Result<String> {
        let written = export::write(model, Format::Safetensors, &self.output)?;
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = writeln!(text, "file                {}, {} bytes", self.output.display(), written.bytes);
        let _ = writeln!(
            text,
            "\nTrain it on, so that it learns to do without:\n  {}",
            fine_tuning(model, &self.output, mask)
        );
        Ok(text)
    }

    fn threads(&self) -> NonZeroUsize {
        threads_or_all(self.threads)
    }
}

/// The command that trains a pruned model on.
fn fine_tuning(model: &Model, file: &Path, mask: &str) -> String {
    format!(
        "coordinator --workers 2 --local --dataset {} --normalize {} --model \"{}\" --init-from {}{mask} --lr 0.0005 \
         --checkpoint-dir FOLDER",
        quoted(&model.origin.dataset),
        quoted(&model.normalization.to_string()),
        model.architecture.layers(),
        quoted(&file.display().to_string()),
    )
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is 0 to 1".to_owned())
}
