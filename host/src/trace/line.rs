//! Lines of a trace: events of the Trace Event Format, in its array form.

use std::fmt::Write;

/// First line of a file. The closing bracket may be missing.
pub(super) const BEGIN: &str = "[\n";
/// Beginning of every file: its first line, and the event that names the first process.
pub(super) const FILE_BEGIN: &str = "[\n{\"name\":\"process_name\",";

/// A span from `begin_us` to `end_us`, in whole microseconds. Both times are truncated before they are
/// subtracted, so that nested spans stay nested.
pub(super) fn complete(process: u32, row: u32, name: &str, begin_us: u64, end_us: u64) -> String {
    let name = quoted(name);
    let dur = end_us.saturating_sub(begin_us);
    format!(
        "{{\"name\":{name},\"ph\":\"X\",\"ts\":{begin_us},\"dur\":{dur},\"pid\":{process},\"tid\":{row}}},\n"
    )
}

/// The event that names a process.
pub(super) fn process_name(process: u32, name: &str) -> String {
    metadata("process_name", process, 0, name)
}

/// The event that names a row.
pub(super) fn thread_name(process: u32, row: u32, name: &str) -> String {
    metadata("thread_name", process, row, name)
}

fn metadata(kind: &str, process: u32, row: u32, name: &str) -> String {
    let name = quoted(name);
    format!(
        "{{\"name\":\"{kind}\",\"ph\":\"M\",\"pid\":{process},\"tid\":{row},\"args\":{{\"name\":{name}}}}},\n"
    )
}

/// `text` as a JSON string (RFC 8259, section 7).
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c < ' ' => {
                // Writing to a string cannot fail.
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
