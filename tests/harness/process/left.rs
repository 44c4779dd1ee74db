//! What processes leave: checkpoints in folders, and other processes.

use std::path::Path;

/// Steps of the checkpoints in a folder, ascending.
#[must_use]
pub fn checkpoints(folder: &Path) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let step = |name: &str| name.strip_prefix("step-")?.parse().ok();
    let mut steps: Vec<u64> = entries.filter_map(|entry| step(entry.file_name().to_str()?)).collect();
    steps.sort_unstable();
    steps
}

/// Ids of the processes that have an argument with this prefix on their command line.
#[must_use]
pub fn with_argument(beginning: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let id = |name: &str| name.parse::<u32>().ok();
    let has = |&id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).any(|word| word.starts_with(beginning.as_bytes()))
    };
    processes.filter_map(|entry| id(entry.file_name().to_str()?)).filter(has).collect()
}
