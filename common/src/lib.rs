//! The numbers and the rules of Lockstep, without I/O.
//!
//! This crate knows no runtime, no network, no tensor library, no file, no clock and no environment: what it
//! computes depends on its arguments alone. So the promise of equal bits can be checked, and the two protocol
//! machines can run in a simulation.
//!
//! Reading order: [`ids`] names things and [`rng`] is where every random choice comes from. [`data`] has the
//! samples and the order in which they are used, [`model`] what is trained, [`train`] how. [`reduce`] adds
//! gradients in one fixed order. [`checkpoint`] makes and verifies checkpoints, [`selftest`] detects machines
//! with another arithmetic, [`search`] chooses among settings, and [`protocol`] holds the rules of the
//! cluster. [`event`] is what a coordinator tells of all that.

#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod data;
pub mod event;
pub mod ids;
pub mod model;
pub mod protocol;
pub mod reduce;
pub mod rng;
pub mod search;
pub mod selftest;
mod simd;
pub mod text;
pub mod train;
