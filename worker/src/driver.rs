//! The driver of the worker's machine: one task that owns all its state.
//!
//! Inputs (messages, finished pieces, signals) and deadlines become events. The machine's actions become
//! dialling, sending and computing. The task ends with the machine's `Exit`.

use crate::client::{Connection, Way};
use crate::mailbox::{INBOX, Input};
use crate::pool::{Outcome, Parameters, Pool};
use crate::selftest;
use common::ids::{Instance, Round, SetupId};
use common::protocol::worker::{Action, Event, Exit, Pulse, Timing, Worker};
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;
use host::clock::Clock;
use host::stop::StopRequests;
use proto::message::{Answer, CoordinatorMessage, Hello, Piece, Spare, Usage, Welcome, WorkerMessage};
use proto::setup::Setup;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

/// Time for a goodbye to be written.
const GOODBYE: Duration = Duration::from_secs(1);

/// Time for the compute threads to finish the leaves in progress, which nobody needs any more. It is shorter
/// than the time that a coordinator gives its local workers to end.
const POOL_GRACE: Duration = Duration::from_secs(3);

/// The operator's settings for a worker.
#[derive(Clone)]
pub struct Options {
    /// The way to the coordinator.
    pub way: Way,
    /// The worker's name, unique among the run's workers.
    pub name: String,
    /// Random number of this process, not 0.
    pub instance: Instance,
    /// Leaves that it computes at the same time, at least 1.
    pub threads: u32,
    /// Longest time without a coordinator before the worker gives up.
    pub give_up: Duration,
    /// Longest time without work before the worker leaves, if there is one.
    pub idle_exit: Option<Duration>,
    /// Longest time from dialling to a welcome.
    pub join_timeout: Duration,
}

/// Why a worker failed.
#[allow(missing_docs, reason = "field names say all")]
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The compute threads can't be started.
    #[error("can't start {threads} compute threads: {source}; try fewer with --threads")]
    Threads { threads: u32, source: std::io::Error },
    /// The network can't compute a leaf.
    #[error("a leaf can't be computed: {0}")]
    Compute(String),
}

/// Works until the run is over, the operator stops it, or the worker gives up.
///
/// # Errors
/// When the compute threads can't be started, or a leaf can't be computed.
pub async fn run(options: Options, mut stop: StopRequests) -> Result<Exit, WorkerError> {
    let (sender, mut inbox) = mpsc::channel(INBOX);
    let outcomes = sender.clone();
    let deliver = move |outcome| {
        // The receiver is gone only when the driver has ended.
        let _ = outcomes.blocking_send(Input::Pool(outcome));
    };
    let threads = options.threads;
    let pool = Pool::start(threads, deliver).map_err(|source| WorkerError::Threads { threads, source })?;
    let numerics = tokio::task::spawn_blocking(selftest::digest).await;
    let numerics = match numerics {
        Ok(numerics) => numerics.map_err(|error| WorkerError::Compute(error.to_string()))?,
        Err(error) => return Err(WorkerError::Compute(error.to_string())),
    };
    debug!(%numerics, "self-test computed");
    selftest::warn_of_this_machine(numerics);
    let mut driver = Driver::new(options, numerics, pool, sender);
    let exit = loop {
        let event = tokio::select! {
            input = inbox.recv() => match input {
                Some(input) => driver.event(input)?,
                None => unreachable!("the driver holds a sender"),
            },
            () = driver.deadline() => Some(Event::Tick),
            _ = stop.changed() => Some(Event::Leave),
        };
        if let Some(event) = event
            && let Some(exit) = driver.step(event).await
        {
            break exit;
        }
    };
    // A thread may be waiting to deliver: without a receiver it stops.
    drop(inbox);
    let ended = tokio::task::spawn_blocking(move || drop(driver));
    if tokio::time::timeout(POOL_GRACE, ended).await.is_err() {
        warn!(waited_s = POOL_GRACE.as_secs(), "compute threads do not end; leaving them behind");
    }
    Ok(exit)
}

