//! The coordinator: the shell around the rules.

mod allowance;
pub mod cli;
pub mod dataset;
mod doors;
mod driver;
mod error;
mod journal;
mod lane;
pub mod local;
mod outbox;
mod peers;
pub mod report;
pub mod run;
mod server;
mod standstill;
pub mod store;
pub mod trainer;

pub use error::RunError;
