//! Local workers that use all cores are pinned to separate cores; others may run anywhere.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use tests::golden::{Bench, assert_golden};
use tests::process::with_argument;
use tests::told::any_joined;

/// The cores that a process may use, in the system's format: `0-3,8`.
fn cores(process: &str) -> String {
    let status = read_to_string(format!("/proc/{process}/status")).expect("it is running");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.expect("Linux says so").trim().to_owned()
}

fn count(list: &str) -> usize {
    let number = |text: &str| text.parse::<usize>().expect("a core");
    list.split(',').map(|range| range.split_once('-').map_or(1, |(a, b)| number(b) - number(a) + 1)).sum()
}

/// The cores that each of `workers` local workers may use. The run must end well.
fn of_local_workers(workers: usize, threads: usize) -> Vec<String> {
    let bench = Bench::new();
    let workers = workers.to_string();
    let threads = threads.to_string();
    let (mut run, _) = bench.coordinator(&["--workers", &workers, "--local", "--threads", &threads]);
    run.wait_for_event("lets one in", any_joined);
    let processes = with_argument(&format!("unix:@lockstep-{}-", run.id()));
    let cores = processes.iter().map(|id| cores(&id.to_string())).collect();
    assert_golden(&run.wait());
    cores
}

#[test]
fn local_workers_that_use_all_cores_keep_to_their_own() {
    let all = cores("self");
    let workers = if count(&all).is_multiple_of(2) { 2 } else { count(&all) };
    let of_each = of_local_workers(workers, count(&all) / workers);
    assert_eq!(of_each.iter().collect::<BTreeSet<_>>().len(), workers, "{of_each:?}");
    assert_eq!(of_each.iter().map(|list| count(list)).sum::<usize>(), count(&all), "{of_each:?}");
}

#[test]
fn local_workers_that_do_not_use_exactly_all_cores_may_run_on_any() {
    let all = cores("self");
    assert_eq!(of_local_workers(2, count(&all)), [all.clone(), all]);
}