struct Driver {
    options: Options,
    numerics: NumericsDigest,
    clock: Clock,
    machine: Worker,
    inbox: mpsc::Sender<Input>,
    connection: Option<Connection>,
    dials: u64,
    setups: BTreeMap<SetupId, Arc<Setup>>,
    /// The newest parameters of each setup.
    parameters: BTreeMap<SetupId, Arc<Parameters>>,
    /// The piece that the machine has not yet asked to compute: at most one.
    arrived: Option<Piece>,
    /// The answer that the machine has not yet asked to send: at most one.
    finished: BTreeMap<(Round, Node), Answer>,
    pool: Pool,
}

impl Driver {
    fn new(options: Options, numerics: NumericsDigest, pool: Pool, inbox: mpsc::Sender<Input>) -> Self {
        let us = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let timing = Timing {
            join_timeout_us: us(options.join_timeout),
            give_up_us: us(options.give_up),
            idle_exit_us: options.idle_exit.map(us),
            jitter_seed: options.instance.0,
        };
        let clock = Clock::start();
        Self {
            options,
            numerics,
            clock,
            machine: Worker::new(clock.now_us(), timing),
            inbox,
            connection: None,
            dials: 0,
            setups: BTreeMap::new(),
            parameters: BTreeMap::new(),
            arrived: None,
            finished: BTreeMap::new(),
            pool,
        }
    }

    async fn deadline(&self) {
        match self.machine.next_deadline_us() {
            Some(us) => tokio::time::sleep_until(self.clock.instant(us).into()).await,
            None => std::future::pending().await,
        }
    }

    /// The machine's event for an input; `None` if there is none.
    fn event(&mut self, input: Input) -> Result<Option<Event>, WorkerError> {
        let current = self.connection.as_ref().map(|connection| connection.dial);
        Ok(match input {
            Input::Pool(Outcome::Failed(why)) => return Err(WorkerError::Compute(why)),
            Input::Pool(Outcome::Computed(answer)) => {
                let Answer { incarnation, round, node, .. } = answer;
                self.finished.insert((round, node), answer);
                Some(Event::Computed(incarnation, round, node))
            }
            Input::Ended { dial, why } => (Some(dial) == current).then_some(Event::Lost(why)),
            Input::Message { dial, message } if Some(dial) == current => match message {
                Some(message) => Some(self.message(*message)),
                None => Some(Event::Heard),
            },
            Input::Message { .. } => None,
        })
    }

    fn message(&mut self, message: CoordinatorMessage) -> Event {
        match message {
            CoordinatorMessage::Welcome(welcome) => self.welcome(welcome),
            CoordinatorMessage::Spare(Spare { ahead, heartbeat_ms, timeout_ms }) => {
                info!(ahead, "all places are taken; waiting as a spare until one is free");
                Event::Spare(pulse(heartbeat_ms, timeout_ms))
            }
            CoordinatorMessage::Refused { reason, retry: true } => Event::Lost(reason),
            CoordinatorMessage::Refused { reason, retry: false } => Event::Refused(reason),
            // Shared memory is agreed on where the stream is read.
            CoordinatorMessage::Heartbeat | CoordinatorMessage::Sharing(_) => Event::Heard,
            CoordinatorMessage::Setup(setup) => {
                info!(setup = %setup.id, model = setup.model.layers().short_name(), "told what is trained");
                self.parameters.remove(&setup.id);
                self.setups.insert(setup.id, setup);
                Event::Heard
            }
            CoordinatorMessage::Forget(setup) => {
                debug!(%setup, "its run is over");
                self.parameters.remove(&setup);
                self.setups.remove(&setup);
                Event::RunOver(setup)
            }
            CoordinatorMessage::Parameters { id, setup, values } => {
                let Some(setup) = self.setups.get(&setup) else {
                    return Event::Lost(format!("parameters {id} of setup {setup}, which is not known here"));
                };
                debug!(%id, setup = %setup.id, "parameters arrived");
                let parameters = Parameters { setup: Arc::clone(setup), id, values };
                self.parameters.insert(setup.id, Arc::new(parameters));
                Event::Heard
            }
            CoordinatorMessage::Piece(piece) => {
                let Piece { node, parameters, setup, .. } = piece;
                if self.parameters.get(&setup).is_none_or(|newest| newest.id != parameters) {
                    let what = format!("piece {node} needs parameters {parameters} of setup {setup}");
                    return Event::Lost(format!("{what}, which did not arrive"));
                }
                let event = Event::Grant(setup, piece.round, piece.node);
                self.arrived = Some(piece);
                event
            }
            CoordinatorMessage::Finished => Event::Finished,
            CoordinatorMessage::Dropped(reason) => {
                Event::Lost(format!("the coordinator dropped us: {reason}"))
            }
        }
    }

