//! Maxima of windows: `[n, h, w, c]` → `[n, rows, columns, c]`, without the pixels left over at the edge.
//! This layer is used where no kernel computes them along with a convolution.
//!
//! Of equal maxima the first in row-major order gets the whole gradient, and a NaN wins over all values, as
//! in PyTorch. Candle's own gradient of a maximum differs.

use super::{Deliver, Layer, Pass, kept};
use crate::engine::op::borrow;
use candle_core::{Result, Tensor};
use common::model::layer::Window;

/// A max pooling layer.
pub struct MaxPool {
    window: Window,
    kept: Option<Kept>,
}

struct Kept {
    /// Index in the input of each output's value.
    sources: Vec<usize>,
    input: (usize, usize, usize, usize),
}

impl MaxPool {
    /// A layer with these windows.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self { window, kept: None }
    }

    /// Indices of the maxima of `x`, `[n, h, w, c]`, output by output.
    fn sources(&self, x: &[f32], (n, h, w, c): (usize, usize, usize, usize)) -> Vec<usize> {
        let [rows, columns] = [h, w].map(|size| self.window.places(size));
        let stride = self.window.stride;
        let mut sources = Vec::with_capacity(n * rows * columns * c);
        for row in (0..n).flat_map(|image| (0..rows).map(move |row| image * h + row * stride)) {
            for column in (0..columns).map(|column| column * stride) {
                let first = (row * w + column) * c;
                sources.extend((first..first + c).map(|first| self.strongest(x, first, w * c, c)));
            }
        }
        sources
    }

    /// Index of the maximum in the window whose first value is at `first`.
    fn strongest(&self, x: &[f32], first: usize, row: usize, column: usize) -> usize {
        let window = self.window.window;
        let mut best = first;
        for at in (0..window).flat_map(|y| (0..window).map(move |x| first + y * row + x * column)) {
            if x[at] > x[best] || (x[at].is_nan() && !x[best].is_nan()) {
                best = at;
            }
        }
        best
    }
}

impl Layer for MaxPool {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let input = x.dims4()?;
        let (n, h, w, c) = input;
        let values = borrow(&x)?;
        let sources = self.sources(&values, input);
        let y: Vec<f32> = sources.iter().map(|&source| values[source]).collect();
        self.kept = pass.training.map(|_| Kept { sources, input });
        let [rows, columns] = [h, w].map(|size| self.window.places(size));
        Tensor::from_vec(y, (n, rows, columns, c), x.device())
    }

    fn backward(
        &mut self,
        _parameters: &[Tensor],
        grad: &Tensor,
        _deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let Kept { sources, input: (n, h, w, c) } = kept(&mut self.kept)?;
        let mut dx = vec![0.0; n * h * w * c];
        sources.iter().zip(&*borrow(grad)?).for_each(|(&source, &grad)| dx[source] += grad);
        Tensor::from_vec(dx, (n, h, w, c), grad.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::to_vec;
    use candle_core::Device;
    use common::rng::LeafAddress;

    const TRAINING: Pass<'_> =
        Pass { parameters: &[], training: Some(LeafAddress { seed: 0, step: 0, leaf: 0 }) };

    fn image(values: &[f32], h: usize, w: usize, c: usize) -> Tensor {
        Tensor::from_vec(values.to_vec(), (1, h, w, c), &Device::Cpu).unwrap()
    }

    #[test]
    fn maxima_and_their_gradients_are_pytorchs() {
        // The last row and column do not fill a window. 5 stands twice, and its first place gets the
        // gradient.
        let x = image(&[1.0, 5.0, 0.0, 5.0, 2.0, 0.0, 9.0, 9.0, 9.0], 3, 3, 1);
        let mut pool = MaxPool::new(Window::apart(2));
        let y = pool.forward(TRAINING, x).unwrap();
        assert_eq!(to_vec(&y).unwrap(), [5.0]);
        let dx = pool.backward(&[], &image(&[2.0], 1, 1, 1), &mut |_, _| Ok(())).unwrap().unwrap();
        assert_eq!(to_vec(&dx).unwrap(), [0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn channels_and_images_keep_apart_and_a_nan_wins() {
        let x = image(&[1.0, -1.0, 2.0, -2.0, 0.0, -3.0, 4.0, f32::NAN], 2, 2, 2);
        let y = to_vec(&MaxPool::new(Window::apart(2)).forward(TRAINING, x).unwrap()).unwrap();
        assert!(y[0] == 4.0 && y[1].is_nan(), "{y:?}");
    }

    #[test]
    fn a_maximum_of_overlapping_windows_gets_the_gradient_of_each() {
        let x = image(&[1.0, 0.0, 2.0, 0.0, 9.0, 0.0, 3.0, 0.0, 4.0], 3, 3, 1);
        let mut pool = MaxPool::new(Window { window: 2, stride: 1 });
        let y = pool.forward(TRAINING, x).unwrap();
        assert_eq!(to_vec(&y).unwrap(), [9.0; 4]);
        let dx = pool.backward(&[], &image(&[1.0, 2.0, 3.0, 4.0], 2, 2, 1), &mut |_, _| Ok(())).unwrap();
        assert_eq!(to_vec(&dx.unwrap()).unwrap(), [0.0, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0]);
    }
}
