//! One binary for all tests that span crates: it links once. A file per promise.

mod byzantine_workers;
mod checkpoint_required;
mod cli;
mod coordinator_fails;
mod cores;
mod deaf_workers;
mod digits;
mod disks_fail;
mod floods;
mod gradient_budget;
mod hostile_bytes;
mod links_fail;
mod names;
mod odd_files;
mod other_arithmetic;
mod other_users;
mod processes;
mod repeats;
mod same_bits;
mod shared_memory;
mod simulation;
mod spares;
mod trace;
mod unidentified_connections;
mod wall_clock;
mod workers_fail;
