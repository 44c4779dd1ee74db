//! The task around the cluster: it owns the cluster, the ends of all connections, and the runs in progress.
//!
//! Inputs (messages, runs to begin, finished checkpoints, requests to stop) and deadlines go to the cluster
//! and the runs; the cluster's outputs are carried out (`outputs`). What a run does with its rounds is not
//! known here. It waits for nothing but its inbox, and that has a deadline. It has a thread of its own
//! (`runtime`), which meanwhile serves the pipes of local workers.
//!
//! 1. A run is known by the number of its setup. It is over when it says so, when one of its methods fails,
//!    or when the cluster can't go on with it. Then its result goes to whoever started it, and the others go
//!    on.
//! 2. What is for a run that is over is ignored.
//! 3. When the last local worker has ended, or the server has failed, so have all runs, and those that are
//!    started later.

use super::links::Links;
use super::runtime::{self, Alarm};
use crate::RunError;
use crate::cluster::sum::Sum;
use crate::cluster::{Cluster, Farewell, Introduction};
use crate::mailbox::{INBOX, Input, RunNumber, Start};
use crate::run::in_progress::{Over, RunInProgress};
use common::ids::{Incarnation, SetupId};
use common::protocol::coordinator::{Cause, Limits, ProtocolError};
use common::selftest::NumericsDigest;
use host::clock::Clock;
use host::trace;
use proto::message::{Answer, Hello, ReceivedMessage, WorkerMessage};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot};

/// Most inputs that are taken before deadlines are looked at again.
const INPUTS_AT_ONCE: usize = 4 * INBOX;

/// The state of the driver.
pub(crate) struct Driver {
    pub(super) clock: Clock,
    pub(super) cluster: Cluster<Sum>,
    pub(super) links: Links,
    heartbeat_timeout_us: u64,
    /// Threads that add gradients.
    threads: NonZeroUsize,
    entrance: Entrance,
    pub(super) runs: BTreeMap<SetupId, Entry>,
    /// For each setup number that was in use: one above the highest number of parameters.
    params: BTreeMap<SetupId, u64>,
    /// Why no run can go on any more.
    unusable: Option<Unusable>,
}

/// Where workers come in over TCP.
#[derive(Clone, Debug)]
pub(crate) struct Entrance {
    /// The listener's address, if there is one.
    pub(crate) address: Option<SocketAddr>,
    /// Where a token lies that they need, if they need one.
    pub(crate) token_file: Option<PathBuf>,
}

/// A run in progress, and who waits for it.
pub(super) struct Entry {
    pub(super) run: RunInProgress,
    number: RunNumber,
    over: oneshot::Sender<Over>,
}

/// Reason why no run can go on any more.
#[derive(Clone, Debug)]
enum Unusable {
    /// All local workers have ended.
    NoLocalWorkers,
    /// The gRPC server has failed.
    Server { address: String, what: String },
}

impl Unusable {
    fn error(&self) -> RunError {
        match self.clone() {
            Self::NoLocalWorkers => RunError::NoLocalWorkers,
            Self::Server { address, what } => RunError::Server { address, what },
        }
    }
}

impl Driver {
    /// A driver without connections or runs.
    pub(crate) fn new(clock: Clock, limits: Limits, entrance: Entrance, threads: NonZeroUsize) -> Self {
        let now_us = clock.now_us();
        Self {
            clock,
            cluster: Cluster::by_the_rules(now_us, limits, first_incarnation()),
            links: Links::default(),
            heartbeat_timeout_us: limits.heartbeat_timeout_us,
            threads,
            entrance,
            runs: BTreeMap::new(),
            params: BTreeMap::new(),
            unusable: None,
        }
    }

