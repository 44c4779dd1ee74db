//! LeNet-5 (LeCun et al. 1998), as it is usually written today: max pooling and ReLU, no padding.

use super::{Named, fixed};

pub(super) const LENET5: Named = Named {
    name: "lenet5",
    about: "two convolutions 5x5 and three dense layers",
    settings: "",
    layers: |settings| {
        fixed(
            settings,
            "conv(6,5) relu maxpool(2) conv(16,5) relu maxpool(2) flatten dense(120) relu dense(84) relu dense",
        )
    },
};
