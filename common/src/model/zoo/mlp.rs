//! A multi-layer perceptron: dense layers of the given widths, with ReLU between them.

use super::Named;

/// Default widths of the hidden layers.
const WIDTHS: &[usize] = &[512, 256];

pub(super) const MLP: Named = Named {
    name: "mlp",
    about: "dense layers with ReLU; mlp(512,256) names the hidden layers' widths",
    settings: "the widths of its hidden layers",
    layers: |settings| {
        let widths = if settings.is_empty() { WIDTHS } else { settings };
        let hidden: String = widths.iter().map(|width| format!("dense({width}) relu ")).collect();
        Some(format!("flatten {hidden}dense"))
    },
};
