//! A network of at most 9,000 parameters, for small devices.

use super::{Named, fixed};

pub(super) const TINY: Named = Named {
    name: "tiny",
    about: "three small convolutions with batch norm, at most 9,000 parameters",
    settings: "",
    layers: |settings| {
        fixed(
            settings,
            "conv(8,3,padding=1,bias=false) batchnorm relu maxpool(2) conv(16,3,padding=1,bias=false) batchnorm \
             relu maxpool(2) conv(32,3,padding=1,bias=false) batchnorm relu globalavgpool dense",
        )
    },
};
