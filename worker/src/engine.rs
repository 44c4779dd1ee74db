//! The arithmetic: networks and the operators that they are made of.

pub mod network;
pub mod op;
