//! Training: the configuration of a run, the learning-rate schedule, the optimizer, and the metrics.

pub mod augment;
pub mod average;
pub mod compression;
pub mod config;
pub mod distil;
pub mod doubts;
pub mod init_from;
pub mod metrics;
pub mod objective;
pub mod optim;
pub mod patterns;
pub mod pseudo;
pub mod quantise;
pub mod schedule;
