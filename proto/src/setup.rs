//! Setups: the part of a run that a worker needs to compute for it, and that a receiver needs to check its
//! messages.
//!
//! A worker holds at most [`SETUPS_MAX`] setups at a time. The coordinator numbers them, and reuses a number
//! once its run is over.

use common::data::normalize::Normalization;
use common::data::spec::DataSpec;
use common::ids::SetupId;
use common::model::architecture::Architecture;
use common::reduce::precision::Precision;
use common::train::augment::Augmentation;
use common::train::distil::{Blend, Teacher};
use common::train::objective::Objective;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Largest number of setups at a time: a worker holds parameters for each.
pub const SETUPS_MAX: u32 = 64;

/// Description of a run's network and gradients, for workers.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// Number of the setup, below [`SETUPS_MAX`].
    pub id: SetupId,
    /// Network, with the form of the samples.
    pub model: Architecture,
    /// Data type in which gradients are sent and added.
    pub precision: Precision,
    /// What the network is given for a byte of a pixel; it fits the form of the samples.
    pub normalization: Normalization,
    /// Seed of the run's random choices, such as a dropout's.
    pub seed: u64,
    /// Random changes to the training images.
    pub augment: Augmentation,
    /// Loss that is minimised; its class weights fit the samples' classes.
    pub objective: Objective,
    /// Whether all is computed with rounded weights.
    pub rounded_weights: bool,
    /// The network that it learns from, which is for the same samples, and how much.
    pub teacher: Option<(Arc<Teacher>, Blend)>,
}

/// Sizes and types that the messages of a setup must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageForm {
    /// Number of parameters, and of a gradient's values.
    pub elements: usize,
    /// Data type of gradients.
    pub precision: Precision,
    /// Form of the samples.
    pub data: DataSpec,
    /// Number of the teacher's parameters; 0 if there is none.
    pub teacher: usize,
}

impl Setup {
    /// A setup with f32 gradients, pixels divided by 255, unchanged images and the plain cross-entropy.
    #[must_use]
    pub fn plain(id: SetupId, model: Architecture) -> Self {
        Self {
            id,
            model,
            precision: Precision::F32,
            normalization: Normalization::Unit,
            seed: 1,
            augment: Augmentation::default(),
            objective: Objective::default(),
            rounded_weights: false,
            teacher: None,
        }
    }

    /// Sizes and types that its messages must have.
    #[must_use]
    pub fn message_form(&self) -> MessageForm {
        let elements = self.model.layout().len();
        let data = self.model.input();
        let teacher = self.teacher.as_ref().map_or(0, |(teacher, _)| teacher.params.len());
        MessageForm { elements, precision: self.precision, data, teacher }
    }
}

/// The setups that are known now, shared by all decoders of a process.
#[derive(Clone, Debug, Default)]
pub struct Setups(Arc<RwLock<BTreeMap<SetupId, MessageForm>>>);

impl Setups {
    /// Accepts messages of this setup from now on.
    pub fn insert(&self, setup: &Setup) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(setup.id, setup.message_form());
    }

    /// Accepts no more messages of this setup.
    pub fn remove(&self, id: SetupId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Number of values in the largest tensor that is sent or may come.
    #[must_use]
    pub fn elements_max(&self) -> usize {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|form| form.elements.max(form.teacher)).max().unwrap_or(0)
    }

    /// Sizes and types that the messages of a setup must have; `None` if it is not known.
    #[must_use]
    pub fn get(&self, id: SetupId) -> Option<MessageForm> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }
}
