//! Flags with which a run makes a model small.

use clap::Args;
use common::train::compression::Compression;
use common::train::config::TrainingConfig;
use common::train::patterns::Patterns;

/// Settings of a run whose model is to be small.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct CompressionFlags {
    /// With --init-from: tensors in which values that are 0 stay 0, such as "*.weight", to train a model on
    /// that was pruned; with spaces or commas between several patterns. It goes with all --param-groups
    #[arg(long, value_name = "PATTERN ...", env = "LOCKSTEP_MASK")]
    pub mask: Option<Patterns>,
}

impl CompressionFlags {
    /// The settings. What is not given comes from `base`, or has its default.
    pub(super) fn resolve(&self, base: Option<&TrainingConfig>) -> Compression {
        let before = base.map(|base| base.compression.clone()).unwrap_or_default();
        Compression { mask: self.mask.clone().or(before.mask) }
    }
}
