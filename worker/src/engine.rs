//! The arithmetic: networks, and the operators they consist of.

pub mod network;
pub mod op;
