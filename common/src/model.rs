//! Which networks there are: their names on the command line, and the tensors that they train.
//!
//! The arithmetic lives with the worker; the coordinator needs no more than names, shapes and initial values.

pub mod params;

use crate::data::samples::{CLASSES, PIXELS};
use crate::model::params::{Layout, TensorSpec};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most hidden layers of an MLP: enough for any use here, and a bound on what a peer can announce.
pub const HIDDEN_LAYERS_MAX: usize = 16;
/// Widest hidden layer of an MLP.
pub const HIDDEN_WIDTH_MAX: usize = 16_384;

/// A network's architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelSpec {
    /// Conv 32 3x3, ReLU, MaxPool 2, Conv 64 3x3, ReLU, MaxPool 2, Conv 64 3x3, ReLU, Dense 64, ReLU, Dense
    /// 10. No padding: 28 → 26 → 13 → 11 → 5 → 3.
    Cnn,
    /// Dense layers of these widths, each with ReLU, then Dense 10.
    Mlp {
        /// Width of each hidden layer, input side first.
        hidden: Vec<usize>,
    },
    /// Dense 10: softmax regression.
    Linear,
}

/// Why an architecture is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Too many hidden layers, or none.
    #[error("an mlp has 1 to {HIDDEN_LAYERS_MAX} hidden layers, got {got}")]
    Layers {
        /// Layers asked for.
        got: usize,
    },
    /// A hidden layer's width is out of range.
    #[error("a hidden layer has 1 to {HIDDEN_WIDTH_MAX} units, got {got}")]
    Width {
        /// Width asked for.
        got: usize,
    },
}

impl ModelSpec {
    /// Checks the sizes that a flag or a peer chose.
    ///
    /// # Errors
    /// When an MLP's depth or a width is out of range.
    pub fn validate(&self) -> Result<(), ModelError> {
        let Self::Mlp { hidden } = self else { return Ok(()) };
        if hidden.is_empty() || hidden.len() > HIDDEN_LAYERS_MAX {
            return Err(ModelError::Layers { got: hidden.len() });
        }
        match hidden.iter().find(|&&w| w == 0 || w > HIDDEN_WIDTH_MAX) {
            Some(&got) => Err(ModelError::Width { got }),
            None => Ok(()),
        }
    }

    /// The trained tensors, named and shaped as the same module's `state_dict` in PyTorch.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let mut tensors = Vec::new();
        let mut layer = |name: &str, shape: Vec<usize>| {
            tensors.push(TensorSpec::new(format!("{name}.bias"), vec![shape[0]]));
            tensors.push(TensorSpec::new(format!("{name}.weight"), shape));
        };
        match self {
            Self::Cnn => {
                layer("conv1", vec![32, 1, 3, 3]);
                layer("conv2", vec![64, 32, 3, 3]);
                layer("conv3", vec![64, 64, 3, 3]);
                layer("fc1", vec![64, 64 * 3 * 3]);
                layer("fc2", vec![CLASSES, 64]);
            }
            Self::Mlp { hidden } => {
                let mut inputs = PIXELS;
                for (i, &width) in hidden.iter().chain([&CLASSES]).enumerate() {
                    layer(&format!("fc{}", i + 1), vec![width, inputs]);
                    inputs = width;
                }
            }
            Self::Linear => layer("fc1", vec![CLASSES, PIXELS]),
        }
        Layout::new(tensors)
    }
}

impl fmt::Display for ModelSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cnn => f.write_str("cnn"),
            Self::Linear => f.write_str("linear"),
            Self::Mlp { hidden } => {
                let widths: Vec<String> = hidden.iter().map(ToString::to_string).collect();
                write!(f, "mlp({})", widths.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_counts_are_those_of_the_same_modules_in_pytorch() {
        assert_eq!(ModelSpec::Cnn.layout().len(), 93_322);
        assert_eq!(ModelSpec::Linear.layout().len(), 7_850);
        let mlp = ModelSpec::Mlp { hidden: vec![512, 256] };
        assert_eq!(mlp.layout().len(), 784 * 512 + 512 + 512 * 256 + 256 + 2_570);
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert_eq!(ModelSpec::Mlp { hidden: vec![] }.validate(), Err(ModelError::Layers { got: 0 }));
        assert_eq!(ModelSpec::Mlp { hidden: vec![8, 0] }.validate(), Err(ModelError::Width { got: 0 }));
        assert_eq!(ModelSpec::Mlp { hidden: vec![8, 9] }.validate(), Ok(()));
    }
}
