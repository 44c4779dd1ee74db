//! The worker: joins a coordinator, computes gradients of the leaves that it is given, and holds nothing else.
//!
//! Reading order: [`model`] and [`op`] are the arithmetic.

pub mod model;
pub mod op;
