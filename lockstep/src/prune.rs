//! Fewer weights: the smallest become zero, or whole channels are taken out.
//!
//! Biases and norms are left as they are. What remains should be trained on for a while: with `--init-from`
//! and, so that zeros stay zero, `--mask`.

pub mod channels;

use common::checkpoint::Model;
use std::ops::Range;

/// Sets the smallest weights of all convolutions and dense layers together to zero, by their absolute value
/// (Han et al. 2015; as `torch.nn.utils.prune.global_unstructured` does with `L1Unstructured`), and returns
/// how many weights there are and how many are zero then. Of equals the first become zero.
///
/// `share` is the share of the weights that is to be zero, 0 to 1.
pub fn smallest(model: &mut Model, share: f64) -> [usize; 2] {
    let ranges: Vec<Range<usize>> = weights(model).collect();
    let mut places: Vec<usize> = ranges.into_iter().flatten().collect();
    let zeros = (share * places.len() as f64).round() as usize;
    // Sorting is stable.
    places.sort_by(|&one, &other| model.params[one].abs().total_cmp(&model.params[other].abs()));
    for &place in places.iter().take(zeros) {
        model.params[place] = 0.0;
    }
    let zeros = places.iter().filter(|&&place| model.params[place] == 0.0).count();
    [places.len(), zeros]
}

/// Where the weights of convolutions and dense layers are: the tensors of two dimensions and more.
fn weights(model: &Model) -> impl Iterator<Item = Range<usize>> {
    let tensors = model.architecture.layout().iter();
    tensors.filter(|(spec, _)| spec.shape.len() > 1).map(|(_, range)| range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tests::model;

    #[test]
    fn the_smallest_weights_become_zero_over_all_layers() {
        let mut model = model(1, "conv(2,3) batchnorm relu flatten dense", "unit");
        let before = model.clone();
        let [weights, zeros] = smallest(&mut model, 0.75);
        assert_eq!([weights, zeros], [18 + 800, 614], "2 kernels of 3 x 3, and 200 values to 4 classes");
        let changed: Vec<f32> =
            before.params.iter().zip(&model.params).filter(|(a, b)| a != b).map(|(a, _)| *a).collect();
        let kept =
            super::weights(&model).flatten().map(|place| model.params[place]).filter(|weight| *weight != 0.0);
        let largest = changed.iter().fold(0.0, |largest: f32, weight| largest.max(weight.abs()));
        assert!(changed.len() <= 614 && kept.map(f32::abs).fold(f32::MAX, f32::min) >= largest);
        let bias = model.architecture.layout().find("bn1.bias").unwrap().1;
        assert_eq!(model.params[bias.clone()], before.params[bias]);
        assert_eq!(smallest(&mut model, 0.0), [818, 614], "what is zero already is counted");
        assert_eq!(smallest(&mut model, 1.0), [818, 818]);
    }
}
