//! A line for each run: what was trained, how far it came, and how good it is.

use super::columns::{self, Set};
use coordinator::record::Recorded;
use coordinator::record::units::duration;
use host::printable;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// Width of the table.
const COLUMNS: usize = 100;
/// Digits of a digest that are shown.
const DIGITS: usize = 8;

/// A run in the list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Row {
    /// Path from the folder that is listed; the folder's own name where it is the run's.
    pub name: String,
    pub model: String,
    pub dataset: String,
    pub optimizer: String,
    pub learning_rate: String,
    pub steps_done: u64,
    pub steps_total: u64,
    /// Best validation accuracy, in `[0, 1]`.
    pub validation: Option<f64>,
    /// Test accuracy of the trained weights, in `[0, 1]`.
    pub test: Option<f64>,
    /// Training time in seconds.
    pub seconds: f64,
    /// Most workers at a time.
    pub workers: u32,
    pub faults: u64,
    pub state: &'static str,
    /// SHA-256 of the newest checkpoint's model; empty without one.
    pub model_sha256: String,
}

impl Row {
    /// The line of a run that was found in `root`.
    #[must_use]
    pub fn of(run: &Recorded, root: &Path) -> Self {
        let path = run.folder.strip_prefix(root).unwrap_or(&run.folder);
        let name = path.to_string_lossy();
        Self {
            name: if name.is_empty() { run.name.clone() } else { name.into_owned() },
            model: run.model(),
            dataset: run.setting("dataset").to_owned(),
            optimizer: run.optimizer().to_owned(),
            learning_rate: run.setting("lr").to_owned(),
            steps_done: run.steps_done(),
            steps_total: run.run.steps_total,
            validation: run.results.best.map(|best| best.accuracy),
            test: run.results.test_of_last().map(|test| test.accuracy),
            seconds: run.results.seconds,
            workers: run.history.most_workers,
            faults: run.history.faults.total(),
            state: run.state().name(),
            model_sha256: run.model_sha256().to_owned(),
        }
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.2}", 100.0 * share))
}

/// The runs as a table for a person.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let heads = [
        "run",
        "model",
        "data",
        "optimizer",
        "steps",
        "val %",
        "test %",
        "time",
        "w",
        "faults",
        "state",
        "sha256",
    ];
    let sets = [
        Set::CutStart,
        Set::CutEnd,
        Set::CutEnd,
        Set::CutEnd,
        Set::Right,
        Set::Right,
        Set::Right,
        Set::Right,
        Set::Right,
        Set::Right,
        Set::Left,
        Set::Left,
    ];
    let line = |row: &Row| {
        let digest: String = row.model_sha256.chars().take(DIGITS).collect();
        vec![
            printable(&row.name).into_owned(),
            printable(&row.model).into_owned(),
            printable(&row.dataset).into_owned(),
            printable(&format!("{} {}", row.optimizer, row.learning_rate)).into_owned(),
            format!("{}/{}", row.steps_done, row.steps_total),
            percent(row.validation),
            percent(row.test),
            duration(row.seconds).replace(' ', ""),
            row.workers.to_string(),
            row.faults.to_string(),
            row.state.to_owned(),
            if digest.is_empty() { "-".to_owned() } else { digest },
        ]
    };
    let heads = heads.map(str::to_owned).to_vec();
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows.iter().map(line)).collect();
    columns::lines(&sets, &lines, COLUMNS)
}

/// The runs as CSV, a row each.
#[must_use]
pub fn csv(rows: &[Row]) -> String {
    let mut text = "name,model,dataset,optimizer,learning_rate,steps_done,steps_total,validation,test,seconds,workers,faults,\
                    state,model_sha256\n"
        .to_owned();
    let share = |share: Option<f64>| share.map_or(String::new(), |share| share.to_string());
    for row in rows {
        let [name, model, dataset, optimizer, rate] =
            [&row.name, &row.model, &row.dataset, &row.optimizer, &row.learning_rate]
                .map(|words| field(words));
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "{name},{model},{dataset},{optimizer},{rate},{},{},{},{},{:.3},{},{},{},{}",
            row.steps_done,
            row.steps_total,
            share(row.validation),
            share(row.test),
            row.seconds,
            row.workers,
            row.faults,
            row.state,
            row.model_sha256,
        );
    }
    text
}

/// A text as a field of CSV: quoted where it must be, and none that a spreadsheet computes.
fn field(text: &str) -> String {
    let text = printable(text);
    let is_formula = text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err();
    let text = if is_formula { format!("'{text}") } else { text.into_owned() };
    if text.contains([',', '"', '\'']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// The runs as JSON, a line each.
///
/// # Errors
/// When a value has no form in JSON, which none of ours lacks.
pub fn json(rows: &[Row]) -> Result<String, serde_json::Error> {
    let lines = rows.iter().map(|row| serde_json::to_string(row).map(|line| line + "\n"));
    lines.collect()
}
