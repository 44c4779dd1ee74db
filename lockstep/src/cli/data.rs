//! Flags that name a data set for a model.

use anyhow::bail;
use clap::Args;
use common::checkpoint::Model;
use coordinator::dataset::{self, Dataset, DatasetChoice, Named};
use coordinator::observe::console::Console;
use host::printable;
use std::path::{Path, PathBuf};

/// Flags of a data set.
#[derive(Clone, Debug, Args)]
pub struct Data {
    /// Data set, as coordinator --dataset has it; FOLDER?image-size=HxW,grayscale for pictures that are to be
    /// brought to the model's form [default: the one that the model was trained on]
    #[arg(long, value_name = "NAME|PATH", env = "LOCKSTEP_DATASET")]
    pub dataset: Option<DatasetChoice>,
    /// Folder of a named data set's files [default: lockstep/NAME in the user's cache folder]
    #[arg(long, value_name = "FOLDER", env = "LOCKSTEP_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The same folder for mnist and auto alone; --data-dir goes before it
    #[arg(long, value_name = "FOLDER", env = "MNIST_DIR")]
    pub mnist_dir: Option<PathBuf>,
}

impl Data {
    /// Reads the data set. A model may come from anywhere, so a file or folder that it names is not read.
    pub(super) fn read(&self, model: &Model, console: &Console) -> anyhow::Result<Dataset> {
        let (choice, folder) = self.choice(model)?;
        Ok(dataset::load(&choice, folder, console)?)
    }

    /// Reads the data set likewise, and downloads nothing.
    pub(crate) fn read_present(&self, model: &Model, console: &Console) -> anyhow::Result<Dataset> {
        let (choice, folder) = self.choice(model)?;
        Ok(dataset::load_present(&choice, folder, console)?)
    }

    /// Which data set it is, and the folder in which it is looked for.
    fn choice(&self, model: &Model) -> anyhow::Result<(DatasetChoice, Option<&Path>)> {
        let choice = self.dataset.clone().unwrap_or_else(|| {
            let Ok(choice) = model.origin.dataset.parse();
            choice
        });
        if self.dataset.is_none() && choice.is_path() {
            let name = printable(&model.origin.dataset).into_owned();
            bail!("the model was trained on files of somebody's choice; give --dataset {name} to read them");
        }
        let is_mnist = matches!(choice, DatasetChoice::Auto | DatasetChoice::Named(Named::Mnist));
        let of_mnist = self.mnist_dir.as_deref().filter(|_| is_mnist);
        Ok((choice, self.data_dir.as_deref().or(of_mnist)))
    }
}
