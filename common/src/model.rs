//! What is trained: a network as a list of layers, its tensors, and their first values.
//!
//! The arithmetic lives with the worker; the coordinator needs no more than names, shapes and first values. Start with
//! [`architecture`]; [`layer`] has the kinds of layer, [`infer`] their shapes, [`zoo`] the networks with a name, and
//! [`params`] the tensors in one flat slice.

pub mod architecture;
pub mod infer;
pub mod layer;
pub mod params;
pub mod zoo;
