//! A residual network for small images (He et al. 2016, section 4.2): three stages of 16, 32 and 64 channels.
//! Where the shape changes, the shortcut is a 1x1 convolution.

use super::Named;

/// Residual blocks of each stage: with 2 the network has 14 weighted layers, and 0.18 million parameters.
const BLOCKS: usize = 2;
/// Most blocks of a stage that are taken.
const BLOCKS_MAX: usize = 6;

pub(super) const RESNET: Named = Named {
    name: "resnet",
    about: "residual blocks with batch norm; resnet(3) names the blocks of each of its three stages",
    settings: "the blocks of a stage, 1 to 6",
    layers: |settings| match settings {
        [] => Some(layers(BLOCKS)),
        &[blocks] if (1..=BLOCKS_MAX).contains(&blocks) => Some(layers(blocks)),
        _ => None,
    },
};

fn layers(blocks: usize) -> String {
    let mut text = "conv(16,3,padding=1,bias=false) batchnorm relu ".to_owned();
    for (channels, first_stride) in [(16, 1), (32, 2), (64, 2)] {
        for block in 0..blocks {
            text += &block_of(channels, if block == 0 { first_stride } else { 1 });
        }
    }
    text + "globalavgpool dense"
}

/// A block, as text: two convolutions, and a shortcut that follows their stride.
fn block_of(channels: usize, stride: usize) -> String {
    let (with_stride, shortcut) = match stride {
        1 => (String::new(), String::new()),
        _ => {
            let with_stride = format!(",stride={stride}");
            let shortcut = format!("shortcut conv({channels},1{with_stride},bias=false) batchnorm ");
            (with_stride, shortcut)
        }
    };
    format!(
        "residual conv({channels},3{with_stride},padding=1,bias=false) batchnorm relu \
         conv({channels},3,padding=1,bias=false) batchnorm {shortcut}add relu "
    )
}
