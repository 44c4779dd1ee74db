//! The coordinator: owns the training, and the cluster that computes it.
//!
//! Reading order: [`cli`] has the flags ([`training_flags`] those that the numbers depend on), [`single_run`]
//! goes from options to summary, [`session`] is a cluster on which runs come and go, with the thread that
//! drives it, [`run`] is one of them, [`run_folder`] what it leaves, [`record`] reads that and draws it,
//! [`notify`] who is told of its end, [`sweep`] a search over many and [`ask_tell`] one that a program
//! outside drives, [`cluster`] knows the workers and the rounds in progress, `net` brings and sends messages,
//! [`observe`] shows what happens, [`store`] keeps checkpoints and [`mirror`] has them in a bucket too,
//! [`dataset`] finds the samples and [`local`] starts worker processes. [`trained`] opens a model that was
//! trained, and [`teacher`] one to learn from.
//!
//! What is in memory besides the data:
//!
//! 1. For each run its parameters and the optimizer's slots, averaged and best parameters where it keeps
//!    them, and what comes from a file: first values, and a teacher. While a checkpoint is written, a copy of
//!    all but what comes from a file.
//! 2. The encoded parameters of each run: once for all streams, and of two of them in shared memory if there
//!    are workers that use it. For each worker that reads slowly, one or two versions of them.
//! 3. For each run the gradients that arrive or wait for their neighbour in the tree. Those of 4 MiB or more
//!    do not grow with the number of workers: there is room for 8, and one more for each level of the tree at
//!    worst.
//! 4. While a checkpoint goes to a mirror, a part of one of its files.
//! 5. Eight spare buffers, because a tensor of megabytes that is allocated anew is mostly page faults.

#![forbid(unsafe_code)]

pub mod ask_tell;
pub mod cli;
pub mod cluster;
pub mod dataset;
mod error;
pub mod first_values;
mod folder;
pub mod http;
pub mod local;
mod mailbox;
pub mod mirror;
mod net;
pub mod notify;
pub mod observe;
pub mod record;
pub mod run;
pub mod run_folder;
pub mod session;
pub mod single_run;
mod stall;
pub mod store;
pub mod sweep;
pub mod teacher;
pub mod trained;
pub mod training_flags;
mod trials;

pub use error::RunError;
