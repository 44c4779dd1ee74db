//! Measures how well `lockstep predict` reads: MNIST's digits drawn into larger pictures, and other things.
//!
//! `cargo run --release --workspace --example read_digits -- --checkpoint CHECKPOINT --mnist FOLDER --letters
//! FOLDER`. The digits are those of the test, unless `--train` is given; the limits of the program were set
//! on the latter, with other seeds.

#![allow(clippy::print_stdout, reason = "the result of a measurement")]

mod draw;

use clap::Parser;
use common::data::samples::Samples;
use coordinator::dataset::{self, DatasetChoice, Named};
use coordinator::observe::console::Console;
use draw::{Canvas, Random};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Measures how well pictures of digits are read.
#[derive(Debug, Parser)]
struct Flags {
    /// The model
    #[arg(long)]
    checkpoint: PathBuf,
    /// Folder of MNIST's files
    #[arg(long)]
    mnist: PathBuf,
    /// Folder with a sub-folder of pictures for each letter
    #[arg(long)]
    letters: PathBuf,
    /// Training digits in place of test digits
    #[arg(long)]
    train: bool,
    /// Seed of all that is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Number of single digits
    #[arg(long, default_value_t = 1000)]
    digits: usize,
    /// Number of strips of five digits
    #[arg(long, default_value_t = 300)]
    strips: usize,
    /// Folder that keeps the pictures
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Letters that are no digits in any hand, for 10 of the 20 other things.
const LETTERS: [&str; 10] = ["A", "E", "F", "H", "K", "M", "N", "R", "W", "X"];

fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let data = dataset::load(&DatasetChoice::Named(Named::Mnist), Some(&flags.mnist), &Console::silent())?;
    let samples = if flags.train { data.train } else { data.test };
    let temporary = tempfile::tempdir()?;
    let folder = flags.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    let mut random = Random::new(flags.seed);
    singles(&flags, &samples, &folder, &mut random)?;
    strips(&flags, &samples, &folder, &mut random)?;
    others(&flags, &folder, &mut random)
}

fn singles(flags: &Flags, samples: &Samples, folder: &Path, random: &mut Random) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for at in 0..flags.digits {
        let index = random.below(samples.len());
        let high = 40 + random.below(161);
        let canvas = Canvas::digits(&[samples.image(index)], high, random);
        let name = format!("{at:04}-{}", samples.labels()[index]);
        files.push((canvas.save(folder, &name, random)?, samples.labels()[index].to_string()));
    }
    let said = predict(flags, &files, &[])?;
    let right = files.iter().zip(&said).filter(|((file, label), said)| {
        let is_right = said["not_a_digit"].is_null() && said["class"] == **label;
        if !is_right {
            println!("{}: {said}", file.display());
        }
        is_right
    });
    println!("single digits  {} of {}", right.count(), files.len());
    Ok(())
}

fn strips(flags: &Flags, samples: &Samples, folder: &Path, random: &mut Random) -> anyhow::Result<()> {
    let mut files = Vec::new();
    for at in 0..flags.strips {
        let five: Vec<usize> = (0..5).map(|_| random.below(samples.len())).collect();
        let text: String = five.iter().map(|&index| samples.labels()[index].to_string()).collect();
        let images: Vec<&[u8]> = five.iter().map(|&index| samples.image(index)).collect();
        let high = 40 + random.below(81);
        let canvas = Canvas::digits(&images, high, random);
        files.push((canvas.save(folder, &format!("strip-{at:04}-{text}"), random)?, text));
    }
    let said = predict(flags, &files, &["--line"])?;
    let right = files.iter().zip(&said).filter(|((file, text), said)| {
        let is_right = said["text"] == **text;
        if !is_right {
            println!("{}: {}", file.display(), said["text"]);
        }
        is_right
    });
    println!("strips         {} of {}", right.count(), files.len());
    Ok(())
}

fn others(flags: &Flags, folder: &Path, random: &mut Random) -> anyhow::Result<()> {
    let mut files = Vec::new();
    let part = flags.letters.join(if flags.train { "train" } else { "test" });
    for letter in LETTERS {
        let mut pictures: Vec<PathBuf> = std::fs::read_dir(part.join(letter))?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        pictures.sort();
        files.push((pictures[random.below(pictures.len())].clone(), letter.to_owned()));
    }
    for (at, canvas) in draw::others(random).into_iter().enumerate() {
        files.push((canvas.save(folder, &format!("other-{at}"), random)?, String::new()));
    }
    let said = predict(flags, &files, &[])?;
    let refused = files.iter().zip(&said).filter(|((file, _), said)| {
        if said["not_a_digit"].is_null() {
            println!("{}: {said}", file.display());
        }
        !said["not_a_digit"].is_null()
    });
    println!("other things   {} of {} called no digit", refused.count(), files.len());
    Ok(())
}

/// What the program says of each file.
fn predict(
    flags: &Flags,
    files: &[(PathBuf, String)],
    more: &[&str],
) -> anyhow::Result<Vec<serde_json::Value>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let this = std::env::current_exe()?;
    let programs = this.parent().and_then(Path::parent).expect("examples lie in target/PROFILE/examples");
    let mut command = Command::new(programs.join("lockstep"));
    command.args(["predict", "--json", "--checkpoint"]).arg(&flags.checkpoint).args(more);
    let output = command.args(files.iter().map(|(file, _)| file)).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}
