//! First values from one of the project's own checkpoints, verified as when a run goes on from it.

use super::{Entry, Problem, Source};
use crate::store;
use common::data::normalize::Normalization;
use common::model::element::Element;
use common::model::offered::Offered;
use common::model::params::Layout;
use common::train::config::{RunConfig, TrainingConfig};
use std::path::Path;

/// The parameters of a checkpoint, which are in memory: they were verified as a whole.
pub(super) struct Loaded {
    entries: Vec<Entry>,
    layout: Layout,
    params: Vec<f32>,
    said: Vec<String>,
}

/// The checkpoint in a folder, or the newest valid one of several in it. Nothing there is changed.
pub(super) fn open(path: &Path, training: &TrainingConfig) -> Result<Loaded, Problem> {
    let (found, saved) = store::newest_in(path)?.ok_or(Problem::NoCheckpoint)?;
    let invalid = |source| Problem::Store(store::StoreError::Invalid { path: found.clone(), source });
    let config = RunConfig::from_fields(&saved.manifest.config).map_err(|source| {
        Problem::Store(store::StoreError::Config { path: found.clone(), source: Box::new(source) })
    })?;
    let layout = config.model().layout().clone();
    let slots = config.training().optimizer.slots();
    let params = saved.decode(&layout, slots).map_err(invalid)?.params;
    let entries = layout.iter().map(|(tensor, _)| Entry {
        offered: Offered { name: tensor.name.clone(), shape: tensor.shape.clone() },
        element: Ok(Element::F32),
    });
    let mut said = Vec::new();
    if found != path {
        said.push(format!("the newest valid checkpoint is {}", found.display()));
    }
    let is_unit = |training: &TrainingConfig| training.normalize == Normalization::Unit;
    if is_unit(config.training()) != is_unit(training) {
        said.push(format!(
            "is this meant? it was trained with --normalize {}, and this run has {}",
            config.training().normalize,
            training.normalize
        ));
    }
    Ok(Loaded { entries: entries.collect(), layout, params, said })
}

impl Source for Loaded {
    fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn values(&self, at: usize) -> Result<Vec<f32>, Problem> {
        let place = self.layout.iter().nth(at);
        Ok(place.map(|(_, range)| self.params[range].to_vec()).unwrap_or_default())
    }

    fn said(&self) -> Vec<String> {
        self.said.clone()
    }
}
