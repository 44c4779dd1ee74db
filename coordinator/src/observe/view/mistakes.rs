//! The test samples that the model gets most wrong, as the page shows them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
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
    /// The picture as a `data:` address; empty where it is not known any more.
    pub picture: String,
}

impl Mistakes {
    pub(super) fn of(record: &MistakesRecord) -> Self {
        let shown = |mistake: &Mistake| Shown { picture: address(&mistake.png), mistake: mistake.clone() };
        Self { count: record.count, worst: record.worst.iter().map(shown).collect() }
    }
}

fn address(png: &[u8]) -> String {
    if png.is_empty() { String::new() } else { format!("data:image/png;base64,{}", STANDARD.encode(png)) }
}
