//! What a worker must know of a run to compute for it, and what a receiver must know of it to check a message.
//!
//! A worker holds at most [`SETUPS_MAX`] setups at a time. The coordinator numbers them, and uses a number again once its
//! run is over.

use common::data::spec::DataSpec;
use common::ids::SetupId;
use common::model::architecture::Architecture;
use common::reduce::precision::Precision;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Most setups that are known at a time: a worker holds parameters for each.
pub const SETUPS_MAX: u32 = 64;

/// What a worker must know of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Its number, below [`SETUPS_MAX`].
    pub id: SetupId,
    /// The network, and the form of the samples.
    pub model: Architecture,
    /// Data type in which gradients travel and are added.
    pub precision: Precision,
}

/// What messages of a setup must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageForm {
    /// Number of parameters, and of a gradient's values.
    pub elements: usize,
    /// Data type of gradients.
    pub precision: Precision,
    /// Form of the samples.
    pub data: DataSpec,
}

impl Setup {
    /// What its messages must look like.
    #[must_use]
    pub fn message_form(&self) -> MessageForm {
        let (elements, data) = (self.model.layout().len(), self.model.input());
        MessageForm { elements, precision: self.precision, data }
    }
}

/// The setups that are known now, shared by all decoders of a process.
#[derive(Clone, Debug, Default)]
pub struct Setups(Arc<RwLock<BTreeMap<SetupId, MessageForm>>>);

impl Setups {
    /// From now on messages of this setup are accepted.
    pub fn insert(&self, setup: &Setup) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(setup.id, setup.message_form());
    }

    /// Values of the largest gradient that may come.
    #[must_use]
    pub fn elements_max(&self) -> usize {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|form| form.elements).max().unwrap_or(0)
    }

    /// What messages of a setup must look like; `None` where it is not known.
    #[must_use]
    pub fn get(&self, id: SetupId) -> Option<MessageForm> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }
}
