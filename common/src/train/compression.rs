//! What makes a model a small one while it is trained: zeros that stay, weights that are rounded to 8 bits,
//! and a teacher.

use super::distil::Distillation;
use super::patterns::Patterns;

/// Settings of a run whose model is to be small.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compression {
    /// Tensors in which values that are 0 stay 0, if there are some.
    pub mask: Option<Patterns>,
    /// Whether all is computed with weights that are rounded to 8 bits ([`quantise`](super::quantise)).
    pub quantise_aware: bool,
    /// Which network it learns from, if from one ([`distil`](super::distil)).
    pub distillation: Option<Distillation>,
}
