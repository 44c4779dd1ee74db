//! Pictures of the worst mistakes, which the caller has computed, or why there are none.

use super::super::html;
use super::super::units::percent;
use crate::dataset::png_data_url;
use common::event::{Mistake, MistakesRecord};
use std::fmt::Write as _;

/// The worst mistakes of a model.
#[derive(Clone, Debug)]
pub enum Mistakes {
    /// The worst ones, and how many there are in all.
    Shown(MistakesRecord),
    /// There are none, for a reason that is told in a sentence.
    Absent(String),
}

impl Mistakes {
    pub(super) fn markup(&self) -> String {
        let MistakesRecord { count, worst, .. } = match self {
            Self::Shown(record) => record,
            Self::Absent(reason) => return html::paragraph(reason),
        };
        if worst.is_empty() {
            return html::paragraph("The model gets every test sample right.");
        }
        let shown = worst.len();
        let intro = format!(
            "{shown} of {count} test samples that the model gets wrong, those first of whose answer it is surest."
        );
        let mut markup = html::paragraph(&intro) + "<div class=\"mistakes\">\n";
        for mistake in worst {
            let Mistake { png, index, class, answer, probability } = mistake;
            let words = format!("{class}, taken for {answer} at {}", percent(*probability));
            let words = html::text(&words);
            // Writing to a string can't fail.
            let _ = writeln!(
                markup,
                "<figure><img src=\"{}\" alt=\"test sample {index}: {words}\">\
                 <figcaption>{words}<br><span class=\"soft\">sample {index}</span></figcaption></figure>",
                png_data_url(png)
            );
        }
        markup + "</div>\n"
    }
}
