//! A search over settings, as far as it is numbers: which values a trial draws, and which trials go on.
//!
//! Both are functions of their arguments alone. [`range`] draws a value from an address, and [`halving`]
//! decides in the order of the trials' numbers, whoever was fast. What a setting is, where a trial trains and
//! where results are kept is not known here.

pub mod halving;
pub mod range;
