//! The tests that need more than one crate, and the harnesses they share.
//!
//! [`sim`] runs the two protocol machines against each other on a virtual clock, with faults drawn from a seed. The
//! tests themselves are in `it/`, one file per promise.

pub mod sim;
