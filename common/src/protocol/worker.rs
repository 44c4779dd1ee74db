//! The worker's rules: when to dial, when to give up on a silent coordinator, which answers are still of use.
//!
//! A worker holds nothing that the run depends on. When its stream breaks it forgets its pieces, dials again
//! with exponential back-off, and is a new incarnation. This machine never sees samples, parameters or
//! gradients.
//!
//! Two limits end a worker that nobody needs: one counts the time without a coordinator, the other the time
//! without work, whether there is a coordinator or not.

use crate::ids::{Incarnation, Round, SetupId};
use crate::reduce::tree::Node;
use crate::rng::Stream;
use std::collections::{BTreeMap, BTreeSet};

/// First pause before dialling again; each further pause is twice as long.
const BACKOFF_US_FIRST: u64 = 100_000;
/// Longest pause before dialling again.
const BACKOFF_US_MAX: u64 = 3_000_000;

/// Time limits of a worker, and the seed of its pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Longest time from dialling to the coordinator's answer, in microseconds.
    pub join_timeout_us: u64,
    /// Longest time, in microseconds, without a place as a member or spare before the worker gives up.
    pub give_up_us: u64,
    /// Longest time, in microseconds, without work before the worker leaves: as a spare, as a member that is
    /// given nothing, or without a coordinator. `None` where it never leaves for that.
    pub idle_exit_us: Option<u64>,
    /// Seed of the back-off's jitter; any number that differs between workers.
    pub jitter_seed: u64,
}

/// The coordinator's heartbeat settings for a new member or spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Longest time between two heartbeats, in both directions, in microseconds.
    pub heartbeat_us: u64,
    /// Silence, in microseconds, after which the other side counts as dead.
    pub timeout_us: u64,
}

/// Input of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The coordinator admitted this worker.
    Welcome(Incarnation, Pulse),
    /// The coordinator keeps this worker as a spare until a place is free.
    Spare(Pulse),
    /// The coordinator will never admit this worker (another version, another model).
    Refused(String),
    /// Anything arrived from the coordinator.
    Heard,
    /// The dial failed, the stream broke, or the coordinator asked to redial or sent an invalid message.
    Lost(String),
    /// A piece of this setup's run to compute.
    Grant(SetupId, Round, Node),
    /// The run of this setup is over.
    RunOver(SetupId),
    /// A piece has been computed.
    Computed(Incarnation, Round, Node),
    /// The run is over.
    Finished,
    /// An operator asks this worker to leave.
    Leave,
    /// A deadline may have passed.
    Tick,
}

/// What the driver must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a stream and send the hello.
    Dial,
    /// Send a heartbeat to the coordinator.
    Heartbeat,
    /// Compute a piece, as this incarnation.
    Compute(Incarnation, Round, Node),
    /// Forget pieces of this round: its run has begun a later one, or is over.
    Forget(Round),
    /// Forget every piece and close the stream.
    Reset(String),
    /// Send the value of this piece.
    Send(Round, Node),
    /// Discard the value of this piece: its round or its stream is over.
    Drop(Round, Node),
    /// Say goodbye on the stream.
    Goodbye,
    /// End the worker for this reason.
    Exit(Exit),
}

/// Why a worker ends.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exit {
    /// The run is complete.
    #[error("the run is over")]
    Finished,
    /// An operator asked for it.
    #[error("asked to leave")]
    Left,
    /// The coordinator will never take this worker.
    #[error("the coordinator refused this worker: {0}")]
    Refused(String),
    /// No coordinator admitted the worker for too long.
    #[error("no coordinator for {} s; the last try ended with: {last}", waited_us / 1_000_000)]
    GaveUp {
        waited_us: u64,
        /// The error of the last attempt.
        last: String,
    },
    /// There was no work for too long.
    #[error("no work for {} s", idle_us / 1_000_000)]
    Idle { idle_us: u64 },
}

impl Exit {
    /// Whether the worker did all that was asked of it.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Finished | Self::Left | Self::Idle { .. })
    }
}

#[derive(Debug)]
enum State {
    Paused {
        until_us: u64,
    },
    Joining {
        until_us: u64,
    },
    /// The coordinator has answered: this worker is a member or a spare.
    Open {
        standing: Standing,
        pulse: Pulse,
        heard_us: u64,
        beat_due_us: u64,
    },
    Over,
}

