//! The doors that the property tests try, for a fuzzer: the same file, without the rest of the tests' crate.

#[path = "../../tests/harness/hostile.rs"]
pub mod hostile;
