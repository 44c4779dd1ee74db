//! One binary for all tests that span crates: it links once. A file per promise.

mod simulation;
