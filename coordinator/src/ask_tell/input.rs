//! The lines of a program outside, read by a thread of their own: a read can't be interrupted. What is no
//! line of the protocol is not decided here, but for its length and its encoding.

use super::line::LINE_BYTES_MAX;
use std::io::{self, BufRead, BufReader, Read};
use tokio::sync::mpsc;
use tracing::warn;

/// Lines that are read ahead. Who writes more waits.
const AHEAD: usize = 16;

/// A line with its number, or why it is none. The first line has number 1.
pub(super) type Numbered = (u64, Result<String, String>);

/// Starts the thread. The receiver ends with the input.
///
/// # Errors
/// When the thread can't be started.
pub(super) fn start(input: impl Read + Send + 'static) -> io::Result<mpsc::Receiver<Numbered>> {
    let (sender, lines) = mpsc::channel(AHEAD);
    let read = move || {
        let mut input = BufReader::new(input);
        for number in 1.. {
            let line = match next(&mut input) {
                Ok(Some(line)) => line,
                Ok(None) => return,
                Err(error) => {
                    warn!(%error, "standard input can't be read any more; taken for its end");
                    return;
                }
            };
            // A search that is over takes no more.
            if line.as_ref() != Ok(&String::new()) && sender.blocking_send((number, line)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("ask".into()).spawn(read)?;
    Ok(lines)
}

/// The next line without its end, or why it is none; `None` at the end of the input.
fn next(input: &mut impl BufRead) -> io::Result<Option<Result<String, String>>> {
    let mut line = Vec::new();
    if input.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    let has_ended = line.last() == Some(&b'\n');
    if !has_ended && line.len() > LINE_BYTES_MAX {
        input.skip_until(b'\n')?;
        return Ok(Some(Err(format!("it is longer than {LINE_BYTES_MAX} bytes; a line has one trial"))));
    }
    let line = line.trim_ascii().to_vec();
    Ok(Some(String::from_utf8(line).map_err(|_| "it is no text in UTF-8".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_their_numbers_and_what_is_none_says_why() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        let mut input = b"one\r\n\n \ntwo\n\xff\n".to_vec();
        for line in [longest.clone(), format!("{longest}y"), "last".to_owned()] {
            input.extend(line.bytes());
            input.push(b'\n');
        }
        input.extend(b"torn");
        let mut lines = start(io::Cursor::new(input)).unwrap();
        let mut next = || lines.blocking_recv();
        let line = |number, text: &str| Some((number, Ok(text.to_owned())));
        assert_eq!(next(), line(1, "one"));
        assert_eq!(next(), line(4, "two"));
        let problem = |got: Option<Numbered>| got.and_then(|(number, line)| Some((number, line.err()?)));
        assert_eq!(problem(next()), Some((5, "it is no text in UTF-8".to_owned())));
        assert_eq!(next(), line(6, &longest));
        assert!(problem(next()).unwrap().1.contains("longer than 65536 bytes"));
        assert_eq!(next(), line(8, "last"));
        assert_eq!(next(), line(9, "torn"));
        assert_eq!(next(), None);
    }
}
