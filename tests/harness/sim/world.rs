//! What all simulated processes share: time, future events, the network, randomness, and the invariants.
//!
//! Decides nothing.

use super::event_queue::EventQueue;
use super::invariants::{Observation, Violation, Watch};
use super::message::{Down, Up, Wake};
use super::network::{Break, Network};
use super::plan::Plan;
use super::{Report, Sabotage};
use common::rng::Stream;
use std::collections::VecDeque;

/// Lines of a trace that are kept.
const TRACE_LINES: usize = 60;
/// Longest delay of a timer.
const TIMER_LATE_US: u32 = 2_000;

pub(crate) struct World {
    pub(crate) now_us: u64,
    pub(crate) events: EventQueue<Wake>,
    pub(crate) network: Network,
    pub(crate) random: Stream,
    pub(crate) watch: Watch,
    pub(crate) report: Report,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) trace: Option<VecDeque<String>>,
}

impl World {
    pub(crate) fn new(plan: &Plan, sabotage: Option<Sabotage>) -> Self {
        let random = Stream::new(plan.seed, "simulation", &[]);
        let network = Network::new(plan.delays, Stream::new(plan.seed, "simulation network", &[]));
        let watch = Watch::new(plan);
        let report = Report::default();
        Self { now_us: 0, events: EventQueue::new(), network, random, watch, report, sabotage, trace: None }
    }

    pub(crate) fn has(&self, sabotage: Sabotage) -> bool {
        self.sabotage == Some(sabotage)
    }

    pub(crate) fn after(&mut self, delay_us: u64, wake: Wake) {
        self.events.enter(self.now_us + delay_us, wake);
    }

    pub(crate) fn up(&mut self, connection: usize, message: Up) {
        self.network.up(self.now_us, &mut self.events, connection, message);
    }

    pub(crate) fn down(&mut self, connection: usize, message: Down) {
        self.network.down(self.now_us, &mut self.events, connection, message);
    }

    pub(crate) fn cut(&mut self, connection: usize, how: Break) {
        self.network.cut(self.now_us, &mut self.events, connection, how);
    }

    /// The time at which a timer for `deadline_us` fires.
    pub(crate) fn timer_us(&mut self, deadline_us: Option<u64>) -> Option<u64> {
        let late_us = u64::from(self.random.below(TIMER_LATE_US));
        deadline_us.map(|deadline_us| deadline_us.max(self.now_us) + late_us)
    }

    pub(crate) fn saw(&mut self, observation: &Observation<'_>) -> Result<(), Violation> {
        self.watch.saw(self.now_us, observation)
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let now_us = self.now_us;
        if let Some(trace) = &mut self.trace {
            if trace.len() == TRACE_LINES {
                trace.pop_front();
            }
            trace.push_back(format!("{now_us:>10} {}", line()));
        }
    }
}
