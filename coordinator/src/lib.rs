//! The coordinator: the shell around the rules.

pub mod cli;
pub mod dataset;
mod doors;
mod driver;
mod error;
mod journal;
mod lane;
pub mod local;
mod peers;
pub mod report;
pub mod run;
mod server;
pub mod store;
pub mod trainer;

pub use error::RunError;
