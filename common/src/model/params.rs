//! Layout of a model's tensors in one flat slice of f32, and their initial values.
//!
//! Tensors are sorted by name and follow each other without gaps, each in row-major order. Parameters,
//! gradients and the optimizer's moments all share this layout.

use crate::rng::Stream;
use crate::text::{TextError, shortened};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Name, shape and kind of initial values of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name as in a `state_dict`, such as `conv1.weight`.
    pub name: String,
    /// Sizes, outermost first: `[out, in, kh, kw]`, `[out, in]` or `[out]`.
    pub shape: Vec<usize>,
    /// Kind of initial values.
    pub start: Start,
    /// How a step changes it.
    pub role: Role,
}

/// How a step changes a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The optimizer follows its gradient.
    Trained,
    /// It follows the mean, over a step's leaves weighted by their samples, of what the layer measured. Such
    /// a tensor has no gradient: its place in a leaf's gradient holds the leaf's measurement times its
    /// samples.
    Running,
}

/// Kind of a tensor's initial values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Random values, drawn by the run's [`Init`].
    Drawn,
    /// Zero for every element.
    Zeros,
    /// One for every element.
    Ones,
}

impl TensorSpec {
    /// Number of elements, the product of the shape.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Position of each tensor in a flat slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    tensors: Vec<(TensorSpec, Range<usize>)>,
    len: usize,
}

impl Layout {
    /// A layout of `tensors`, sorted by name.
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

    /// Total number of parameters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Every tensor with its range in the flat slice, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TensorSpec, Range<usize>)> {
        self.tensors.iter().map(|(spec, range)| (spec, range.clone()))
    }

    /// Number of parameters that have a gradient.
    #[must_use]
    pub fn trained(&self) -> usize {
        self.iter().filter(|(spec, _)| spec.role == Role::Trained).map(|(spec, _)| spec.len()).sum()
    }

    /// The tensor of that name, with its range.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(&TensorSpec, Range<usize>)> {
        self.iter().find(|(spec, _)| spec.name == name)
    }
}

/// Distribution from which initial weights are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Uniform in ±sqrt(6 / fan_in): He et al. 2015, "Delving Deep into Rectifiers", eq. 10, for ReLU.
    He,
    /// Uniform in ±sqrt(6 / (fan_in + fan_out)): Glorot and Bengio 2010, eq. 16.
    Glorot,
}

impl Init {
    /// Initial values of every tensor in `layout`. The values of a tensor depend only on `seed`, its name and
    /// its shape, so adding a layer changes no other's.
    #[must_use]
    pub fn draw(self, layout: &Layout, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; layout.len()];
        for (spec, range) in layout.iter() {
            match spec.start {
                Start::Zeros => {}
                Start::Ones => values[range].fill(1.0),
                Start::Drawn => {
                    let bound = self.bound(&spec.shape);
                    let mut stream = Stream::new(seed, &format!("initial values of {}", spec.name), &[]);
                    values[range].fill_with(|| stream.between(-bound, bound));
                }
            }
        }
        values
    }

    /// Half the width of the uniform distribution for weights of this shape, `[out, in, ...]`.
    fn bound(self, shape: &[usize]) -> f32 {
        let out = shape.first().copied().unwrap_or(1);
        let fan_in: usize = shape.iter().skip(1).product();
        let fan_out = out * shape.iter().skip(2).product::<usize>();
        match self {
            Self::He => (6.0 / fan_in as f32).sqrt(),
            Self::Glorot => (6.0 / (fan_in as f32 + fan_out as f32)).sqrt(),
        }
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

impl FromStr for Init {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text {
            "he" => Ok(Self::He),
            "glorot" => Ok(Self::Glorot),
            _ => Err(TextError::Unknown { got: shortened(text), known: "he and glorot".to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::digits::SPEC;
    use crate::model::architecture::Architecture;

    fn layout(text: &str) -> Layout {
        Architecture::parse(SPEC, text).unwrap().layout().clone()
    }

    #[test]
    fn tensors_follow_each_other_in_name_order() {
        let layout = layout("cnn");
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
        let layout = layout("cnn");
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

    #[test]
    fn a_layer_more_changes_no_other_layers_first_values() {
        let before = layout("conv(4,3) relu flatten dense(8) relu dense");
        let after = layout("conv(4,3) relu conv(4,3) relu layernorm flatten dense(8) relu dense");
        let [old, new] = [&before, &after].map(|layout| Init::He.draw(layout, 3));
        let value =
            |layout: &Layout, values: &[f32], name: &str| values[layout.find(name).unwrap().1].to_vec();
        for name in ["conv1.weight", "conv1.bias", "fc2.weight"] {
            assert_eq!(value(&before, &old, name), value(&after, &new, name), "{name}");
        }
        assert_ne!(value(&after, &new, "conv2.weight")[..8], value(&after, &new, "conv1.weight")[..8]);
        assert!(value(&after, &new, "norm1.weight").iter().all(|&scale| scale == 1.0));
    }
}