#[derive(Clone, Debug)]
enum Standing {
    Spare,
    Member {
        incarnation: Incarnation,
        /// The last round of each run, by its setup.
        rounds: BTreeMap<SetupId, Round>,
    },
}

/// The worker's rules as a state machine.
#[derive(Debug)]
pub struct Worker {
    timing: Timing,
    state: State,
    attempt: u32,
    alone_since_us: u64,
    /// When the last piece was granted or computed, or the worker began.
    worked_us: u64,
    /// Pieces that are being computed.
    computing: BTreeSet<(Round, Node)>,
    last_loss: String,
    jitter: Stream,
}

impl Worker {
    /// A worker that dials at its first `Tick`.
    #[must_use]
    pub fn new(now_us: u64, timing: Timing) -> Self {
        Self {
            timing,
            state: State::Paused { until_us: now_us },
            attempt: 0,
            alone_since_us: now_us,
            worked_us: now_us,
            computing: BTreeSet::new(),
            last_loss: String::new(),
            jitter: Stream::new(timing.jitter_seed, "redial", &[]),
        }
    }

    /// The worker's incarnation, while it is a member.
    #[must_use]
    pub fn incarnation(&self) -> Option<Incarnation> {
        match self.state {
            State::Open { standing: Standing::Member { incarnation, .. }, .. } => Some(incarnation),
            _ => None,
        }
    }

    /// Handles one event. Returns what must be done, in order.
    pub fn on_event(&mut self, now_us: u64, event: Event) -> Vec<Action> {
        if matches!(self.state, State::Over) {
            return Vec::new();
        }
        if let State::Open { heard_us, .. } = &mut self.state
            && !matches!(event, Event::Tick | Event::Computed(..) | Event::Leave)
        {
            *heard_us = now_us;
        }
        if matches!(event, Event::Grant(..) | Event::Computed(..)) {
            self.worked_us = now_us;
        }
        match event {
            Event::Welcome(incarnation, pulse) => {
                self.stand(now_us, Standing::Member { incarnation, rounds: BTreeMap::new() }, pulse)
            }
            Event::Spare(pulse) => self.stand(now_us, Standing::Spare, pulse),
            Event::Refused(why) => self.exit(Exit::Refused(why)),
            Event::Heard => Vec::new(),
            Event::Lost(why) => self.lost(now_us, why),
            Event::Grant(setup, round, node) => self.grant(now_us, setup, round, node),
            Event::RunOver(setup) => self.run_over(setup),
            Event::Computed(incarnation, round, node) => vec![self.computed(incarnation, round, node)],
            Event::Finished => self.exit(Exit::Finished),
            Event::Leave => self.leave(Exit::Left),
            Event::Tick => self.tick(now_us),
        }
    }

    /// When `Tick` must come at the latest.
    #[must_use]
    pub fn next_deadline_us(&self) -> Option<u64> {
        let due_us = match self.state {
            State::Paused { until_us } | State::Joining { until_us } => until_us,
            State::Open { pulse, heard_us, beat_due_us, .. } => beat_due_us.min(heard_us + pulse.timeout_us),
            State::Over => return None,
        };
        Some(self.idle_exit_due_us().map_or(due_us, |idle_us| due_us.min(idle_us)))
    }

    /// When the worker leaves for want of work, unless it gets some before.
    fn idle_exit_due_us(&self) -> Option<u64> {
        if !self.computing.is_empty() {
            return None;
        }
        Some(self.worked_us.saturating_add(self.timing.idle_exit_us?))
    }

    fn stand(&mut self, now_us: u64, standing: Standing, pulse: Pulse) -> Vec<Action> {
        let is_due = matches!(
            (&self.state, &standing),
            (State::Joining { .. }, _)
                | (State::Open { standing: Standing::Spare, .. }, Standing::Member { .. })
        );
        if !is_due {
            return self.lost(now_us, format!("{standing:?}, which was not asked for"));
        }
        self.attempt = 0;
        let beat_due_us = now_us + pulse.heartbeat_us;
        self.state = State::Open { standing, pulse, heard_us: now_us, beat_due_us };
        Vec::new()
    }

