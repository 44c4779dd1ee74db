//! Lines of a file that may be hostile: bounded, numbered, and the last one may be torn.

use std::io::{self, BufRead, Read};

/// Longest line that is read: a validation of a thousand classes, many times over.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A whole line, without its end.
    Whole(&'a [u8]),
    /// The last line, which has no end: a crash came while it was written, or it is being written.
    Torn,
    /// A line that is longer than any of ours.
    TooLong,
}

/// Hands each line to `take`, with its number from 1.
pub(crate) fn each(mut from: impl BufRead, mut take: impl FnMut(u64, Line<'_>)) -> io::Result<()> {
    let mut line = Vec::new();
    let mut number = 0;
    while from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? > 0 {
        number += 1;
        if let Some(whole) = line.strip_suffix(b"\n") {
            take(number, Line::Whole(whole));
        } else if line.len() as u64 == LINE_BYTES_MAX {
            from.skip_until(b'\n')?;
            take(number, Line::TooLong);
        } else {
            take(number, Line::Torn);
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<String> {
        let mut all = Vec::new();
        each(text, |number, line| {
            let line = match line {
                Line::Whole(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                other => format!("{other:?}"),
            };
            all.push(format!("{number} {line}"));
        })
        .unwrap();
        all
    }

    #[test]
    fn lines_have_numbers_and_the_last_may_be_torn() {
        assert_eq!(lines(b"a\n\nb"), ["1 a", "2 ", "3 Torn"]);
        assert_eq!(lines(b""), Vec::<String>::new());
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory_without_an_end() {
        let mut text = vec![b'x'; (LINE_BYTES_MAX * 2) as usize];
        text.extend(b"\nafter\n");
        assert_eq!(lines(&text), ["1 TooLong", "2 after"]);
    }
}
