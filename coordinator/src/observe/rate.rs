//! Rate limit for events about workers that come and go, so that nobody can fill a disk with them.
//!
//! 1. Joins, and leaves or drops, come twice a second at most, after the first 256: as when all of a large
//!    run are back.
//! 2. Refusals come once a second at most, after the first 10: nobody else is named in them.
//! 3. Whoever has been of use is named whatever happens.
//! 4. The next one that is let through says how many were left out.

use crate::net::token_bucket::Lines;
use common::event::Event;
use std::time::Instant;

/// Limit of events about workers that come or go: number per second, and burst.
const WORKER_LINES: [u32; 2] = [2, 256];
/// Limit of refusals: number per second, and burst.
const REFUSAL_LINES: [u32; 2] = [1, 10];

/// Rate limiter of one observer.
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
    /// Calls `show` for the event if the limit allows it, with the number of events of its kind that were
    /// left out before it, if any.
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
