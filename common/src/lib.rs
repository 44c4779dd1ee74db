//! The numbers and the rules of Lockstep, and nothing that touches the outside.
//!
//! This crate knows no runtime, no network, no tensor library, no file, no clock and no environment: what it
//! computes depends on its arguments alone. That is what makes the promise of equal bits checkable, and what
//! lets the two protocol machines run in a simulation.
//!
//! Reading order: [`ids`] names things, [`rng`] is where every random choice comes from, [`sample`] and [`idx`] are the
//! data, [`digits`] draws a data set, [`model`] and [`params`] say what is trained, [`optim`] and [`schedule`] how ([`parallel`]: by how many threads),
//! [`config`] is all that a run depends on, [`leaf`] cuts epochs into leaves, [`tree`] says in which order their
//! gradients are added and [`precision`] how exactly, [`outliers`] which of them are doubted, [`metrics`] counts what came out, [`checkpoint`] keeps it,
//! [`numerics`] tells machines apart, and [`protocol`] holds the rules of
//! the cluster.

pub mod checkpoint;
pub mod config;
pub mod digits;
pub mod ids;
pub mod idx;
pub mod leaf;
pub mod metrics;
pub mod model;
pub mod numerics;
pub mod optim;
pub mod outliers;
pub mod parallel;
pub mod params;
pub mod precision;
pub mod protocol;
pub mod rng;
pub mod sample;
pub mod schedule;
pub mod tree;
