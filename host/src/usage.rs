//! CPU time and memory of this process, where the system has `/proc`.

/// Ticks of the CPU times in `/proc`, which Linux has at 100 a second on every machine.
const TICKS_PER_S: u64 = 100;
/// Fields of `/proc/self/stat` behind the process's name: those of the CPU time in user and kernel mode.
const CPU_FIELDS: [usize; 2] = [11, 12];

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its threads since its start, in microseconds.
    pub cpu_us: u64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
}

/// What this process uses; zeros where the system does not say.
#[must_use]
pub fn of_this_process() -> Usage {
    let read = |name| std::fs::read_to_string(name).unwrap_or_default();
    Usage {
        cpu_us: cpu_us(&read("/proc/self/stat")).unwrap_or_default(),
        resident_bytes: resident_bytes(&read("/proc/self/status")).unwrap_or_default(),
    }
}

fn cpu_us(stat: &str) -> Option<u64> {
    // The name is in brackets, and may have spaces and brackets itself.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let [user, kernel] = CPU_FIELDS.map(|field| fields.get(field)?.parse::<u64>().ok());
    user?.checked_add(kernel?)?.checked_mul(1_000_000 / TICKS_PER_S)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_misleads_nobody() {
        let stat = "7 (a) 1 2 (b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 8 0 99";
        assert_eq!(cpu_us(stat), Some(3_000_000));
        for other in ["", "7 (a", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4194304 100 0 0 0 x y 0"] {
            assert_eq!(cpu_us(other), None, "{other}");
        }
        assert_eq!(resident_bytes("Name:\ta\nVmRSS:\t    40 kB\nx\n"), Some(40 * 1024));
        assert_eq!(resident_bytes("VmRSS: -1 kB\n"), None);
    }

    #[test]
    fn a_process_that_computes_uses_something() {
        let usage = of_this_process();
        assert!(usage.resident_bytes > 1 << 20, "{usage:?}");
    }
}
