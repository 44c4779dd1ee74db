//! The worst mistakes of a run's model, where its data set is at hand.

use crate::cli::Data;
use crate::evaluate::{Judged, judged, logits};
use crate::model;
use common::ids::Step;
use common::train::pseudo::Guess;
use coordinator::observe::console::Console;
use coordinator::record::Recorded;
use coordinator::record::report::Mistakes;
use coordinator::run::mistakes;
use std::num::NonZeroUsize;

/// The worst mistakes, or why there are none to be shown. Nothing is downloaded.
#[must_use]
pub fn of(run: &Recorded, data: &Data, threads: NonZeroUsize, console: &Console) -> Mistakes {
    find(run, data, threads, console).unwrap_or_else(|why| {
        Mistakes::Absent(format!(
            "They are left out: {why}. lockstep report with --dataset or --data-dir shows them."
        ))
    })
}

fn find(run: &Recorded, data: &Data, threads: NonZeroUsize, console: &Console) -> anyhow::Result<Mistakes> {
    let saved = run.checkpoint.as_ref().ok_or_else(|| anyhow::anyhow!("the folder has no checkpoint"))?;
    let model = model::open(&saved.path, None)?;
    let data = data.read_present(&model, console)?;
    if data.digest != run.setting("dataset_digest") {
        anyhow::bail!("the data set at hand is not the one that the run was trained on");
    }
    let judged = judged(&logits(&model, &data.test, threads)?, &data.test);
    let guesses: Vec<Guess> =
        judged.iter().map(|Judged { answer, .. }| Guess::new(answer.class, answer.probability)).collect();
    let last = Step(saved.step.0.saturating_sub(1));
    Ok(Mistakes::Shown(mistakes::of(last, &guesses, &data.test, &model.classes)))
}
