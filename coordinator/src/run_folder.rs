//! A run's folder (`--run-dir`): all that a run leaves, and what it takes to repeat it.
//!
//! | name | content |
//! | --- | --- |
//! | `config.toml` | all flags, with what they resolved to as comments |
//! | `metrics.jsonl` | steps and evaluations, each once, whatever happened |
//! | `events.jsonl` | what happened when, over all starts |
//! | `events.out.tfevents.lockstep` | the same for TensorBoard |
//! | `mlflow.json` | which run of an MLflow tracker it is |
//! | `checkpoints/` | the checkpoints |
//! | `report.html`, `README.md` | a page and a model card, written at the end (`record`) |

use anyhow::Context;
use host::printable;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The name of the flags' file.
pub const CONFIG_FILE: &str = "config.toml";
/// The name of the metrics file where no other is given.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// The name of the file of events.
pub const EVENTS_FILE: &str = "events.jsonl";
/// The folder of the checkpoints within a run's folder.
pub const CHECKPOINTS: &str = "checkpoints";

/// Flags that are not part of what is repeated: where a run's own files go.
const OF_THIS_START: [&str; 2] = ["mirror", "run-dir"];
/// The flag of the data set, and its value that means another one on another machine.
const DATASET: [&str; 2] = ["dataset", "auto"];

/// Writes `config.toml`: the flags' values, and as comments the settings that the numbers depend on.
///
/// # Errors
/// When the file system refuses.
pub fn write_config(
    folder: &Path,
    mut flags: toml::Table,
    resolved: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    OF_THIS_START.iter().for_each(|flag| drop(flags.remove(*flag)));
    let [dataset, auto] = DATASET;
    if flags.get(dataset).and_then(toml::Value::as_str) == Some(auto)
        && let Some(name) = resolved.get(dataset)
    {
        flags.insert(dataset.to_owned(), name.clone().into());
    }
    let path = folder.join(CONFIG_FILE);
    let text = config_text(&path, &flags, resolved);
    let failed = || format!("can't write {}", path.display());
    let new = tempfile::Builder::new().permissions(crate::folder::permissions()).tempfile_in(folder);
    let mut new = new.with_context(failed)?;
    new.write_all(text.as_bytes()).with_context(failed)?;
    crate::folder::put(new, &path).with_context(failed)?;
    Ok(())
}

fn config_text(path: &Path, flags: &toml::Table, resolved: &BTreeMap<String, String>) -> String {
    let path = path.display().to_string();
    let mut text = format!(
        "# The flags of this run, given ones and defaults. To repeat it:\n\
         #   coordinator --config {} --run-dir OTHER\n\n{flags}\n\
         # What the numbers depend on, as it was resolved:\n",
        printable(&path)
    );
    for (name, value) in resolved {
        // A string has no end.
        let _ = writeln!(text, "#   {name} = {}", printable(value));
    }
    text
}

/// The folder of the checkpoints within a run's folder.
#[must_use]
pub fn checkpoints(folder: &Path) -> PathBuf {
    folder.join(CHECKPOINTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_flags_and_names_the_data_set_that_auto_stood_for() {
        let folder = tempfile::tempdir().unwrap();
        let flags: toml::Table =
            "dataset = \"auto\"\nepochs = 2\nmirror = \"s3://a/b\"\nrun-dir = \"x\"\nlocal = true"
                .parse()
                .unwrap();
        let resolved =
            [("dataset", "digits"), ("lr", "0.001\n[evil]")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        write_config(folder.path(), flags, &resolved.into()).unwrap();
        let text = std::fs::read_to_string(folder.path().join(CONFIG_FILE)).unwrap();
        let read: toml::Table = text.parse().unwrap();
        let expected: toml::Table = "dataset = \"digits\"\nepochs = 2\nlocal = true".parse().unwrap();
        assert_eq!(read, expected, "{text}");
        assert!(text.contains("#   lr = 0.001\\u000a[evil]"), "{text}");
    }
}
