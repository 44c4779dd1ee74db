//! The coordinator: owns the training, and the cluster that computes it.
//!
//! Reading order: [`cli`] has the flags ([`training_flags`] those that the numbers depend on), [`run`] goes
//! from options to summary, `cluster` is the thread that owns the rules' machine and all connections, `net`
//! brings and sends messages, [`observe`] shows what happens, [`store`] keeps checkpoints, [`dataset`] finds
//! the samples and [`local`] starts worker processes.
//!
//! What is in memory besides the data:
//!
//! 1. Parameters and the optimizer's slots. While a checkpoint is written, a copy of both.
//! 2. The encoded parameters: once for all streams, and once or twice in shared memory if there are workers
//!    that use it. For each worker that reads slowly, one or two versions of them.
//! 3. Gradients that arrive or wait for their neighbour in the tree. Those of 4 MiB or more do not grow with
//!    the number of workers: there is room for 8, and one more for each level of the tree at worst.
//! 4. Eight spare buffers, because a tensor of megabytes that is allocated anew is mostly page faults.

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
