//! Where a network's values branch and join: the shapes at `residual`, `shortcut` and `add`, and the layers
//! of the two branches.

use super::infer::{LayerProblem, Shape};
use super::layer::Layer;
use std::ops::Range;

/// The residuals that are open at a place in a list of layers, the innermost last.
#[derive(Debug, Default)]
pub(super) struct Open(Vec<Residual>);

#[derive(Debug)]
struct Residual {
    /// Position in the list, from 1.
    number: usize,
    /// Shape before the branches.
    input: Shape,
    /// Shape at the end of the first branch, once the second has begun.
    body: Option<Shape>,
}

/// The layers of a residual's two branches, as places in the list of layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branches {
    /// Layers of the first branch.
    pub body: Range<usize>,
    /// Layers of the other branch; without any, it passes its input on.
    pub shortcut: Range<usize>,
    /// Place of the `add`.
    pub add: usize,
}

impl Open {
    /// Shape behind layer `number`, whose output would be `output` in a chain.
    ///
    /// # Errors
    /// When the layer ends a branch that is not there, or adds branches of different shapes.
    pub(super) fn follow(
        &mut self,
        number: usize,
        layer: Layer,
        output: Shape,
    ) -> Result<Shape, LayerProblem> {
        match layer {
            Layer::Residual => {
                self.0.push(Residual { number, input: output, body: None });
                Ok(output)
            }
            Layer::Shortcut => {
                let open = self.0.last_mut().ok_or(LayerProblem::NoResidual)?;
                match open.body.replace(output) {
                    None => Ok(open.input),
                    Some(_) => Err(LayerProblem::TwoShortcuts),
                }
            }
            Layer::Add => {
                let Residual { input, body, .. } = self.0.pop().ok_or(LayerProblem::NoResidual)?;
                let (body, shortcut) = body.map_or((output, input), |body| (body, output));
                if body == shortcut { Ok(body) } else { Err(LayerProblem::Branches { body, shortcut }) }
            }
            _ => Ok(output),
        }
    }

    /// Position of the innermost residual that is still open.
    pub(super) fn left_over(&self) -> Option<usize> {
        self.0.last().map(|open| open.number)
    }
}

impl Branches {
    /// The branches of the residual at place `residual` of a list in which each has its add.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn of(layers: &[Layer], residual: usize) -> Self {
        let mut depth = 0;
        let mut shortcut = None;
        for (at, layer) in layers.iter().enumerate().skip(residual) {
            match layer {
                Layer::Residual => depth += 1,
                Layer::Shortcut if depth == 1 => shortcut = Some(at),
                Layer::Add if depth == 1 => {
                    let body = residual + 1..shortcut.unwrap_or(at);
                    return Self {
                        body,
                        shortcut: shortcut.map_or(at, |shortcut| shortcut + 1)..at,
                        add: at,
                    };
                }
                Layer::Add => depth -= 1,
                _ => {}
            }
        }
        panic!("the residual at place {residual} has no add")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::architecture::Layers;

    #[test]
    fn branches_are_found_inside_each_other() {
        let text = "relu residual gelu residual tanh add relu shortcut silu residual add add relu";
        let layers: Layers = text.parse().unwrap();
        let of = |residual| Branches::of(layers.as_slice(), residual);
        assert_eq!(of(1), Branches { body: 2..7, shortcut: 8..11, add: 11 });
        assert_eq!(of(3), Branches { body: 4..5, shortcut: 5..5, add: 5 });
        assert_eq!(of(9), Branches { body: 10..10, shortcut: 10..10, add: 10 });
    }
}
