//! Connections with delays. Messages of one direction arrive in order or, once the connection breaks, not at
//! all. Under network faults they also overtake each other and arrive twice, and some workers are
//! partitioned.
//!
//! It decides whether and when a message arrives. The drivers decide what it means.

use super::event_queue::EventQueue;
use super::message::{Down, Trouble, Up, Wake};
use super::plan::Delays;
use common::rng::Stream;

/// One direction of a connection.
#[derive(Debug, Default)]
struct Direction {
    /// Time before which nothing that is sent arrives.
    last_us: u64,
    /// Generation of the direction: messages of an earlier one were lost.
    generation: u32,
    /// Whether its end has been sent, so that nothing follows.
    closed: bool,
    /// Whether everything that is sent is lost.
    silent: bool,
}

#[derive(Debug)]
struct Connection {
    worker: usize,
    delay_us: u32,
    up: Direction,
    down: Direction,
}

/// A partition between some workers and the coordinator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partition {
    /// One bit for each worker's number, modulo 32.
    pub(crate) workers: u32,
    pub(crate) until_us: u64,
    /// Whether messages are lost, and then their connections too; otherwise they arrive when the partition
    /// ends.
    pub(crate) loses: bool,
}

impl Partition {
    pub(crate) fn holds(&self, worker: usize) -> bool {
        self.workers >> (worker % 32) & 1 == 1
    }
}

/// Present faults of the network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions {
    /// Addition to every delay.
    pub(crate) lag_us: u64,
    /// Whether some messages arrive twice.
    pub(crate) repeats: bool,
    /// Whether a message may overtake earlier ones.
    pub(crate) reorders: bool,
    pub(crate) partition: Option<Partition>,
}

impl Conditions {
    pub(crate) fn calm(&mut self, trouble: Trouble, now_us: u64) {
        match trouble {
            Trouble::Lag => self.lag_us = 0,
            Trouble::Repeats => self.repeats = false,
            Trouble::Disorder => self.reorders = false,
            // A later fault of the same kind may have begun.
            Trouble::Partition => self.partition = self.partition.filter(|later| later.until_us > now_us),
        }
    }
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Messages on their way are lost, and both ends learn that the connection broke.
    Reset,
    /// Nothing arrives any more in either direction, and neither end learns of it.
    Silent,
    /// Nothing from the worker arrives any more.
    SilentUp,
    /// Nothing from the coordinator arrives any more.
    SilentDown,
}

/// All connections of a run, each named by its index.
#[derive(Debug)]
pub(crate) struct Network {
    delays: Delays,
    random: Stream,
    connections: Vec<Connection>,
    pub(crate) conditions: Conditions,
}

impl Network {
    pub(crate) fn new(delays: Delays, random: Stream) -> Self {
        Self { delays, random, connections: Vec::new(), conditions: Conditions::default() }
    }

    /// Opens a connection of the worker.
    pub(crate) fn dial(&mut self, worker: usize) -> usize {
        let delay_us = 50 + self.random.below(self.delays.base_us_max);
        let silent = self.cut_off(worker).is_some_and(|partition| partition.loses);
        let direction = || Direction { silent, ..Direction::default() };
        self.connections.push(Connection { worker, delay_us, up: direction(), down: direction() });
        self.connections.len() - 1
    }

    /// The partition that holds the worker, if there is one.
    fn cut_off(&self, worker: usize) -> Option<Partition> {
        self.conditions.partition.filter(|partition| partition.holds(worker))
    }

    /// Whether messages arrive in both directions.
    pub(crate) fn is_whole(&self, connection: usize) -> bool {
        let Connection { worker, up, down, .. } = &self.connections[connection];
        [up, down].iter().all(|direction| !direction.silent && !direction.closed)
            && self.cut_off(*worker).is_none()
    }

    /// The worker of a connection.
    pub(crate) fn worker(&self, connection: usize) -> usize {
        self.connections[connection].worker
    }

    /// Whether a message has not been lost on its way.
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
            let direction = &mut self.connections[connection].up;
            if let Some(arrives_us) = direction.send(at_us, is_last, reorders) {
                let generation = direction.generation;
                let message = message.clone();
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
            let direction = &mut self.connections[connection].down;
            if let Some(arrives_us) = direction.send(at_us, is_last, reorders) {
                let generation = direction.generation;
                let message = message.clone();
                events.enter(arrives_us, Wake::Down { connection, generation, message });
            }
        }
    }

    /// Number of times that a message arrives. A stream's first and last message arrive once.
    fn copies(&mut self, is_edge: bool) -> u32 {
        1 + u32::from(self.conditions.repeats && !is_edge && self.random.below(8) == 0)
    }

    /// When a message would arrive, and whether it may overtake others.
    fn route(&mut self, now_us: u64, connection: usize) -> (u64, bool) {
        let held_us = self.cut_off(self.worker(connection)).map_or(0, |partition| partition.until_us);
        let at_us = now_us.max(held_us) + self.delay_us(connection);
        (at_us, self.conditions.reorders && self.random.below(4) == 0)
    }

    /// Breaks a connection.
    pub(crate) fn cut(&mut self, now_us: u64, events: &mut EventQueue<Wake>, connection: usize, how: Break) {
        let both = &mut self.connections[connection];
        for (direction, spared) in [(&mut both.up, Break::SilentDown), (&mut both.down, Break::SilentUp)] {
            if how != spared && !direction.silent {
                direction.generation += 1;
                direction.closed = false;
                direction.silent = how != Break::Reset;
            }
        }
        if how == Break::Reset {
            self.up(now_us, events, connection, Up::Ended);
            self.down(now_us, events, connection, Down::Ended);
        }
    }

    fn delay_us(&mut self, connection: usize) -> u64 {
        let jitter_us = self.random.below(self.delays.jitter_us_max);
        u64::from(self.connections[connection].delay_us + jitter_us) + self.conditions.lag_us
    }
}

impl Direction {
    /// When a message arrives, if it does.
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
