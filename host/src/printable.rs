//! Escaping of text from files and peers, so that no control character reaches a terminal or a log.
//!
//! A name, a path or a message may hold sequences that colour, move or erase what a terminal shows, or that
//! forge a log line. Text is escaped where it is written, in JSON's form (`\u001b`), so that a JSON line
//! stays one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use tracing_subscriber::fmt::MakeWriter;

/// `text` as one line, with every control character escaped.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control())
}

/// `text` as several lines, with every control character but the line feed escaped.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control() && c != '\n')
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A log writer that escapes each event and keeps only its last line feed.
#[derive(Debug)]
pub(crate) struct Printable<W>(pub(crate) W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for Printable<W> {
    type Writer = Printable<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Printable(self.0.make_writer())
    }
}

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let text = String::from_utf8_lossy(bytes);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        match printable(line) {
            // Unchanged text is written in one call: others may write to the same terminal.
            Cow::Borrowed(_) => self.0.write_all(text.as_bytes()),
            Cow::Owned(line) => self.0.write_all(format!("{line}{end}").as_bytes()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_everything_else_is_left_alone() {
        let plain = "step-7 \u{e9} \u{6f22} \\ \"";
        assert!(matches!(printable(plain), Cow::Borrowed(text) if text == plain));
        assert_eq!(printable("a\x1b[31m\x07\u{9b}\r\nb"), "a\\u001b[31m\\u0007\\u009b\\u000d\\u000ab");
        assert_eq!(printable_lines("a\x1b\n  b"), "a\\u001b\n  b");
    }

    #[test]
    fn an_event_stays_one_line() {
        let mut out = Printable(Vec::new());
        out.write_all(b"WARN x=\x1b[2J\nINFO forged\n").unwrap();
        out.write_all(b"plain\n").unwrap();
        assert_eq!(out.0, b"WARN x=\\u001b[2J\\u000aINFO forged\nplain\n");
    }
}