    fn grant(&mut self, now_us: u64, setup: SetupId, new: Round, node: Node) -> Vec<Action> {
        let State::Open { standing: Standing::Member { incarnation, rounds }, .. } = &mut self.state else {
            return self.lost(now_us, format!("piece {node} of round {new} before a welcome"));
        };
        let mut actions = Vec::new();
        match rounds.insert(setup, new) {
            Some(last) if last > new => {
                return self.lost(now_us, format!("piece {node} of round {new} after round {last}"));
            }
            Some(last) if last < new => {
                self.computing.retain(|&(round, _)| round != last);
                actions.push(Action::Forget(last));
            }
            _ => {}
        }
        self.computing.insert((new, node));
        actions.push(Action::Compute(*incarnation, new, node));
        actions
    }

    fn run_over(&mut self, setup: SetupId) -> Vec<Action> {
        match &mut self.state {
            State::Open { standing: Standing::Member { rounds, .. }, .. } => {
                let over = rounds.remove(&setup);
                self.computing.retain(|&(round, _)| Some(round) != over);
                over.map(Action::Forget).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn computed(&mut self, by: Incarnation, at: Round, node: Node) -> Action {
        match &self.state {
            State::Open { standing: Standing::Member { incarnation, rounds }, .. }
                if *incarnation == by && rounds.values().any(|&round| round == at) =>
            {
                self.computing.remove(&(at, node));
                Action::Send(at, node)
            }
            _ => Action::Drop(at, node),
        }
    }

    fn lost(&mut self, now_us: u64, why: String) -> Vec<Action> {
        match self.state {
            State::Open { .. } => self.alone_since_us = now_us,
            State::Joining { .. } => {}
            // A second report of the same loss.
            State::Paused { .. } | State::Over => return Vec::new(),
        }
        self.computing.clear();
        let waited_us = now_us.saturating_sub(self.alone_since_us);
        if waited_us >= self.timing.give_up_us {
            return self.exit(Exit::GaveUp { waited_us, last: why });
        }
        let pause = BACKOFF_US_FIRST.saturating_mul(1 << self.attempt.min(16)).min(BACKOFF_US_MAX);
        self.attempt += 1;
        // Half fixed, half random: workers that lost the same coordinator do not come back in one wave.
        let pause = pause / 2 + u64::from(self.jitter.below(pause as u32 / 2));
        self.state = State::Paused { until_us: now_us + pause };
        self.last_loss.clone_from(&why);
        vec![Action::Reset(why)]
    }

    fn tick(&mut self, now_us: u64) -> Vec<Action> {
        if self.idle_exit_due_us().is_some_and(|due_us| due_us <= now_us) {
            return self.leave(Exit::Idle { idle_us: now_us - self.worked_us });
        }
        match &mut self.state {
            State::Paused { until_us } if *until_us <= now_us => {
                self.state = State::Joining { until_us: now_us + self.timing.join_timeout_us };
                vec![Action::Dial]
            }
            State::Joining { until_us } if *until_us <= now_us => {
                self.lost(now_us, "no answer from the coordinator in time".into())
            }
            State::Open { pulse, heard_us, .. } if *heard_us + pulse.timeout_us <= now_us => {
                let silent_ms = (now_us - *heard_us) / 1000;
                self.lost(now_us, format!("nothing heard from the coordinator for {silent_ms} ms"))
            }
            State::Open { pulse, beat_due_us, .. } if *beat_due_us <= now_us => {
                *beat_due_us = now_us + pulse.heartbeat_us;
                vec![Action::Heartbeat]
            }
            _ => Vec::new(),
        }
    }

    /// Ends, with a goodbye to the coordinator where there is one.
    fn leave(&mut self, exit: Exit) -> Vec<Action> {
        let goodbye = matches!(self.state, State::Open { .. }).then_some(Action::Goodbye);
        goodbye.into_iter().chain(self.exit(exit)).collect()
    }

    fn exit(&mut self, exit: Exit) -> Vec<Action> {
        self.state = State::Over;
        vec![Action::Exit(exit)]
    }
}

#[cfg(test)]
mod tests;
