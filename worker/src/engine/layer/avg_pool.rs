//! Means of windows: `[n, h, w, c]` → `[n, rows, columns, c]`; or of each whole image: → `[n, c]`.
//!
//! A window's values are added row by row in f32, then divided. A whole image's sum is that of
//! `op/channels.rs`.

use super::{Deliver, Layer, Pass, kept};
use crate::engine::op::{borrow, channels};
use candle_core::{Result, Tensor};
use common::model::layer::Window;

/// Shape of a batch of images.
type Images = (usize, usize, usize, usize);

/// A mean of each window.
pub struct AvgPool {
    window: Window,
    /// Shape of the last input.
    kept: Option<Images>,
}

/// A mean of each channel of an image.
#[derive(Default)]
pub struct GlobalAvgPool {
    /// Shape of the last input.
    kept: Option<Images>,
}

impl AvgPool {
    /// A layer with these windows.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self { window, kept: None }
    }

    /// Visits each row of each window: (start of the output's channels, start of the row in the input, length
    /// of the row).
    fn for_each_row(&self, (n, h, w, c): Images, mut visit: impl FnMut(usize, usize, usize)) {
        let Window { window, stride } = self.window;
        let [rows, columns] = [h, w].map(|size| self.window.places(size));
        for image in 0..n {
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                let output = ((image * rows + row) * columns + column) * c;
                for y in 0..window {
                    let pixel = (image * h + row * stride + y) * w + column * stride;
                    visit(output, pixel * c, window * c);
                }
            }
        }
    }

    fn area(&self) -> f32 {
        (self.window.window * self.window.window) as f32
    }
}

impl Layer for AvgPool {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let input = x.dims4()?;
        let (n, h, w, c) = input;
        let [rows, columns] = [h, w].map(|size| self.window.places(size));
        let mut y = vec![0.0; n * rows * columns * c];
        let values = borrow(&x)?;
        self.for_each_row(input, |output, row, length| {
            for pixel in values[row..row + length].chunks_exact(c) {
                y[output..output + c].iter_mut().zip(pixel).for_each(|(sum, x)| *sum += x);
            }
        });
        let area = self.area();
        y.iter_mut().for_each(|sum| *sum /= area);
        self.kept = pass.training.map(|_| input);
        Tensor::from_vec(y, (n, rows, columns, c), x.device())
    }

    fn backward(
        &mut self,
        _parameters: &[Tensor],
        grad: &Tensor,
        _deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let input = kept(&mut self.kept)?;
        let (n, h, w, c) = input;
        let area = self.area();
        let share: Vec<f32> = borrow(grad)?.iter().map(|grad| grad / area).collect();
        let mut dx = vec![0.0; n * h * w * c];
        self.for_each_row(input, |output, row, length| {
            for pixel in dx[row..row + length].chunks_exact_mut(c) {
                pixel.iter_mut().zip(&share[output..output + c]).for_each(|(sum, grad)| *sum += grad);
            }
        });
        Tensor::from_vec(dx, input, grad.device()).map(Some)
    }
}

impl Layer for GlobalAvgPool {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let input = x.dims4()?;
        let (n, h, w, c) = input;
        let values = borrow(&x)?;
        let sums = values.chunks_exact(h * w * c).flat_map(|image| channels::sums(image, c));
        let y: Vec<f32> = sums.map(|sum| (sum / (h * w) as f64) as f32).collect();
        self.kept = pass.training.map(|_| input);
        Tensor::from_vec(y, (n, c), x.device())
    }

    fn backward(
        &mut self,
        _parameters: &[Tensor],
        grad: &Tensor,
        _deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        let (n, h, w, c) = kept(&mut self.kept)?;
        let pixels = (h * w) as f32;
        let share: Vec<f32> = borrow(grad)?.iter().map(|grad| grad / pixels).collect();
        let mut dx = Vec::with_capacity(n * h * w * c);
        for share in share.chunks_exact(c) {
            (0..h * w).for_each(|_| dx.extend_from_slice(share));
        }
        Tensor::from_vec(dx, (n, h, w, c), grad.device()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::to_vec;
    use candle_core::Device;
    use common::rng::LeafAddress;

    #[test]
    fn means_and_their_gradients_are_those_of_the_windows() {
        let x = Tensor::arange(0.0f32, 18.0, &Device::Cpu).unwrap().reshape((1, 3, 3, 2)).unwrap();
        let pass = Pass { parameters: &[], training: Some(LeafAddress::default()) };
        let backward = |layer: &mut dyn Layer, y: &Tensor| {
            let one = y.ones_like().unwrap();
            to_vec(&layer.backward(&[], &one, &mut |_, _| Ok(())).unwrap().unwrap()).unwrap()
        };
        let mut overlapping = AvgPool::new(Window { window: 2, stride: 1 });
        let y = overlapping.forward(pass, x.clone()).unwrap();
        assert_eq!(to_vec(&y).unwrap(), [4.0, 5.0, 6.0, 7.0, 10.0, 11.0, 12.0, 13.0]);
        let counts = [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0];
        let shares: Vec<f32> = counts.iter().flat_map(|count| [count / 4.0; 2]).collect();
        assert_eq!(backward(&mut overlapping, &y), shares);
        let mut global = GlobalAvgPool::default();
        let y = global.forward(pass, x).unwrap();
        assert_eq!((to_vec(&y).unwrap(), y.dims()), (vec![8.0, 9.0], &[1, 2][..]));
        assert_eq!(backward(&mut global, &y), [1.0 / 9.0; 18]);
    }
}
