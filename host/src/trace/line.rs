//! The lines of a trace: events of the Trace Event Format, in its array form.

use std::fmt::Write;

/// What a file begins with. The end that belongs to it may be missing.
pub(super) const BEGIN: &str = "[\n";

/// A span from `begin_us` to `end_us`. Both are cut to whole microseconds before they are subtracted: what lies within
/// another span stays within it.
pub(super) fn complete(process: u32, row: u32, name: &str, begin_us: u64, end_us: u64) -> String {
    let (name, dur) = (quoted(name), end_us.saturating_sub(begin_us));
    format!(
        "{{\"name\":{name},\"ph\":\"X\",\"ts\":{begin_us},\"dur\":{dur},\"pid\":{process},\"tid\":{row}}},\n"
    )
}

/// What a process is called.
pub(super) fn process_name(process: u32, name: &str) -> String {
    metadata("process_name", process, 0, name)
}

/// What a row is called.
pub(super) fn thread_name(process: u32, row: u32, name: &str) -> String {
    metadata("thread_name", process, row, name)
}

fn metadata(kind: &str, process: u32, row: u32, name: &str) -> String {
    let name = quoted(name);
    format!(
        "{{\"name\":\"{kind}\",\"ph\":\"M\",\"pid\":{process},\"tid\":{row},\"args\":{{\"name\":{name}}}}},\n"
    )
}

/// As JSON has it (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                // Writing to a string can't fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_hold_anything() {
        assert_eq!(quoted("a \"b\" \\ \n é"), "\"a \\\"b\\\" \\\\ \\u000a é\"");
    }

    #[test]
    fn a_span_within_another_stays_within_it() {
        assert!(complete(1, 2, "add", 10, 10).contains("\"ts\":10,\"dur\":0,"));
        assert!(complete(1, 2, "add", 10, 12).contains("\"ts\":10,\"dur\":2,"));
    }
}
