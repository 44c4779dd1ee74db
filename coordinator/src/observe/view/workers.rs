//! The workers of a run: when each was there, why it went, and what it does and uses.
//!
//! A row is a name: a worker that comes back goes on in its row, unless another one has the name at that
//! time.

use common::event::{Departure, Event, RoundRecord, WorkerUsage};
use common::ids::Incarnation;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// Most rows that are kept.
const ROWS_MAX: usize = 512;
/// Most stays of a row that are kept.
const STAYS_MAX: usize = 64;
/// Weight of the newest piece in the mean time of a leaf.
const NEWEST: f64 = 0.1;

/// A worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    /// Number of the row, which stays the same.
    pub id: u32,
    /// The worker's name.
    pub name: String,
    /// `member`, `spare` or `gone`.
    pub state: &'static str,
    /// Its stays, the last one open while it is there.
    pub stays: VecDeque<Stay>,
    /// Times that others had to compute its pieces too.
    pub late: u64,
    /// Pieces whose answers were used.
    pub pieces: u64,
    /// Mean time of a leaf, with both ways over the network, in milliseconds.
    pub leaf_ms: Option<f64>,
    /// CPU time of its process, in seconds.
    pub cpu_seconds: f64,
    /// Cores that it kept busy between its last two heartbeats.
    pub cores: Option<f64>,
    /// Memory of its process, in bytes.
    pub resident_bytes: u64,
    /// Bytes of gradients that it has sent.
    pub received_bytes: u64,
    /// Bytes that it was sent.
    pub sent_bytes: u64,
    /// When it said last what it uses.
    #[serde(skip)]
    used_at: f64,
}

/// A time in which a worker was there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stay {
    /// Beginning, in seconds since 1970.
    pub from: f64,
    /// End; `None` while it lasts.
    pub to: Option<f64>,
    /// Whether it only waited for a place.
    pub is_spare: bool,
    /// Why it ended, in words.
    pub why: Option<String>,
}

/// All workers that were seen.
#[derive(Debug, Default)]
pub struct Workers {
    rows: Vec<Row>,
    next_id: u32,
    /// Row number of each worker that is there.
    present: BTreeMap<Incarnation, u32>,
}

impl Workers {
    /// The rows, in the order in which the workers came.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Members and spares.
    #[must_use]
    pub fn present(&self) -> [usize; 2] {
        ["member", "spare"].map(|state| self.rows.iter().filter(|row| row.state == state).count())
    }

    /// The row number of a worker that is there.
    #[must_use]
    pub fn row_of(&self, worker: Incarnation) -> Option<u32> {
        self.present.get(&worker).copied()
    }

    /// Takes an event about a worker; others are ignored.
    pub fn apply(&mut self, time: f64, event: &Event) {
        match event {
            Event::WorkerJoined { worker, incarnation, .. } => {
                self.come(time, worker, *incarnation, "member");
            }
            Event::WorkerKeptAsSpare { worker, incarnation, .. } => {
                self.come(time, worker, *incarnation, "spare");
            }
            Event::WorkerLeft(departure) => self.go(time, departure, "left"),
            Event::WorkerDropped { cause, departure } => {
                self.go(time, departure, &format!("dropped: {cause}"));
            }
            Event::WorkerLate { worker, .. } => {
                let row = self.rows.iter_mut().find(|row| row.name == *worker && row.state == "member");
                row.into_iter().for_each(|row| row.late += 1);
            }
            _ => {}
        }
    }

    /// Takes the times of a round's pieces.
    pub fn computed(&mut self, round: &RoundRecord) {
        for piece in &round.pieces {
            let Some(answered_us) = piece.answered_us else { continue };
            let Some(row) = self.row_mut(piece.worker) else { continue };
            let took_ms = answered_us.saturating_sub(piece.given_us) as f64 / 1e3;
            let leaf_ms = took_ms / f64::from(piece.leaves.max(1));
            row.leaf_ms = Some(row.leaf_ms.map_or(leaf_ms, |mean| mean + NEWEST * (leaf_ms - mean)));
            row.pieces += 1;
        }
    }

    /// Takes what workers use.
    pub fn usage(&mut self, time: f64, usage: &[WorkerUsage]) {
        for usage in usage {
            let Some(row) = self.row_mut(usage.incarnation) else { continue };
            let [seconds, cpu] = [time - row.used_at, usage.cpu_seconds - row.cpu_seconds];
            row.cores = (row.used_at > 0.0 && seconds > 0.0 && cpu >= 0.0).then(|| cpu / seconds);
            row.used_at = time;
            row.cpu_seconds = usage.cpu_seconds;
            row.resident_bytes = usage.resident_bytes;
            row.received_bytes = usage.received_bytes;
            row.sent_bytes = usage.sent_bytes;
        }
    }

    /// Ends all stays.
    pub fn end(&mut self, time: f64, why: &str) {
        self.present.clear();
        self.rows.iter_mut().for_each(|row| row.leave(time, why));
    }

    fn row_mut(&mut self, worker: Incarnation) -> Option<&mut Row> {
        let id = self.row_of(worker)?;
        self.rows.iter_mut().find(|row| row.id == id)
    }

    fn come(&mut self, time: f64, name: &str, incarnation: Incarnation, state: &'static str) {
        if let Some(row) = self.row_mut(incarnation) {
            // A spare that gets a place.
            row.leave(time, "got a place");
            row.enter(time, state);
            return;
        }
        let is_free = |row: &&mut Row| row.name == name && row.state == "gone";
        let id = if let Some(row) = self.rows.iter_mut().find(is_free) {
            row.enter(time, state);
            row.id
        } else {
            self.forget_one();
            self.next_id += 1;
            let mut row = Row { id: self.next_id, name: name.to_owned(), state, ..Row::default() };
            row.enter(time, state);
            self.rows.push(row);
            self.next_id
        };
        self.present.insert(incarnation, id);
    }

    /// Makes room for a row where there are too many: the one goes that has been gone for longest.
    fn forget_one(&mut self) {
        if self.rows.len() < ROWS_MAX {
            return;
        }
        let end = |row: &Row| row.stays.back().and_then(|stay| stay.to).unwrap_or(0.0);
        let gone = self.rows.iter().enumerate().filter(|(_, row)| row.state == "gone");
        let oldest = gone.min_by(|(_, one), (_, other)| end(one).total_cmp(&end(other)));
        let oldest = oldest.map_or(0, |(index, _)| index);
        let id = self.rows.remove(oldest).id;
        self.present.retain(|_, row| *row != id);
    }

    fn go(&mut self, time: f64, departure: &Departure, why: &str) {
        if let Some(row) = self.row_mut(departure.incarnation) {
            row.leave(time, why);
        }
        self.present.remove(&departure.incarnation);
    }
}

impl Row {
    fn enter(&mut self, time: f64, state: &'static str) {
        self.state = state;
        self.used_at = 0.0;
        self.cores = None;
        let stay = Stay { from: time, to: None, is_spare: state == "spare", why: None };
        super::push(&mut self.stays, stay, STAYS_MAX);
    }

    fn leave(&mut self, time: f64, why: &str) {
        self.state = "gone";
        self.cores = None;
        if let Some(stay) = self.stays.back_mut().filter(|stay| stay.to.is_none()) {
            stay.to = Some(time);
            stay.why = Some(why.to_owned());
        }
    }
}
