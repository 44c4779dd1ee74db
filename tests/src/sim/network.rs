//! Connections with delays: messages of one direction arrive in order or, once the connection breaks, not at all.
//!
//! Decides when a message arrives and whether; what it means is for the shells.

use super::agenda::Agenda;
use super::message::{Down, Up, Wake};
use super::plan::Delays;
use common::rng::Stream;

/// One direction of a connection.
#[derive(Debug, Default)]
struct Lane {
    /// Nothing sent arrives before this.
    last_us: u64,
    /// Messages of an earlier generation were lost on their way.
    generation: u32,
    /// Its end has been sent: nothing follows.
    closed: bool,
    /// Whatever is sent vanishes.
    silent: bool,
}

#[derive(Debug)]
struct Connection {
    worker: usize,
    delay_us: u32,
    up: Lane,
    down: Lane,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// What is on its way is lost, and both ends learn that it broke.
    Reset,
    /// Nothing arrives any more in either direction, and nobody is told.
    Silent,
    /// Nothing of the worker's arrives any more.
    SilentUp,
    /// Nothing of the coordinator's arrives any more.
    SilentDown,
}

/// Every connection there ever was; a connection is named by its index.
#[derive(Debug)]
pub(crate) struct Network {
    delays: Delays,
    random: Stream,
    connections: Vec<Connection>,
    /// Added to every delay.
    pub(crate) lag_us: u64,
}

impl Network {
    pub(crate) fn new(delays: Delays, random: Stream) -> Self {
        Self { delays, random, connections: Vec::new(), lag_us: 0 }
    }

    /// A new connection of the worker's.
    pub(crate) fn dial(&mut self, worker: usize) -> usize {
        let delay_us = 50 + self.random.below(self.delays.base_us_max);
        self.connections.push(Connection { worker, delay_us, up: Lane::default(), down: Lane::default() });
        self.connections.len() - 1
    }

    /// Whose connection it is.
    pub(crate) fn worker(&self, connection: usize) -> usize {
        self.connections[connection].worker
    }

    /// Whether a message was not lost on its way.
    pub(crate) fn arrives(&self, wake: &Wake) -> bool {
        match *wake {
            Wake::Up { connection, generation, .. } => {
                self.connections[connection].up.generation == generation
            }
            Wake::Down { connection, generation, .. } => {
                self.connections[connection].down.generation == generation
            }
            _ => true,
        }
    }

    /// Sends to the coordinator. [`Up::Ended`] closes this direction behind what was sent before.
    pub(crate) fn up(&mut self, now_us: u64, agenda: &mut Agenda<Wake>, connection: usize, message: Up) {
        let delay_us = self.delay_us(connection);
        let lane = &mut self.connections[connection].up;
        if let Some(arrives_us) = lane.send(now_us + delay_us, message == Up::Ended) {
            agenda.enter(arrives_us, Wake::Up { connection, generation: lane.generation, message });
        }
    }

    /// Sends to the worker. [`Down::Ended`] closes this direction behind what was sent before.
    pub(crate) fn down(&mut self, now_us: u64, agenda: &mut Agenda<Wake>, connection: usize, message: Down) {
        let delay_us = self.delay_us(connection);
        let lane = &mut self.connections[connection].down;
        if let Some(arrives_us) = lane.send(now_us + delay_us, message == Down::Ended) {
            agenda.enter(arrives_us, Wake::Down { connection, generation: lane.generation, message });
        }
    }

    /// Breaks a connection.
    pub(crate) fn cut(&mut self, now_us: u64, agenda: &mut Agenda<Wake>, connection: usize, how: Break) {
        let both = &mut self.connections[connection];
        for (lane, spared) in [(&mut both.up, Break::SilentDown), (&mut both.down, Break::SilentUp)] {
            if how != spared && !lane.silent {
                lane.generation += 1;
                lane.closed = false;
                lane.silent = how != Break::Reset;
            }
        }
        if how == Break::Reset {
            self.up(now_us, agenda, connection, Up::Ended);
            self.down(now_us, agenda, connection, Down::Ended);
        }
    }

    fn delay_us(&mut self, connection: usize) -> u64 {
        let jitter_us = self.random.below(self.delays.jitter_us_max);
        u64::from(self.connections[connection].delay_us + jitter_us) + self.lag_us
    }
}

impl Lane {
    /// When what is sent arrives, if it does.
    fn send(&mut self, at_us: u64, is_last: bool) -> Option<u64> {
        if self.closed || self.silent {
            return None;
        }
        self.last_us = self.last_us.max(at_us);
        self.closed = is_last;
        Some(self.last_us)
    }
}
