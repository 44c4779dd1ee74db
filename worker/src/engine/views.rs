//! Test-time averaging: a sample is seen in nine views, and the mean of their probabilities counts.
//!
//! ```text
//! p = mean of softmax(logits) over the image as it is and shifted by one pixel to its eight neighbours
//! ```
//!
//! What comes in from outside is 0. The loss is -log p of the label; of equal probabilities the lowest class
//! wins. Sums run in f64, view by view, so the numbers are the same on every CPU.

use super::network::{LeafEvaluation, Network, NetworkError};
use super::op::loss::softmax;
use common::data::samples::Samples;

/// Smallest probability whose logarithm is taken.
const PROBABILITY_MIN: f64 = 1e-300;
/// Shifts of the views along one side, in pixels.
const SHIFTS: [isize; 3] = [-1, 0, 1];

impl Network {
    /// Forward passes over the nine views of one leaf.
    ///
    /// # Errors
    /// When there are no samples, or they are of another form, or the tensor library fails.
    pub fn evaluate_views(&mut self, samples: &Samples) -> Result<LeafEvaluation, NetworkError> {
        let classes = samples.spec().classes();
        let mut means = vec![0.0; samples.len() * classes];
        for down in SHIFTS {
            for right in SHIFTS {
                let logits = self.logits(&shifted(samples, down, right))?;
                for (means, logits) in means.chunks_exact_mut(classes).zip(logits.chunks_exact(classes)) {
                    let views = (SHIFTS.len() * SHIFTS.len()) as f64;
                    means.iter_mut().zip(softmax(logits)).for_each(|(mean, share)| *mean += share / views);
                }
            }
        }
        let rows = means.chunks_exact(classes).zip(samples.labels());
        let loss =
            |(means, &label): (&[f64], &u16)| -libm::log(means[usize::from(label)].max(PROBABILITY_MIN));
        let loss_sum = rows.map(loss).sum();
        Ok(LeafEvaluation { loss_sum, predictions: means.chunks_exact(classes).map(largest).collect() })
    }
}

/// The class of the largest probability; of equal ones the lowest.
fn largest(means: &[f64]) -> u16 {
    let better = |best: usize, class: usize| if means[class] > means[best] { class } else { best };
    (1..means.len()).fold(0, better) as u16
}

/// The samples, moved by so many pixels.
fn shifted(samples: &Samples, down: isize, right: isize) -> Samples {
    let spec = samples.spec();
    let [height, width, channels] = [spec.height(), spec.width(), spec.channels()];
    let mut pixels = vec![0; samples.pixels().len()];
    let images =
        pixels.chunks_exact_mut(spec.image_bytes()).zip(samples.pixels().chunks_exact(spec.image_bytes()));
    for (new, old) in images {
        for (row, new) in new.chunks_exact_mut(width * channels).enumerate() {
            let Some(from) = row.checked_add_signed(-down).filter(|&from| from < height) else { continue };
            let old = &old[from * width * channels..][..width * channels];
            let by = right.unsigned_abs().min(width) * channels;
            let kept = old.len() - by;
            if right >= 0 {
                new[by..].copy_from_slice(&old[..kept]);
            } else {
                new[..kept].copy_from_slice(&old[by..]);
            }
        }
    }
    Samples::new(spec, pixels, samples.labels().to_vec()).expect("as many pixels as before")
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::data::spec::DataSpec;
    use common::model::architecture::Architecture;
    use common::model::params::Init;

    fn samples(height: usize, width: usize, channels: usize) -> Samples {
        let spec = DataSpec::new(height, width, channels, 3).unwrap();
        let pixels = (0..2 * spec.image_bytes()).map(|at| (at * 7 % 251) as u8 + 1).collect();
        Samples::new(spec, pixels, vec![2, 0]).unwrap()
    }

    #[test]
    fn a_shift_moves_every_pixel_and_leaves_zeros_behind() {
        for (height, width, channels) in [(4, 5, 2), (1, 1, 1), (3, 1, 3)] {
            let before = samples(height, width, channels);
            for (down, right) in [(0, 0), (1, 0), (0, -1), (-1, 1), (1, 1)] {
                let after = shifted(&before, down, right);
                for sample in 0..2 {
                    for at in 0..height * width * channels {
                        let (row, column) = (at / channels / width, at / channels % width);
                        let from = (row as isize - down, column as isize - right);
                        let is_inside =
                            (0..height as isize).contains(&from.0) && (0..width as isize).contains(&from.1);
                        let place =
                            (from.0 * width as isize + from.1) * channels as isize + (at % channels) as isize;
                        let expected = if is_inside { before.image(sample)[place as usize] } else { 0 };
                        assert_eq!(
                            after.image(sample)[at],
                            expected,
                            "{height}x{width}x{channels} {down} {right}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn probabilities_are_the_mean_over_all_views() {
        let samples = samples(6, 6, 1);
        let model = Architecture::parse(samples.spec(), "conv(4,3) relu flatten dense").unwrap();
        let mut network = Network::new(&model).unwrap();
        network.load(&Init::He.draw(model.layout(), 1)).unwrap();
        let mut means = [[0.0; 3]; 2];
        for view in 0..9isize {
            let logits = network.logits(&shifted(&samples, view / 3 - 1, view % 3 - 1)).unwrap();
            for (means, row) in means.iter_mut().zip(logits.chunks_exact(3)) {
                let exps: Vec<f64> = row.iter().map(|&z| libm::exp(z.into())).collect();
                let sum: f64 = exps.iter().sum();
                means.iter_mut().zip(exps).for_each(|(mean, exp)| *mean += exp / sum / 9.0);
            }
        }
        let LeafEvaluation { loss_sum, predictions } = network.evaluate_views(&samples).unwrap();
        assert!((loss_sum + libm::log(means[0][2]) + libm::log(means[1][0])).abs() < 1e-9);
        for (prediction, means) in predictions.iter().zip(means) {
            assert!(means.iter().all(|&mean| mean <= means[usize::from(*prediction)]));
        }
        assert!(matches!(network.evaluate_views(&samples.gather(&[])), Err(NetworkError::Empty)));
    }
}
