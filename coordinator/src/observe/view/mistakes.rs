//! The test samples that the model gets most wrong, as the page shows them.

use crate::dataset::png_data_url;
use common::event::{Mistake, MistakesRecord};
use serde::Serialize;

/// What the model gets wrong of the test samples.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mistakes {
    /// How many there are.
    pub count: u64,
    /// The worst of them, the worst first.
    pub worst: Vec<Shown>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// Place, class, answer and probability.
    #[serde(flatten)]
    pub mistake: Mistake,
    /// The picture as a `data:` URL; empty where it is not known any more.
    pub picture: String,
}

impl Mistakes {
    pub(super) fn of(record: &MistakesRecord) -> Self {
        let picture = |png: &[u8]| if png.is_empty() { String::new() } else { png_data_url(png) };
        let shown = |mistake: &Mistake| Shown { picture: picture(&mistake.png), mistake: mistake.clone() };
        Self { count: record.count, worst: record.worst.iter().map(shown).collect() }
    }
}
