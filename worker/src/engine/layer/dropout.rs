//! Dropout (Srivastava et al. 2014): while training, a value is set to 0 with the layer's rate, and divided
//! by 1 - rate otherwise.
//!
//! Which ones are dropped is a function of the run's seed, the step, the leaf and the layer's place in the
//! network: whoever computes the leaf, and however often, drops the same.

use super::{Deliver, Layer, Pass, kept};
use crate::engine::op::borrow;
use candle_core::{Result, Tensor};

/// A dropout layer.
pub struct Dropout {
    rate: f32,
    /// Place of the layer in the network's list.
    place: usize,
    /// Factor of each value in the last forward pass: 0 or 1 / (1 - rate).
    kept: Option<Vec<f32>>,
}

impl Dropout {
    /// A layer with that rate, at that place in the network's list.
    #[must_use]
    pub fn new(rate: f32, place: usize) -> Self {
        Self { rate, place, kept: None }
    }
}

fn product(factors: &[f32], x: &Tensor) -> Result<Tensor> {
    let values: Vec<f32> = borrow(x)?.iter().zip(factors).map(|(x, factor)| x * factor).collect();
    Tensor::from_vec(values, x.shape(), x.device())
}

impl Layer for Dropout {
    fn forward(&mut self, pass: Pass<'_>, x: Tensor) -> Result<Tensor> {
        let Some(leaf) = pass.training else { return Ok(x) };
        let mut stream = leaf.stream("dropout", self.place as u64);
        let scale = 1.0 / (1.0 - self.rate);
        let factor = |_| if stream.unit() < self.rate { 0.0 } else { scale };
        let factors: Vec<f32> = (0..x.elem_count()).map(factor).collect();
        let y = product(&factors, &x)?;
        self.kept = Some(factors);
        Ok(y)
    }

    fn backward(
        &mut self,
        _parameters: &[Tensor],
        grad: &Tensor,
        _deliver: &mut Deliver<'_>,
    ) -> Result<Option<Tensor>> {
        product(&kept(&mut self.kept)?, grad).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::to_vec;
    use candle_core::{DType, Device};
    use common::rng::LeafAddress;

    #[test]
    fn a_leaf_drops_its_share_and_always_the_same() {
        let x = Tensor::ones((100, 100), DType::F32, &Device::Cpu).unwrap();
        let mut layer = Dropout::new(0.25, 3);
        let address = LeafAddress { seed: 1, step: 2, leaf: 3 };
        let mut forward = |training| {
            let y = layer.forward(Pass { parameters: &[], training }, x.clone()).unwrap();
            let dx = training.map(|_| layer.backward(&[], &x, &mut |_, _| Ok(())).unwrap().unwrap());
            (to_vec(&y).unwrap(), dx.map(|dx| to_vec(&dx).unwrap()))
        };
        let (y, dx) = forward(Some(address));
        let dropped = y.iter().filter(|&&value| value == 0.0).count();
        assert!((2300..2700).contains(&dropped), "{dropped} of 10,000");
        assert!(y.iter().all(|&value| value == 0.0 || value == 1.0 / 0.75));
        assert_eq!(dx.as_ref(), Some(&y), "the gradient passes where the value did");
        assert_eq!(forward(Some(address)).0, y);
        for other in [
            LeafAddress { seed: 2, ..address },
            LeafAddress { step: 3, ..address },
            LeafAddress { leaf: 4, ..address },
        ] {
            assert_ne!(forward(Some(other)).0, y);
        }
        assert_eq!(forward(None).0, [1.0; 10_000]);
    }
}
