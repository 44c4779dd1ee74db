//! One binary for all tests that span crates: it links once. A file per promise.

mod checkpoint_required;
mod cli;
mod coordinator_fails;
mod cores;
mod digits;
mod disks_fail;
mod hostile_bytes;
mod links_fail;
mod processes;
mod repeats;
mod same_bits;
mod short_way;
mod simulation;
mod strangers;
mod trace;
mod workers_fail;
