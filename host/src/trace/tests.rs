use super::*;
use std::path::PathBuf;

/// A file that is removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let name = format!("lockstep-trace-{}-{name}.json", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A test may have made none.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn spans(trace: &Trace, count: usize) {
    let row = trace.row("row");
    for _ in 0..count {
        let now = Instant::now();
        trace.record(row, "add", now, now + Duration::from_micros(7));
    }
}

#[test]
fn processes_that_join_leave_each_others_lines_whole() {
    let scratch = Scratch::new("join");
    drop(Trace::open(&scratch.0, "of an earlier run", Begin::Anew).unwrap());
    let first = Trace::open(&scratch.0, "first", Begin::Anew).unwrap();
    let second = Trace::open(&scratch.0, "second", Begin::Join).unwrap();
    for _ in 0..3 {
        spans(&first, 10);
        spans(&second, 10);
        second.write();
        first.write();
    }
    let text = scratch.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("["));
    assert!(lines.all(|line| line.starts_with('{') && line.ends_with("},")));
    assert_eq!(text.matches("\"ph\":\"X\"").count(), 60);
    assert_eq!(text.matches("\"dur\":7,").count(), 60);
    assert_eq!(text.matches("process_name").count(), 2);
}

#[test]
fn a_file_that_is_no_trace_is_left_alone() {
    let scratch = Scratch::new("notes");
    for text in ["somebody's notes", "[\n{\"name\": \"notes\"}]", "[\n{\"name\":\"process\"}]"] {
        std::fs::write(&scratch.0, text).unwrap();
        for begin in [Begin::Anew, Begin::Join] {
            let refused = Trace::open(&scratch.0, "first", begin).unwrap_err();
            assert!(refused.to_string().contains("is no trace"), "{refused}");
            assert_eq!(scratch.text(), text);
        }
    }
}

#[test]
fn who_joins_a_file_that_is_not_there_begins_it() {
    let scratch = Scratch::new("alone");
    drop(Trace::open(&scratch.0, "worker", Begin::Join).unwrap());
    assert!(scratch.text().starts_with("[\n{"));
}

#[test]
fn a_full_disk_ends_the_trace_and_nothing_else() {
    let trace = Trace::open(Path::new("/dev/full"), "first", Begin::Anew).unwrap();
    assert!(!trace.on.load(Ordering::Relaxed));
    spans(&trace, 10);
    trace.close();
}

#[test]
fn lines_that_no_disk_takes_are_bounded_and_counted() {
    let scratch = Scratch::new("slow");
    let trace = Trace::open(&scratch.0, "first", Begin::Anew).unwrap();
    let line = "x".repeat(1024 * 1024);
    (0..20).for_each(|_| trace.push(&line));
    let pending = lock(&trace.pending);
    assert_eq!((pending.lines.len(), pending.dropped), (PENDING_BYTES_MAX, 4));
}

#[test]
fn without_a_trace_spans_are_nothing() {
    assert!(span("add").0.is_none());
    assert!(Track::new("row").span("send").0.is_none());
    assert_eq!(each("encode", 0..3).collect::<Vec<_>>(), [0, 1, 2]);
}
