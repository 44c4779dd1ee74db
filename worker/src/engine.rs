//! The arithmetic: networks, their layers, and the operators that compute them.
//!
//! The compute threads use [`network`]. It builds a chain of [`layer`]s from an architecture through `fuse`,
//! which joins neighbours that one kernel computes. The kernels are in [`op`].
//!
//! ```
//! use common::data::samples::Samples;
//! use common::data::spec::DataSpec;
//! use common::model::architecture::Architecture;
//! use common::model::params::Init;
//! use common::rng::LeafAddress;
//! use worker::engine::network::Network;
//!
//! let data = DataSpec::new(8, 8, 1, 3)?;
//! let model = Architecture::parse(data, "conv(4,3) relu maxpool(2) flatten dense")?;
//! let mut network = Network::new(&model)?;
//! network.load(&Init::He.draw(model.layout(), 1))?;
//! let samples = Samples::new(data, vec![128; 2 * 64], vec![0, 2])?;
//! let leaf = network.gradient(&samples, LeafAddress { seed: 1, step: 0, leaf: 0 })?;
//! assert_eq!((leaf.gradient.len(), leaf.predictions.len()), (model.layout().len(), 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod chain;
mod fuse;
pub mod layer;
pub mod network;
pub mod op;
pub mod views;
