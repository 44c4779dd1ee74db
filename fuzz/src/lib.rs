//! The entry points of the property tests, for a fuzzer: the same files, without the rest of the crate
//! `tests`.

#[path = "../../tests/harness/hostile.rs"]
pub mod hostile;
#[path = "../../tests/harness/tables.rs"]
pub mod tables;
