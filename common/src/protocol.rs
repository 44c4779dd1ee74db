//! The rules of the cluster, as two machines that do no I/O: [`coordinator`] and [`worker`].
//!
//! Each takes `(now, event)` and returns actions. The drivers around them turn sockets, threads and timers
//! into events, and actions into I/O. Tensors stay outside: the machines see rounds, nodes and checksums.
//! Time is an argument, in microseconds from any origin, so a schedule can be replayed from its seed.

pub mod coordinator;
mod queue;
pub mod worker;
