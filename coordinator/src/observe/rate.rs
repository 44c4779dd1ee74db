//! How many events about workers that come and go are shown or kept: one who does nothing else fills no disk.
//!
//! 1. Joins, and leaves or drops, come twice a second at most, after the first 256: as when all of a large
//!    run are back.
//! 2. Refusals come once a second at most, after the first 10: nobody else is named in them.
//! 3. Whoever has been of use is named whatever happens.
//! 4. The next one that is let through says how many were left out.

use crate::net::token_bucket::Lines;
use common::event::Event;
use std::time::Instant;

/// Events about workers that come or go: so many a second, and so many at once.
const WORKER_LINES: [u32; 2] = [2, 256];
/// The same of refusals.
const REFUSAL_LINES: [u32; 2] = [1, 10];

/// What one observer lets through.
#[derive(Debug)]
pub(crate) struct Rate {
    joined: Lines,
    gone: Lines,
    refused: Lines,
}

impl Default for Rate {
    fn default() -> Self {
        let lines = |[per_second, most]: [u32; 2]| Lines::new(per_second, most);
        Self { joined: lines(WORKER_LINES), gone: lines(WORKER_LINES), refused: lines(REFUSAL_LINES) }
    }
}

impl Rate {
    /// Has the event shown, if it may be; `show` is told how many of its kind were left out before it, if any
    /// were.
    pub(crate) fn pass(&mut self, event: &Event, now: Instant, show: impl FnOnce(Option<u64>)) {
        let lines = match event {
            Event::WorkerJoined { .. } | Event::WorkerKeptAsSpare { .. } => &mut self.joined,
            Event::WorkerLeft(departure) | Event::WorkerDropped { departure, .. }
                if !departure.has_helped =>
            {
                &mut self.gone
            }
            Event::WorkerRefused { .. } => &mut self.refused,
            _ => return show(None),
        };
        lines.write(now, show);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::event::Departure;
    use common::ids::{Incarnation, Rank, Step};

    fn left(has_helped: bool) -> Event {
        Event::WorkerLeft(Departure {
            worker: "w".into(),
            rank: Some(Rank(0)),
            incarnation: Incarnation(1),
            pieces: vec![],
            has_helped,
            step: Step(0),
            workers: 0,
        })
    }

    #[test]
    fn comers_and_goers_are_left_out_and_who_was_of_use_never_is() {
        let mut rate = Rate::default();
        let start = Instant::now();
        let mut shown = Vec::new();
        for _ in 0..300 {
            rate.pass(&left(false), start, |left_out| shown.push(left_out));
        }
        assert_eq!(shown, [None; 256]);
        rate.pass(&left(true), start, |left_out| shown.push(left_out));
        rate.pass(&left(false), start + std::time::Duration::from_secs(1), |left_out| shown.push(left_out));
        assert_eq!(shown[256..], [None, Some(44)]);
    }
}