    /// Runs until the session is closed, and says goodbye to the workers.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Input>) {
        let last = self.serve(&mut inbox).await;
        self.cluster.close_all(&last);
        self.perform();
        self.end_all(|| RunError::Closed);
    }

    /// Begins a run, unless the cluster can't compute it.
    pub(crate) fn start(&mut self, start: Start) {
        let Start { number, mut run, numerics, resumed, over } = start;
        let other = |recorded: NumericsDigest| {
            let promised = self.cluster.machine().contradicts(recorded)?;
            Some(RunError::OtherArithmetic { recorded, promised })
        };
        let can_start = match &self.unusable {
            Some(why) => Err(why.error()),
            None => numerics.and_then(other).map_or(Ok(()), Err),
        };
        run.introduce(&self.entrance, resumed);
        match can_start {
            Ok(()) => {
                let setup = run.setup_id();
                run.begin(&mut self.cluster, self.params.get(&setup).copied().unwrap_or(0));
                self.runs.insert(setup, Entry { run, number, over });
            }
            Err(error) => hand_back(over, run.end(Err(error))),
        }
    }

    /// Ends a run. The others go on.
    pub(super) fn end(&mut self, setup: SetupId, result: Result<(), RunError>) {
        let Some(Entry { run, over, .. }) = self.runs.remove(&setup) else { return };
        self.params.insert(setup, run.next_params());
        self.cluster.end_run(self.clock.now_us(), setup);
        hand_back(over, run.end(result));
    }

    /// Serves until the session is closed. Returns the last word for the workers.
    async fn serve(&mut self, inbox: &mut mpsc::Receiver<Input>) -> Farewell {
        let mut alarm = Alarm::set(self.clock.instant(self.deadline_us()));
        self.perform();
        loop {
            let ahead = self.prefetch(inbox).await;
            let first = match ahead {
                Some(input) => Some(input),
                None => {
                    alarm.ring_at(self.clock.instant(self.deadline_us()));
                    let _waiting = trace::span("wait");
                    tokio::select! {
                        biased;
                        input = inbox.recv() => match input {
                            Some(input) => Some(input),
                            // Without a sender there is no session any more.
                            None => return Farewell::Failed,
                        },
                        () = alarm.rings() => None,
                    }
                }
            };
            if let Some(last) = self.inputs(first, inbox).await {
                return last;
            }
            self.tick();
            self.end_what_is_over();
        }
    }

    /// Takes `first` and what else has arrived. Returns the last word for the workers, if the session is to
    /// be closed.
    async fn inputs(&mut self, first: Option<Input>, inbox: &mut mpsc::Receiver<Input>) -> Option<Farewell> {
        let mut next = first;
        for _ in 0..INPUTS_AT_ONCE {
            if next.is_none() && self.clock.now_us() >= self.deadline_us() {
                // What has arrived counts before any deadline does. The inbox may not hold all of it at once.
                runtime::read_pipes().await;
                next = inbox.try_recv().ok();
            }
            let last = self.input(next?);
            if last.is_some() {
                return last;
            }
            next = inbox.try_recv().ok();
        }
        None
    }

    /// Gathers the next steps' samples while nobody wants anything. Returns an input that has come meanwhile.
    async fn prefetch(&mut self, inbox: &mut mpsc::Receiver<Input>) -> Option<Input> {
        while self.runs.values().any(|entry| entry.run.can_prefetch()) {
            // What is queued for workers goes out first.
            runtime::write_pipes().await;
            if let Ok(input) = inbox.try_recv() {
                return Some(input);
            }
            self.runs.values_mut().for_each(|entry| entry.run.prefetch());
        }
        None
    }

    fn deadline_us(&self) -> u64 {
        let runs = self.runs.values().filter_map(|entry| entry.run.deadline_us());
        runs.chain([self.cluster.deadline_us()]).min().unwrap_or(u64::MAX)
    }

    fn tick(&mut self) {
        let now_us = self.clock.now_us();
        if self.cluster.tick(now_us) {
            self.give_up_the_stuck(now_us);
            let links = &self.links;
            self.cluster.tell_usage(|connection| links.usage(connection));
        }
        self.perform();
        let links = &self.links;
        self.cluster.admit_gradients(now_us, |connection| links.arrived(connection));
        self.perform();
    }

    /// Drops workers that read nothing, and workers whose gradients do not arrive.
    fn give_up_the_stuck(&mut self, now_us: u64) {
        let look_us = self.cluster.heartbeat_us();
        for (connection, still_us) in self.links.not_reading(now_us, look_us, self.heartbeat_timeout_us) {
            if let Some(who) = self.cluster.on(connection) {
                self.cluster.give_up(now_us, who, Cause::NotReading { still_us });
            }
        }
        let links = &self.links;
        for (who, cause) in self.cluster.stalled(now_us, look_us, |connection| links.arrived(connection)) {
            self.cluster.give_up(now_us, who, cause);
        }
    }

    fn end_what_is_over(&mut self) {
        for setup in self.runs.keys().copied().collect::<Vec<_>>() {
            let Some(Entry { run, .. }) = self.runs.get_mut(&setup) else { continue };
            match run.is_over(&mut self.cluster) {
                Ok(false) => {}
                Ok(true) => self.end(setup, Ok(())),
                Err(error) => self.end(setup, Err(error)),
            }
        }
        self.perform();
    }

    fn end_all(&mut self, error: impl Fn() -> RunError) {
        for setup in self.runs.keys().copied().collect::<Vec<_>>() {
            self.end(setup, Err(error()));
        }
    }

    fn fail(&mut self, why: Unusable) {
        self.end_all(|| why.error());
        self.unusable = Some(why);
    }

    /// Takes an input. Returns the last word for the workers, if the session is to be closed.
    fn input(&mut self, input: Input) -> Option<Farewell> {
        let now_us = self.clock.now_us();
        match input {
            Input::Hello { connection, hello: Hello { name, instance, threads, numerics }, outbox } => {
                let (address, key) = outbox.peer();
                self.links.open(connection, outbox);
                let hello = Introduction { name, key, instance, address, threads, numerics };
                self.cluster.hello(now_us, connection, hello);
            }
            Input::Announced { connection, round, node, enter } => {
                if self.cluster.announced(now_us, connection, round, node) {
                    self.links.wait(connection, enter);
                }
            }
            Input::Message { connection, message } => self.message(now_us, connection, message),
            Input::Invalid { connection, what } => self.cluster.invalid(now_us, connection, what),
            Input::Ended { connection, why } => self.cluster.ended(now_us, connection, why),
            Input::Start(start) => self.start(*start),
            Input::Done(number, done) => {
                self.with_run(number, |run, cluster| run.done(cluster, done));
            }
            Input::Stop(number) => self.with_run(number, |run, cluster| {
                run.stop(cluster);
                Ok(())
            }),
            Input::NoLocalWorkers => self.fail(Unusable::NoLocalWorkers),
            Input::ServerFailed { address, what } => self.fail(Unusable::Server { address, what }),
            Input::Close(last) => return Some(last),
        }
        self.perform();
        None
    }

    /// Calls a run that is in progress. If the call fails the run has.
    fn with_run(
        &mut self,
        number: RunNumber,
        call: impl FnOnce(&mut RunInProgress, &mut Cluster<Sum>) -> Result<(), RunError>,
    ) {
        let entry = self.runs.iter().find(|(_, entry)| entry.number == number);
        if let Some((&setup, _)) = entry {
            self.of_run(setup, call);
        }
    }

    fn message(&mut self, now_us: u64, connection: u64, message: Option<ReceivedMessage>) {
        match message {
            // Only an answer has parts.
            None => self.cluster.heard(now_us, connection, true),
            // What is shared is settled where the stream is read.
            Some(WorkerMessage::Heartbeat(_) | WorkerMessage::Sharing(_)) => {
                self.cluster.heard(now_us, connection, false);
            }
            Some(WorkerMessage::Leave) => self.cluster.left(now_us, connection),
            Some(WorkerMessage::Hello(_)) => {
                self.cluster.invalid(now_us, connection, ProtocolError::SecondHello);
            }
            Some(WorkerMessage::Answer(received)) => {
                let Answer { incarnation, round, node, .. } = received.answer;
                let sum = Sum::of(received, self.threads);
                trace::within("add", || {
                    self.cluster.answer(now_us, connection, incarnation, round, node, sum);
                });
            }
        }
    }
}

/// Hands a run back to whoever started it.
fn hand_back(to: oneshot::Sender<Over>, over: Over) {
    if let Err(Over { threads, .. }) = to.send(over) {
        // Nobody waits for it any more. Its threads may take a while, which must hold up no other run.
        let _ = std::thread::Builder::new().name("ending".into()).spawn(|| threads.finish());
    }
}

/// Where this coordinator's numbers begin: far from those of an earlier one, whose workers may still answer.
fn first_incarnation() -> Incarnation {
    Incarnation(host::random() << 32)
}
