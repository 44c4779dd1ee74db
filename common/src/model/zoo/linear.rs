//! Softmax regression: one dense layer.

use super::{Named, fixed};

pub(super) const LINEAR: Named = Named {
    name: "linear",
    about: "one dense layer: softmax regression",
    settings: "",
    layers: |settings| fixed(settings, "flatten dense"),
};
