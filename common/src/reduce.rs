//! How gradients are added: in which order, with which precision, by how many threads, and which of them are doubted.

pub mod outliers;
pub mod parallel;
pub mod precision;
pub mod tree;
