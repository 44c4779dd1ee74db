//! The model: a network as a list of layers, its tensors, and their initial values.
//!
//! The worker has the arithmetic; the coordinator needs only names, shapes and initial values. Start with
//! [`architecture`]. [`layer`] has the kinds of layer, [`infer`] their shapes, [`zoo`] the named networks,
//! and [`params`] the tensors in one flat slice.

pub mod architecture;
pub mod infer;
pub mod layer;
pub mod params;
pub mod zoo;
