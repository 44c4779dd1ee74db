//! The worker: joins a coordinator, computes gradients of the leaves that it is given, and holds nothing
//! else.
//!
//! Reading order: [`cli`] has the flags. [`driver`] runs the machine of `common::protocol::worker` around a
//! stream ([`client`]) and the threads of [`pool`]. [`engine`] holds the arithmetic, and [`selftest`] a
//! sample of it.
//!
//! What is in memory: the parameters, a gradient for each thread and one more on its way, at most two
//! gradients in shared memory, and what the forward pass of a leaf keeps ([`engine::network`]).

#![forbid(unsafe_code)]

pub mod addresses;
pub mod cli;
pub mod client;
pub mod driver;
pub mod engine;
pub mod mailbox;
mod pipes;
mod plain;
pub mod pool;
pub mod selftest;
mod shared_memory;
pub mod token;

pub use driver::{Options, WorkerError, run};
