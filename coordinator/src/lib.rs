//! The coordinator: the shell around the rules.

pub mod report;
pub mod store;
pub mod trainer;
