//! A network in whole numbers as a file: a program in C99 or Rust, or ONNX.
//!
//! `buffers` says where each value is kept. `c` and `rust` write programs with those functions of `kernels.c`
//! or `kernels.rs` that they use; `super::onnx` writes a graph. To check a program, `run` computes the
//! network with `kernels.rs` itself, and the integers must be those of `crate::int8::run`. That the text of a
//! program does the same is shown by ten answers that each file has as its test, and by the tests here, which
//! compile them.

mod buffers;
mod c;
mod kernels;
mod run;
mod rust;

use super::program::{fits, vectors};
use super::{ExportError, Written, checked_images, onnx, put};
use crate::int8::{self, Quantized};
use buffers::Buffers;
use clap::ValueEnum;
use common::checkpoint::Model;
use std::num::NonZeroUsize;
use std::path::Path;

/// The functions in C.
const IN_C: &str = include_str!("integers/kernels.c");
/// The functions in Rust.
const IN_RUST: &str = include_str!("integers/kernels.rs");

/// Form of a file with a network in whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IntegerFormat {
    /// ONNX of opset 13 for onnxruntime, OpenCV and others, with quantized values
    Onnx,
    /// A program in one file of C99, without heap, library or floating point
    C,
    /// A program in one file of Rust without std, heap or floating point
    Rust,
}

/// What a program is written from.
struct Program<'a> {
    model: &'a Model,
    network: &'a Quantized,
    buffers: Buffers,
    /// Logits of the test's images, in steps.
    expected: Vec<i32>,
    /// What was checked, in words.
    checked: String,
}

/// Writes the network to `path`, over an older file of the same format.
///
/// # Errors
/// When there is a file of another kind, it can't be written, or it does not compute what the network does.
pub fn write(
    model: &Model,
    network: &Quantized,
    format: IntegerFormat,
    path: &Path,
) -> Result<Written, ExportError> {
    let (bytes, checked, begins): (_, _, fn(&[u8]) -> bool) = match format {
        IntegerFormat::Onnx => {
            let (bytes, checked) = onnx::encode_integers(model, network)?;
            (bytes, checked, |start| start.starts_with(onnx::START))
        }
        IntegerFormat::C => {
            let program = Program::of(model, network, "c")?;
            (c::text(&program).into_bytes(), program.checked, |start| start.starts_with(c::START))
        }
        IntegerFormat::Rust => {
            let program = Program::of(model, network, "rust")?;
            (rust::text(&program).into_bytes(), program.checked, |start| start.starts_with(rust::START))
        }
    };
    put(&bytes, path, begins)?;
    Ok(Written { bytes: bytes.len() as u64, checked })
}

impl<'a> Program<'a> {
    /// The network, whose integers were compared.
    fn of(model: &'a Model, network: &'a Quantized, format: &'static str) -> Result<Self, ExportError> {
        fits(model, format)?;
        let buffers = Buffers::of(&network.plan);
        let samples = checked_images(model);
        if run::logits(network, &buffers, &samples) != int8::run::logits(network, &samples, NonZeroUsize::MIN)
        {
            return Err(ExportError::ReadBack("other integers".to_owned()));
        }
        let expected = int8::run::logits(network, &vectors(model), NonZeroUsize::MIN);
        let checked = format!(
            "computed on {} images, with equal integers; the file has a test of its own",
            samples.len()
        );
        Ok(Self { model, network, buffers, expected, checked })
    }

    /// The scale of the logits.
    fn logit_scale(&self) -> f32 {
        self.network.scales.last().map_or(1.0, |scale| scale.scale)
    }

    /// Bytes of weights, biases, factors and tables, and of the buffers.
    fn memory(&self) -> [usize; 2] {
        [self.network.bytes(), self.buffers.bytes.iter().sum()]
    }
}

#[cfg(test)]
mod tests;
