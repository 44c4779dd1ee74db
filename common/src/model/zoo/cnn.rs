//! Three convolutions and two dense layers: above 99 % on MNIST after a few epochs.

use super::{Named, fixed};

pub(super) const CNN: Named = Named {
    name: "cnn",
    about: "three convolutions and two dense layers",
    settings: "",
    layers: |settings| {
        fixed(
            settings,
            "conv(32,3) relu maxpool(2) conv(64,3) relu maxpool(2) conv(64,3) relu flatten dense(64) relu dense",
        )
    },
};
