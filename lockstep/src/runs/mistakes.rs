//! The worst mistakes of a run's model, where its data set is at hand.

use crate::cli::Data;
use crate::evaluate::mistakes::{picture, worst_first};
use crate::evaluate::{judged, logits};
use crate::model;
use coordinator::observe::console::Console;
use coordinator::record::Recorded;
use coordinator::record::report::{Mistake, Mistakes};
use image::ImageFormat;
use std::io::Cursor;
use std::num::NonZeroUsize;

/// Most pictures that are made.
const PICTURES_MAX: usize = 24;

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
    let all = worst_first(&judged);
    let shown = all.iter().take(PICTURES_MAX).map(|&index| {
        let answer = judged[index].answer;
        let mut png = Vec::new();
        picture(&data.test, index).write_to(&mut Cursor::new(&mut png), ImageFormat::Png)?;
        let [class, answered] =
            [judged[index].label, answer.class].map(|class| model.classes.get(class.into()));
        Ok(Mistake {
            png,
            index,
            class: class.to_owned(),
            answer: answered.to_owned(),
            probability: answer.probability,
        })
    });
    Ok(Mistakes::Shown(shown.collect::<anyhow::Result<_>>()?, all.len()))
}
