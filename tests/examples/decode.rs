//! Writes a data set as four IDX files, `[n, h, w, c]`, so that other programs read the very same pixels.
//!
//! `cargo run --release --workspace --example decode -- DATASET FOLDER`; the data set is what `--dataset`
//! takes.

use clap::Parser;
use common::data::idx;
use coordinator::dataset::{self, DatasetChoice};
use coordinator::observe::console::Console;
use std::path::PathBuf;

/// Writes a data set as four IDX files.
#[derive(Debug, Parser)]
struct Flags {
    /// Data set, as --dataset takes it
    dataset: DatasetChoice,
    /// Folder for the files, which exists
    folder: PathBuf,
    /// Folder of a named data set's files
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let Flags { dataset, folder, data_dir } = Flags::parse();
    let data = dataset::load(&dataset, data_dir.as_deref(), &Console::silent())?;
    for (name, half) in [("train", &data.train), ("t10k", &data.test)] {
        let (images, labels) = idx::encode(half);
        std::fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images)?;
        std::fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels)?;
    }
    Ok(())
}
