//! A network of convolutions alone, which halve the image by their stride (Springenberg et al. 2014,
//! "Striving for Simplicity"), with fewer channels than there. Its last 1x1 convolution and the mean over the
//! image change places here, which is the same function: so it ends in a dense layer.

use super::{Named, fixed};

pub(super) const ALLCONV: Named = Named {
    name: "allconv",
    about: "convolutions with stride in the place of pooling",
    settings: "",
    layers: |settings| {
        fixed(
            settings,
            "conv(32,3,padding=1) relu conv(32,3,padding=1) relu conv(32,3,stride=2,padding=1) relu \
             conv(64,3,padding=1) relu conv(64,3,padding=1) relu conv(64,3,stride=2,padding=1) relu \
             conv(64,3,padding=1) relu conv(64,1) relu globalavgpool dense",
        )
    },
};
