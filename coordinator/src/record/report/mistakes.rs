//! Pictures of the worst mistakes, which the caller has computed, or why there are none.

use super::super::html;
use super::super::units::percent;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// Most pictures of a page.
const PICTURES_MAX: usize = 24;

/// A picture that the model got wrong.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Mistake {
    /// The picture, as PNG.
    pub png: Vec<u8>,
    /// Its place in the test samples.
    pub index: usize,
    pub class: String,
    pub answer: String,
    /// Probability that the model gave its answer.
    pub probability: f64,
}

/// The worst mistakes of a model.
#[derive(Clone, Debug)]
pub enum Mistakes {
    /// The worst ones, the worst first, and how many there are in all.
    Shown(Vec<Mistake>, usize),
    /// There are none, for a reason that is told in a sentence.
    Absent(String),
}

impl Mistakes {
    pub(super) fn markup(&self) -> String {
        let (worst, all) = match self {
            Self::Shown(worst, all) => (worst, *all),
            Self::Absent(reason) => return html::paragraph(reason),
        };
        if worst.is_empty() {
            return html::paragraph("The model gets every test sample right.");
        }
        let shown = worst.len().min(PICTURES_MAX);
        let intro = format!(
            "{shown} of {all} test samples that the model gets wrong, those first to whose class it gave the least probability."
        );
        let mut markup = html::paragraph(&intro) + "<div class=\"mistakes\">\n";
        for mistake in worst.iter().take(PICTURES_MAX) {
            let Mistake { png, index, class, answer, probability } = mistake;
            let words = format!("{class}, taken for {answer} at {}", percent(*probability));
            let words = html::text(&words);
            // Writing to a string can't fail.
            let _ = writeln!(
                markup,
                "<figure><img src=\"data:image/png;base64,{}\" alt=\"test sample {index}: {words}\">\
                 <figcaption>{words}<br><span class=\"soft\">sample {index}</span></figcaption></figure>",
                STANDARD.encode(png)
            );
        }
        markup + "</div>\n"
    }
}
