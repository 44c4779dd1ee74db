//! What a reader of the page is sent: all at once, and then what is new.

use super::curve::Columns;
use super::mistakes::Mistakes;
use super::pieces::Bar;
use super::workers::Row;
use super::{Evaluated, Mark, Message, State, Tested, View};
use common::event::RunRecord;
use serde::Serialize;

/// All that is shown.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Snapshot {
    pub run: Option<RunRecord>,
    pub test: Option<Tested>,
    pub mistakes: Option<Mistakes>,
    /// All that updates add to.
    #[serde(flatten)]
    pub shown: Update,
}

/// What is new since the last update.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Update {
    pub status: Status,
    pub curve: Columns,
    pub evaluations: Vec<Evaluated>,
    pub marks: Vec<Mark>,
    pub messages: Vec<Message>,
    pub bars: Vec<Bar>,
}

/// What changes all the time.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "field names say all")]
pub struct Status {
    /// When this was written, in seconds since 1970.
    pub now: f64,
    pub state: State,
    pub steps_done: u64,
    /// Seconds until the last step at the present speed.
    pub eta_s: Option<f64>,
    pub connect: Vec<String>,
    pub workers: Vec<Row>,
}

impl View {
    /// All that there is to see at `now`. In the lists, what the next update has is left out; in the curve it
    /// can be told by its steps.
    #[must_use]
    pub fn snapshot(&self, now: f64) -> Snapshot {
        let fresh = &self.fresh;
        let shown = Update {
            status: self.status(now),
            curve: self.curve.columns(),
            evaluations: but_newest(&self.evaluations, fresh.evaluations),
            marks: but_newest(&self.marks, fresh.marks),
            messages: but_newest(&self.messages, fresh.messages),
            bars: self.pieces.but_fresh(),
        };
        Snapshot { run: self.run.clone(), test: self.test.clone(), mistakes: self.mistakes.clone(), shown }
    }

    /// What is new since the last call; `None` if that would not do, and a reader needs all.
    #[must_use]
    pub fn take_update(&mut self, now: f64) -> Option<Update> {
        let fresh = std::mem::take(&mut self.fresh);
        let bars = self.pieces.take_fresh();
        let status = self.status(now);
        (!fresh.is_other).then(|| Update {
            status,
            curve: Columns::of(&fresh.points),
            evaluations: newest(&self.evaluations, fresh.evaluations),
            marks: newest(&self.marks, fresh.marks),
            messages: newest(&self.messages, fresh.messages),
            bars,
        })
    }

    fn status(&self, now: f64) -> Status {
        Status {
            now,
            state: self.state.clone(),
            steps_done: self.steps_done,
            eta_s: self.eta_s(),
            connect: self.connect.clone(),
            workers: self.workers.rows().to_vec(),
        }
    }
}

fn but_newest<T: Clone>(list: &std::collections::VecDeque<T>, count: usize) -> Vec<T> {
    list.iter().take(list.len().saturating_sub(count)).cloned().collect()
}

fn newest<T: Clone>(list: &std::collections::VecDeque<T>, count: usize) -> Vec<T> {
    list.iter().skip(list.len().saturating_sub(count)).cloned().collect()
}
