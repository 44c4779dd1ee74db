//! What a network is trained on: the samples, how they are read and drawn, and in which order they are used.
//!
//! A data set is [`samples::Samples`] of one form, [`spec::DataSpec`], in classes with names,
//! [`classes::ClassNames`]. [`idx`] reads them from files, [`digits`] draws them, and [`normalize`] says
//! which numbers a network is given. [`split`] holds some out, and [`sampler`] cuts an epoch of the others
//! into steps and leaves:
//!
//! ```
//! use common::data::sampler::Plan;
//! use common::data::split::Split;
//! use common::ids::{Epoch, Leaf, Step};
//!
//! // 10 samples in two classes, of which 1 is held out: an epoch of 9 has steps of 4, 4 and 1 samples, in
//! // leaves of 2.
//! let split = Split::draw(&[0, 1, 0, 1, 0, 1, 0, 1, 0, 1], 1, 7);
//! let plan = Plan::new(split.train.len() as u32, 4, 2, 7);
//! assert_eq!((plan.steps_per_epoch(), plan.leaves(Step(0)), plan.leaves(Step(2))), (3, 2, 1));
//!
//! // Every sample is in exactly one leaf of the epoch.
//! let order = plan.order(Epoch(0));
//! let leaves_of = |step| (0..plan.leaves(step)).map(move |leaf| plan.leaf_range(step, Leaf(leaf)));
//! let places = (0..3).map(Step).flat_map(leaves_of).flatten();
//! let mut seen: Vec<u32> = places.map(|place| order[place as usize]).collect();
//! seen.sort_unstable();
//! assert_eq!(seen, (0..9).collect::<Vec<_>>());
//! ```

pub mod cifar;
pub mod classes;
pub mod digits;
pub mod idx;
pub mod normalize;
pub mod sampler;
pub mod samples;
pub mod spec;
pub mod split;
