use super::*;
use crate::observe::console::ProgressMode;
use crate::observe::step_record;
use host::logging::LogFormat;
use indicatif::{ProgressDrawTarget, TermLike};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that arrive at a terminal, from the bar and from the lines.
#[derive(Clone, Debug, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Tape {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Rows that a terminal would show. Clearing a row is recorded as `\r`.
    fn rows(&self) -> Vec<String> {
        let text = self.text();
        text.split('\n').map(|row| row.rsplit('\r').next().unwrap().trim_end().to_owned()).collect()
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TermLike for Tape {
    fn width(&self) -> u16 {
        100
    }

    // One bar of one row: the cursor never has far to go.
    fn move_cursor_up(&self, rows: usize) -> io::Result<()> {
        assert_eq!(rows, 0);
        Ok(())
    }

    fn move_cursor_down(&self, rows: usize) -> io::Result<()> {
        assert_eq!(rows, 0);
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.clone().write_all(format!("{text}\n").as_bytes())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.clone().write_all(text.as_bytes())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.clone().write_all(b"\r")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Timeout for the console's thread to write.
const PATIENCE: Duration = Duration::from_secs(60);

fn with_bar() -> (Tape, Console) {
    let tape = Tape::default();
    // As often as possible, so that no draw is skipped.
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(tape.clone()), 255);
    (tape.clone(), Console::on(ProgressMode::Auto, LogFormat::Text, target, Box::new(tape)).unwrap())
}

fn without_bar(mode: ProgressMode) -> (Tape, Console) {
    let tape = Tape::default();
    (tape.clone(), Console::on(mode, LogFormat::Text, ProgressDrawTarget::hidden(), Box::new(tape)).unwrap())
}

#[test]
fn log_lines_and_messages_stand_above_the_bar_untorn() {
    let (tape, console) = with_bar();
    let mut progress = Progress::new(100, 40, &console);
    progress.step(&step_record(40, 2));
    console.make_writer().write_all(b"INFO worker joined\n").unwrap();
    console.line("saved a checkpoint");
    console.flush(PATIENCE);
    progress.step(&step_record(41, 2));
    progress.finish();
    let rows = tape.rows();
    assert_eq!(rows[..2], ["INFO worker joined", "saved a checkpoint"], "{:?}", tape.text());
    assert!(
        rows[2].contains("42/100 epoch 2 loss 0.2500 acc 87.5% 1234 samples/s 2 workers ETA"),
        "{rows:?}"
    );
    assert!(rows.len() <= 4 && rows[3..].iter().all(String::is_empty), "{rows:?}");
}

#[test]
fn a_bar_shows_workers_before_the_first_step_and_between_steps() {
    let (tape, console) = with_bar();
    let mut progress = Progress::new(100, 0, &console);
    progress.workers(1);
    console.line("");
    console.flush(PATIENCE);
    assert!(tape.text().contains("0/100 1 worker ETA"), "{:?}", tape.text());
    progress.step(&step_record(0, 0));
    progress.workers(3);
    progress.finish();
    assert!(tape.rows().iter().any(|row| row.contains("3 workers")), "{:?}", tape.text());
}

#[test]
fn lines_come_first_then_every_few_seconds_and_at_an_epochs_end() {
    let (tape, console) = without_bar(ProgressMode::Plain);
    let mut progress = Progress::new(20, 0, &console);
    let start = Instant::now();
    // A step a second, ten an epoch.
    for step in 0..20 {
        progress.step_at(&step_record(step, step / 10), start + Duration::from_secs(step));
    }
    progress.finish();
    console.flush(PATIENCE);
    let done = |row: &str| row.split('/').next().unwrap().parse::<u64>().unwrap();
    let told: Vec<u64> = tape.text().lines().map(done).collect();
    assert_eq!(told, [1, 6, 10, 11, 16, 20]);
    let first = "1/20 steps epoch 0 loss 0.2500 acc 87.5% 1234 samples/s 2 workers";
    assert_eq!(tape.text().lines().next(), Some(first));
}

#[test]
fn no_step_is_told_twice() {
    let (tape, console) = without_bar(ProgressMode::Auto);
    let mut progress = Progress::new(4, 0, &console);
    let start = Instant::now();
    for (step, second) in [(0, 0), (1, 5), (2, 6), (3, 11)] {
        progress.step_at(&step_record(step, step / 2), start + Duration::from_secs(second));
    }
    progress.finish();
    console.flush(PATIENCE);
    let told: Vec<String> = tape.text().lines().map(|row| row[..1].to_owned()).collect();
    assert_eq!(told, ["1", "2", "4"]);
}

#[test]
fn progress_that_is_off_still_prints_messages() {
    let (tape, console) = without_bar(ProgressMode::Off);
    let mut progress = Progress::new(1, 0, &console);
    progress.step(&step_record(0, 0));
    console.line("done");
    progress.finish();
    console.flush(PATIENCE);
    assert_eq!(tape.text(), "done\n");
}
