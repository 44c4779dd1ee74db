//! The model: a network as a list of layers, its tensors, and their initial values.
//!
//! The worker has the arithmetic; the coordinator needs only names, shapes and initial values. Start with
//! [`architecture`]. [`layer`] has the kinds of layer, [`infer`] their shapes, [`branch`] what a residual
//! block is, [`zoo`] the named networks, and [`params`] the tensors in one flat slice. [`offered`] finds them
//! in files of others, whose numbers are [`element`]s. `describe` and `pytorch` show a network to people.

pub mod activation;
pub mod architecture;
pub mod branch;
mod describe;
pub mod element;
pub mod infer;
pub mod layer;
pub mod offered;
pub mod params;
mod pytorch;
pub mod zoo;
