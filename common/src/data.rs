//! What a network is trained on: the samples, how they are read and drawn, and in which order they are used.

pub mod digits;
pub mod idx;
pub mod sampler;
pub mod samples;
pub mod spec;
