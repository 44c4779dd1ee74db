//! Connections with delays: messages of one direction arrive in order or, once the connection breaks, not at all. In bad
//! weather they also overtake each other and arrive twice, and some workers are cut off.
//!
//! Decides when a message arrives and whether; what it means is for the shells.

use super::event_queue::EventQueue;
use super::message::{Down, Trouble, Up, Wake};
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

/// Some workers and the coordinator can't reach each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partition {
    /// A bit for each worker's number, modulo 32.
    pub(crate) workers: u32,
    pub(crate) until_us: u64,
    /// What is sent is lost, and so is the connection that it was sent on; else it arrives when the partition ends.
    pub(crate) loses: bool,
}

impl Partition {
    pub(crate) fn holds(&self, worker: usize) -> bool {
        self.workers >> (worker % 32) & 1 == 1
    }
}

/// What makes a network worse than slow.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Added to every delay.
    pub(crate) lag_us: u64,
    /// Some messages arrive twice.
    pub(crate) repeats: bool,
    /// A message may overtake those before it.
    pub(crate) reorders: bool,
    pub(crate) partition: Option<Partition>,
}

impl Weather {
    pub(crate) fn calm(&mut self, trouble: Trouble, now_us: u64) {
        match trouble {
            Trouble::Lag => self.lag_us = 0,
            Trouble::Repeats => self.repeats = false,
            Trouble::Disorder => self.reorders = false,
            // A later one may have begun.
            Trouble::Partition => self.partition = self.partition.filter(|later| later.until_us > now_us),
        }
    }
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
    pub(crate) weather: Weather,
}

impl Network {
    pub(crate) fn new(delays: Delays, random: Stream) -> Self {
        Self { delays, random, connections: Vec::new(), weather: Weather::default() }
    }

    /// A new connection of the worker's.
    pub(crate) fn dial(&mut self, worker: usize) -> usize {
        let delay_us = 50 + self.random.below(self.delays.base_us_max);
        let silent = self.cut_off(worker).is_some_and(|partition| partition.loses);
        let lane = || Lane { silent, ..Lane::default() };
        self.connections.push(Connection { worker, delay_us, up: lane(), down: lane() });
        self.connections.len() - 1
    }

    /// The partition that the worker is in.
    fn cut_off(&self, worker: usize) -> Option<Partition> {
        self.weather.partition.filter(|partition| partition.holds(worker))
    }

    /// Whether what is sent on it arrives, both ways.
    pub(crate) fn is_whole(&self, connection: usize) -> bool {
        let Connection { worker, up, down, .. } = &self.connections[connection];
        [up, down].iter().all(|lane| !lane.silent && !lane.closed) && self.cut_off(*worker).is_none()
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
    pub(crate) fn up(&mut self, now_us: u64, events: &mut EventQueue<Wake>, connection: usize, message: Up) {
        let is_last = message == Up::Ended;
        let copies = self.copies(is_last || matches!(message, Up::Hello { .. }));
        for _ in 0..copies {
            let (at_us, reorders) = self.route(now_us, connection);
            let lane = &mut self.connections[connection].up;
            if let Some(arrives_us) = lane.send(at_us, is_last, reorders) {
                let (generation, message) = (lane.generation, message.clone());
                events.enter(arrives_us, Wake::Up { connection, generation, message });
            }
        }
    }

    /// Sends to the worker. [`Down::Ended`] closes this direction behind what was sent before.
    pub(crate) fn down(
        &mut self,
        now_us: u64,
        events: &mut EventQueue<Wake>,
        connection: usize,
        message: Down,
    ) {
        let is_last = message == Down::Ended;
        for _ in 0..self.copies(is_last) {
            let (at_us, reorders) = self.route(now_us, connection);
            let lane = &mut self.connections[connection].down;
            if let Some(arrives_us) = lane.send(at_us, is_last, reorders) {
                let (generation, message) = (lane.generation, message.clone());
                events.enter(arrives_us, Wake::Down { connection, generation, message });
            }
        }
    }

    /// How often a message arrives. A stream's first and last message are the stream: there is one of each.
    fn copies(&mut self, is_edge: bool) -> u32 {
        1 + u32::from(self.weather.repeats && !is_edge && self.random.below(8) == 0)
    }

    /// When a message arrives if nothing holds it up, and whether it may overtake others.
    fn route(&mut self, now_us: u64, connection: usize) -> (u64, bool) {
        let held_us = self.cut_off(self.worker(connection)).map_or(0, |partition| partition.until_us);
        let at_us = now_us.max(held_us) + self.delay_us(connection);
        (at_us, self.weather.reorders && self.random.below(4) == 0)
    }

    /// Breaks a connection.
    pub(crate) fn cut(&mut self, now_us: u64, events: &mut EventQueue<Wake>, connection: usize, how: Break) {
        let both = &mut self.connections[connection];
        for (lane, spared) in [(&mut both.up, Break::SilentDown), (&mut both.down, Break::SilentUp)] {
            if how != spared && !lane.silent {
                lane.generation += 1;
                lane.closed = false;
                lane.silent = how != Break::Reset;
            }
        }
        if how == Break::Reset {
            self.up(now_us, events, connection, Up::Ended);
            self.down(now_us, events, connection, Down::Ended);
        }
    }

    fn delay_us(&mut self, connection: usize) -> u64 {
        let jitter_us = self.random.below(self.delays.jitter_us_max);
        u64::from(self.connections[connection].delay_us + jitter_us) + self.weather.lag_us
    }
}

impl Lane {
    /// When what is sent arrives, if it does.
    fn send(&mut self, at_us: u64, is_last: bool, overtakes: bool) -> Option<u64> {
        if self.closed || self.silent {
            return None;
        }
        self.closed = is_last;
        if overtakes {
            return Some(at_us);
        }
        self.last_us = self.last_us.max(at_us);
        Some(self.last_us)
    }
}
