//! How a model's tensors lie in one flat slice of f32, and their initial values.
//!
//! Tensors are sorted by name and follow each other without gaps, each in row-major order. Parameters, gradients and
//! the optimizer's moments all share this layout.

use crate::rng::Stream;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;

/// One tensor's name and shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name as in a `state_dict`, such as `conv1.weight`.
    pub name: String,
    /// Sizes, outermost first: `[out, in, kh, kw]`, `[out, in]` or `[out]`.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// A tensor of this name and shape.
    #[must_use]
    pub fn new(name: impl Into<String>, shape: Vec<usize>) -> Self {
        Self { name: name.into(), shape }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Tensors in a flat slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    tensors: Vec<(TensorSpec, Range<usize>)>,
    len: usize,
}

impl Layout {
    /// Lays `tensors` out by name.
    #[must_use]
    pub fn new(mut tensors: Vec<TensorSpec>) -> Self {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let mut len = 0;
        let place = |spec: TensorSpec| {
            let range = len..len + spec.len();
            len = range.end;
            (spec, range)
        };
        Self { tensors: tensors.into_iter().map(place).collect(), len }
    }

    /// Number of parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every tensor with its place in the flat slice, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TensorSpec, Range<usize>)> {
        self.tensors.iter().map(|(spec, range)| (spec, range.clone()))
    }

    /// The tensor of that name with its place.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(&TensorSpec, Range<usize>)> {
        self.iter().find(|(spec, _)| spec.name == name)
    }
}

/// How weights get their first values. Biases start at zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Uniform in ±sqrt(6 / fan_in): He et al. 2015, "Delving Deep into Rectifiers", eq. 10, for ReLU.
    He,
    /// Uniform in ±sqrt(6 / (fan_in + fan_out)): Glorot and Bengio 2010, eq. 16.
    Glorot,
}

impl Init {
    /// First values of every tensor in `layout`, drawn from `seed`; each tensor has a stream of its own.
    #[must_use]
    pub fn draw(self, layout: &Layout, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; layout.len()];
        for (index, (spec, range)) in layout.iter().enumerate() {
            let [out, inputs, kernel @ ..] = spec.shape.as_slice() else { continue };
            let window: usize = kernel.iter().product();
            let (fan_in, fan_out) = ((inputs * window) as f32, (out * window) as f32);
            let bound = match self {
                Self::He => (6.0 / fan_in).sqrt(),
                Self::Glorot => (6.0 / (fan_in + fan_out)).sqrt(),
            };
            let mut stream = Stream::new(seed, "init", &[index as u64]);
            values[range].fill_with(|| stream.between(-bound, bound));
        }
        values
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::He => "he",
            Self::Glorot => "glorot",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelSpec;

    #[test]
    fn tensors_follow_each_other_in_name_order() {
        let layout = ModelSpec::Cnn.layout();
        let mut next = 0;
        let mut names = Vec::new();
        for (spec, range) in layout.iter() {
            assert_eq!(range, next..next + spec.len());
            next = range.end;
            names.push(spec.name.as_str());
        }
        assert!(names.is_sorted());
        assert_eq!(next, layout.len());
    }

    #[test]
    fn initial_values_fill_their_bounds_and_biases_are_zero() {
        let layout = ModelSpec::Cnn.layout();
        for (init, bound) in
            [(Init::He, (6.0f32 / 576.0).sqrt()), (Init::Glorot, (6.0f32 / (576.0 + 64.0)).sqrt())]
        {
            let values = init.draw(&layout, 1);
            let (_, weight) = layout.find("fc1.weight").unwrap();
            let largest = values[weight].iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!(largest <= bound && largest > 0.99 * bound, "{init}: {largest} against {bound}");
            let (_, bias) = layout.find("fc1.bias").unwrap();
            assert!(values[bias].iter().all(|&v| v == 0.0));
        }
    }
}
