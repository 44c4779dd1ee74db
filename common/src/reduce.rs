//! Addition of gradients: its order, its precision, its threads, and the detection of outliers.

pub mod outliers;
pub mod parallel;
pub mod precision;
pub mod tree;
