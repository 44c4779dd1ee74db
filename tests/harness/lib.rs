//! The harnesses of the tests that need more than one crate.
//!
//! There are three layers, each closer to real use and slower than the one before:
//!
//! 1. [`sim`] runs the two protocol machines against each other on a virtual clock, with faults drawn from a
//!    seed.
//! 2. [`cluster`] runs a coordinator and workers in this process, over gRPC on loopback.
//! 3. [`process`] starts the programs. [`proxy`] is a faulty network between them, and [`threads`] stops some
//!    of a program's threads. [`golden`] is the run that is disturbed, [`attacked_run`] one that other
//!    connections disturb.
//!
//! Workers for tests: [`scripted`] computes correctly and sends wrong messages, [`manual`] sends single
//! messages, and [`instant`] computes nothing, to measure everything else. [`flood`] has connections that
//! only do harm. [`hostile`] has the entry points for bytes from outside. [`small_data`] is the data set
//! where the data does not matter, [`small_pictures`] a folder of pictures, and [`tables`] writes samples in
//! other formats. [`preload`] replaces calls of the system, [`folder`] sees what a program has changed.
//! [`told`] reads what coordinators tell, [`documents`] what the project's documents say. The tests are in
//! `it/`, one file per promise; `README.md` says which fault is covered by which test.

#![forbid(unsafe_code)]

pub mod attacked_run;
pub mod cluster;
pub mod documents;
pub mod driven;
pub mod flood;
pub mod folder;
pub mod golden;
pub mod hostile;
pub mod http;
pub mod https;
pub mod instant;
pub mod manual;
pub mod other_user;
pub mod preload;
pub mod process;
pub mod proxy;
pub mod scripted;
pub mod sim;
pub mod small_data;
pub mod small_pictures;
pub mod tables;
pub mod threads;
pub mod told;
pub mod trusted;
