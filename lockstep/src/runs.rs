//! `lockstep runs`, `lockstep compare` and `lockstep report`: what the folders of runs say.
//!
//! The folders are read, and a run is drawn, by `coordinator::record`. Here runs are listed ([`list`]) and
//! set beside each other ([`compare`], [`page`]), a folder of many is shown ([`several`]), and the mistakes
//! of a run's model are found ([`mistakes`]). [`columns`] aligns text.

pub mod columns;
pub mod compare;
pub mod list;
pub mod mistakes;
pub mod page;
pub mod several;

#[cfg(test)]
mod tests;
