//! The `lockstep` program: what one does with a trained model, without a cluster.
//!
//! Reading order: [`cli`] has the commands and their flags. [`model`] opens a checkpoint or a file that was
//! handed on, [`answers`] computes with it on several threads. The commands: [`evaluate`] measures a model on
//! a data set, [`export`] writes it for others, [`predict`] reads pictures with it, [`serve`] does so by
//! HTTP, and [`submission`] answers a test without labels. [`compress`] makes it smaller: in whole numbers of
//! 8 bits ([`int8`]), or with fewer weights ([`prune`]). [`runs`] lists the folders of runs, compares them,
//! and reports on one.
//!
//! It trains nothing and writes to no checkpoint's folder; a report is the one file that a run's folder gets.
//! The data sets and the store are the coordinator's, the arithmetic is the worker's: so the answers have the
//! bits that a training's test has.

#![forbid(unsafe_code)]

pub mod answers;
pub mod cli;
pub mod compress;
pub mod evaluate;
pub mod export;
pub mod int8;
pub mod model;
pub mod predict;
pub mod prune;
pub mod runs;
pub mod serve;
pub mod submission;
