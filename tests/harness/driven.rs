//! A search that the test drives, line by line, as another program would.

use crate::process::{Outcome, Process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longest wait for a line.
const PATIENCE: Duration = Duration::from_secs(300);

/// A coordinator with `--ask-tell`, and both ends of the conversation.
pub struct Driven {
    /// The program.
    pub process: Process,
    input: Option<ChildStdin>,
    answers: Receiver<Value>,
}

impl Driven {
    /// Starts a search with these flags.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(flags: &[&str]) -> Self {
        let (process, input, output) = Self::start_unread(flags);
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self { process, input: Some(input), answers }
    }

    /// Starts a search whose answers are the caller's to read.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_unread(flags: &[&str]) -> (Process, ChildStdin, ChildStdout) {
        Process::start_to_talk("coordinator", &[&["--ask-tell"], flags].concat())
    }

    /// Writes a line.
    ///
    /// # Panics
    /// When it is not taken.
    pub fn tell(&mut self, line: impl AsRef<[u8]>) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(&[line.as_ref(), b"\n"].concat()).expect("the line is taken");
    }

    /// The next answer.
    ///
    /// # Panics
    /// When none comes.
    #[must_use]
    pub fn answer(&self) -> Value {
        let answer = self.answers.recv_timeout(PATIENCE);
        answer.unwrap_or_else(|error| panic!("no answer ({error}):\n{}", self.process.errors()))
    }

    /// Answers up to the first that is one of those.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn answers_until(&self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut answers = vec![self.answer()];
        while !answers.last().is_some_and(&is_last) {
            answers.push(self.answer());
        }
        answers
    }

    /// Ends the input. Returns the answers that are left, and how the program ended.
    ///
    /// # Panics
    /// When it does not end.
    #[must_use]
    pub fn end(mut self) -> (Vec<Value>, Outcome) {
        drop(self.input.take());
        let outcome = self.process.wait();
        (self.answers.iter().collect(), outcome)
    }
}
