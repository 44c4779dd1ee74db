//! The model that a command is about: a checkpoint's, or one in a file that was handed on.

pub use coordinator::trained::{OpenError, open};
