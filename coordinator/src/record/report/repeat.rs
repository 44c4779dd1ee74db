//! The command that repeats a run, and the digest that it must give.

use super::super::html;
use super::super::{Recorded, State};
use crate::store::directory;
use common::checkpoint::MODEL_FILE;
use std::fmt::Write as _;

/// Word in the place of the new run's folder.
const OTHER: &str = "OTHER";

/// The command, the digest, and what they need.
pub(super) fn markup(run: &Recorded) -> String {
    let mut markup = match command(run) {
        Some(command) => {
            html::paragraph(
                "This gives the same bytes, with any number of workers, on any x86-64 CPU with FMA, by the same program and from \
                 the same data:",
            ) + &format!("<pre><code>{}</code></pre>\n", html::text(&command))
        }
        None => html::paragraph(
            "The folder has no config.toml, as --run-dir writes it, so no one command repeats the run: give the settings \
             below as flags.",
        ),
    };
    if run.history.faults.wrong_bits() > 0 {
        markup += &html::paragraph(
            "But this run let workers in that compute other bits, or kept what one had computed wrongly: a run without them \
             gives other bytes.",
        );
    }
    let Some(saved) = &run.checkpoint else {
        return markup + &html::paragraph("There is no checkpoint in the folder to compare with.");
    };
    let after = match run.state() {
        State::Complete => format!("Its {MODEL_FILE}, after {} steps, must have this SHA-256:", saved.step),
        _ => format!("Its {MODEL_FILE} in {} must have this SHA-256:", directory(saved.step)),
    };
    markup += &html::paragraph(&after);
    // Writing to a string can't fail.
    let _ = writeln!(markup, "<pre><code>{}</code></pre>", html::text(&saved.model_sha256));
    markup
}

/// The command that repeats the run, if the folder has its settings.
fn command(run: &Recorded) -> Option<String> {
    let config = run.config_file.as_ref()?;
    let workers = run.history.most_workers.max(1);
    Some(format!(
        "coordinator --config {} --run-dir {OTHER} --workers {workers} --local",
        quoted(&config.display().to_string())
    ))
}

/// A word for a shell.
#[must_use]
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}