    fn welcome(&mut self, welcome: Welcome) -> Event {
        let Welcome { incarnation, rank, run_id, heartbeat_ms, timeout_ms } = welcome;
        info!(%run_id, %rank, %incarnation, "joined");
        Event::Welcome(incarnation, pulse(heartbeat_ms, timeout_ms))
    }

    /// Passes an event to the machine and executes its actions.
    async fn step(&mut self, event: Event) -> Option<Exit> {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.machine.on_event(self.clock.now_us(), event) {
                match action {
                    Action::Exit(exit) => return Some(exit),
                    Action::Goodbye => {
                        self.send(WorkerMessage::Leave)
                            .err()
                            .into_iter()
                            .for_each(|why| debug!(why, "no goodbye"));
                        if let Some(connection) = &self.connection {
                            connection.flush(GOODBYE).await;
                        }
                    }
                    other => events.extend(self.act(other).err().map(Event::Lost)),
                }
            }
        }
        None
    }

    /// # Errors
    /// When the stream can't be used any more.
    fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Dial => self.dial(),
            Action::Heartbeat => {
                let host::usage::Usage { cpu_us, resident_bytes } = host::usage::of_this_process();
                self.send(WorkerMessage::Heartbeat(Usage { cpu_us, resident_bytes }))?;
            }
            Action::Compute(incarnation, ..) => {
                let piece = self.arrived.take();
                let parameters = piece.as_ref().and_then(|piece| self.parameters.get(&piece.setup));
                if let (Some(parameters), Some(piece)) = (parameters.cloned(), piece) {
                    self.pool.compute(incarnation, piece, parameters);
                }
            }
            Action::Forget(round) => self.pool.forget(round),
            Action::Reset(why) => self.reset(&why),
            Action::Send(round, node) => {
                if let Some(answer) = self.finished.remove(&(round, node)) {
                    self.send(WorkerMessage::Answer(answer))?;
                }
            }
            Action::Drop(round, node) => {
                debug!(%round, %node, "discarded a piece whose round or stream is over");
                self.finished.remove(&(round, node));
            }
            Action::Goodbye | Action::Exit(_) => unreachable!("handled by the caller"),
        }
        Ok(())
    }

    fn dial(&mut self) {
        self.dials += 1;
        let Options { name, instance, threads, .. } = &self.options;
        let name = name.clone();
        let numerics = self.numerics;
        let hello = Hello { name, instance: *instance, threads: *threads, numerics };
        let hello = WorkerMessage::Hello(hello);
        self.connection = Some(Connection::open(self.dials, &self.options.way, hello, self.inbox.clone()));
    }

    fn reset(&mut self, why: &str) {
        warn!(address = %self.options.way.addresses, why, "no stream to the coordinator; dialling again");
        self.connection = None;
        self.setups.clear();
        self.parameters.clear();
        self.arrived = None;
        self.pool.forget_all();
    }

    fn send(&self, message: WorkerMessage) -> Result<(), String> {
        match &self.connection {
            Some(connection) => connection.send(message),
            None => Err("there is no stream".to_owned()),
        }
    }
}

fn pulse(heartbeat_ms: u32, timeout_ms: u32) -> Pulse {
    Pulse { heartbeat_us: u64::from(heartbeat_ms) * 1000, timeout_us: u64::from(timeout_ms) * 1000 }
}
