//! The coordinator: owns the training, and the cluster that computes it.
//!
//! Reading order: [`cli`] has the flags ([`training_flags`] those that the numbers depend on), [`run`] goes
//! from options to summary, `cluster` is the thread that owns the rules' machine and all connections, `net`
//! brings and sends messages, [`observe`] shows what happens, [`store`] keeps checkpoints, [`dataset`] finds
//! the samples and [`local`] starts worker processes.

pub mod cli;
pub mod cluster;
pub mod dataset;
mod error;
pub mod local;
mod mailbox;
mod net;
pub mod observe;
pub mod run;
mod stall;
pub mod store;
pub mod training_flags;

pub use error::RunError;
