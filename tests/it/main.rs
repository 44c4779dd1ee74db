//! One binary for all tests that span crates: it links once. A file per promise.

mod checkpoint_required;
mod cli;
mod coordinator_fails;
mod cores;
mod deaf_workers;
mod digits;
mod disks_fail;
mod floods;
mod hostile_bytes;
mod liars;
mod links_fail;
mod names;
mod neighbours;
mod odd_files;
mod other_arithmetic;
mod processes;
mod repeats;
mod room;
mod same_bits;
mod short_way;
mod simulation;
mod spares;
mod strangers;
mod trace;
mod wall_clock;
mod workers_fail;
