//! The worker: joins a coordinator, computes gradients of the leaves that it is given, and holds nothing else.
//!
//! Reading order: [`cli`] has the flags, [`driver`] runs the machine of `common::protocol::worker` around a stream
//! (`client`) and the threads of [`compute`]; [`model`] and [`op`] are the arithmetic, and [`numerics`] is a sample of it.

pub mod cli;
pub mod client;
pub mod compute;
pub mod driver;
mod lane;
pub mod model;
pub mod numerics;
pub mod op;

pub use driver::{Options, WorkerError, run};
