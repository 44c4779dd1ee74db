//! Lines of `metrics.jsonl` as numbers for MLflow, and the reading of a file that grows.

use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Longest line that can be a record, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Fields of a step that are sent.
const OF_STEP: [&str; 6] = ["loss", "accuracy", "learning_rate", "grad_norm", "samples_per_s", "workers"];
/// Fields of an evaluation that are sent.
const OF_EVALUATION: [&str; 5] = ["loss", "accuracy", "macro_precision", "macro_recall", "macro_f1"];
/// Fields of labels that were guessed.
const OF_LABELS: [&str; 2] = ["labelled", "right"];

/// A number of a step under its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) key: String,
    /// The number; `NaN` for one that is not finite.
    pub(super) value: Value,
    pub(super) step: u64,
}

/// The numbers of a line; none for another kind of line, or one that is no record.
pub(super) fn metrics(line: &[u8]) -> Vec<Metric> {
    let Ok(record) = serde_json::from_slice::<Value>(line) else { return Vec::new() };
    let Some(step) = record["step"].as_u64() else { return Vec::new() };
    let (prefix, fields) = match record["kind"].as_str() {
        Some("step") => ("train".to_owned(), &OF_STEP[..]),
        Some(kind @ ("validation" | "test")) => {
            let weights = record["weights"].as_str().map_or(String::new(), |weights| format!("/{weights}"));
            let views = if record["views"] == true { "/views" } else { "" };
            (format!("{kind}{weights}{views}"), &OF_EVALUATION[..])
        }
        Some("pseudo_labels") => ("pseudo_labels".to_owned(), &OF_LABELS[..]),
        _ => return Vec::new(),
    };
    let number = |field: &&str| match record.get(field)? {
        Value::Number(number) => Some(Value::Number(number.clone())),
        Value::Null => Some("NaN".into()),
        _ => None,
    };
    let named = |field: &&str| Some(Metric { key: format!("{prefix}/{field}"), value: number(field)?, step });
    fields.iter().filter_map(named).collect()
}

/// Whether a line says that the run is over.
pub(super) fn is_end(line: &[u8]) -> bool {
    let kind = serde_json::from_slice::<Value>(line).map(|record| record["kind"].clone());
    kind.is_ok_and(|kind| kind == "run_ended")
}

/// Reads whole lines from a place on, until `enough` says so of what they hold. Returns where it stopped.
///
/// # Errors
/// When the file can't be read.
pub(super) fn read(mut file: &File, from: u64, mut enough: impl FnMut(&[u8]) -> bool) -> io::Result<u64> {
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file);
    let (mut at, mut line) = (from, Vec::new());
    loop {
        line.clear();
        let bytes = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? as u64;
        // A line without an end is not written yet, or will never be a record.
        if !line.ends_with(b"\n") && bytes < LINE_BYTES_MAX {
            return Ok(at);
        }
        at += bytes;
        if enough(&line) {
            return Ok(at);
        }
    }
}
