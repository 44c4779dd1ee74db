//! The tests that need more than one crate, and the harnesses they share.
//!
//! Three layers, each nearer to what a person runs and slower than the one before: [`sim`] runs the two
//! protocol machines against each other on a virtual clock, with faults drawn from a seed; [`cluster`] runs a
//! coordinator and workers in this process, over gRPC on loopback; [`process`] starts the programs, [`proxy`]
//! is a bad network between them, [`threads`] stops some of a program's threads, [`golden`] is the run that
//! is disturbed, and [`visited`] one that others come to. [`scripted`] is a worker that says what it should
//! not, [`manual`] one that sends single messages, [`instant`] one that computes nothing, to measure all the
//! rest. [`hostile`] has the doors for bytes from outside, [`flood`] connections that only do harm. [`told`]
//! reads what coordinators tell. [`small_data`] is what the last two layers train on when the data does not
//! matter. The tests themselves are in `it/`, one file per promise; `README.md` says which fault is met by
//! which test.

pub mod cluster;
pub mod flood;
pub mod golden;
pub mod hostile;
pub mod instant;
pub mod manual;
pub mod other_user;
pub mod process;
pub mod proxy;
pub mod scripted;
pub mod sim;
pub mod small_data;
pub mod threads;
pub mod told;
pub mod visited;
