//! The cluster around the rules: the thread that owns all state, its connections, and the memory for gradients.

pub(crate) mod connections;
pub(crate) mod driver;
pub(crate) mod gradient_budget;
