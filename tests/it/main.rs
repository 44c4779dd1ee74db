//! One binary for all tests that span crates: it links once. A file per promise.

mod cli;
mod digits;
mod processes;
mod same_bits;
mod simulation;
mod trace;
