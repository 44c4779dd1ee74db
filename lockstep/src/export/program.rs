//! A network as a program in one file, without memory of its own, libraries or anything to install: what
//! `c` and `rust` write.
//!
//! `plan` makes steps and tables of the network, and `c` and `rust` write them down, with those functions of
//! `kernels.c` or `kernels.rs` that they use. To check an export, `run` computes the plan with `kernels.rs`
//! itself, and the logits are compared with the model's. No compiler is asked for: that the text of a
//! program does as the plan says is shown by the ten answers of the model that each file has as its test, and
//! by the tests here, which compile programs with every kind of layer.

mod kernels;
pub(super) mod plan;
mod run;
pub(super) mod sources;

use super::{DIFFERENCE_MAX, ExportError, checked_logits, compared};
use crate::answers;
use common::checkpoint::Model;
use common::data::samples::Samples;
use plan::Plan;
use std::num::NonZeroUsize;

/// The functions in C.
pub(super) const IN_C: &str = include_str!("program/kernels.c");
/// The functions in Rust.
pub(super) const IN_RUST: &str = include_str!("program/kernels.rs");
/// Images whose logits a program has as its test.
pub(super) const VECTORS: usize = 10;
/// Most numbers of a network: a file of some 60 MB.
const NUMBERS_MAX: usize = 1 << 22;

/// What a program is written from.
pub(super) struct Program<'a> {
    pub(super) model: &'a Model,
    pub(super) plan: Plan,
    /// Logits of the test's images, the model's own.
    pub(super) expected: Vec<f32>,
    /// How far a program's logits may be from them.
    pub(super) limit: f32,
    /// What was checked, in words.
    pub(super) checked: String,
}

impl<'a> Program<'a> {
    /// The plan of a model, whose logits are compared with the model's.
    pub(super) fn of(model: &'a Model, format: &'static str) -> Result<Self, ExportError> {
        fits(model, format)?;
        let plan = Plan::of(model);
        let (samples, logits) = checked_logits(model)?;
        let checked = compared(&logits, &run::logits(&plan, &samples), DIFFERENCE_MAX)?;
        let samples = vectors(model);
        let expected = answers::logits(model, &samples, NonZeroUsize::MIN)?;
        compared(&expected, &run::logits(&plan, &samples), DIFFERENCE_MAX)?;
        let limit =
            DIFFERENCE_MAX * expected.iter().fold(1.0, |largest: f32, value| largest.max(value.abs()));
        let checked = format!("{checked}; the file has a test of its own, {VECTORS} answers of the model");
        Ok(Self { model, plan, expected, limit, checked })
    }

    /// Bytes of an image.
    pub(super) fn image_bytes(&self) -> usize {
        self.model.architecture.input().image_bytes()
    }

    /// Number of classes.
    pub(super) fn classes(&self) -> usize {
        self.model.architecture.input().classes()
    }

    /// Bytes of the constant numbers, and of the buffers.
    pub(super) fn memory(&self) -> [usize; 2] {
        let constants: usize = self.plan.tables.iter().map(|table| table.values.len()).sum();
        [4 * constants, 4 * self.plan.buffers.iter().sum::<usize>()]
    }
}

/// Refuses a model that is too large for a program's text.
pub(super) fn fits(model: &Model, format: &'static str) -> Result<(), ExportError> {
    let numbers = model.params.len();
    if numbers <= NUMBERS_MAX {
        return Ok(());
    }
    let why = format!(
        "{numbers} numbers are too many for a program's text, which may have {NUMBERS_MAX}: export ONNX"
    );
    Err(ExportError::Unsupported { format, why })
}

/// The test's images: bytes of a generator that fits into a line of a program (Knuth's multiplier of
/// "Numerical Recipes").
pub(super) fn vectors(model: &Model) -> Samples {
    let spec = model.architecture.input();
    let mut state = 1u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let pixels = (0..VECTORS * spec.image_bytes()).map(|_| byte()).collect();
    Samples::new(spec, pixels, vec![0; VECTORS]).expect("each label is a class")
}

#[cfg(test)]
pub(super) mod tests;
