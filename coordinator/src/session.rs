//! A session: a standing cluster on which runs come and go, one after the other and at the same time.
//!
//! It owns the listeners, the server, the local workers and the driver's thread. Workers join it once and
//! compute for all runs. What a run is, [`run`](crate::run) decides; how the cluster shares its workers among
//! runs, the rules in `common::protocol::coordinator`.
//!
//! 1. At most [`SETUPS_MAX`] runs are in progress at the same time; one more is refused.
//! 2. A run that fails, is stopped or is complete leaves the others alone, also in its bits.
//! 3. A run that would go on from a checkpoint of another arithmetic than the program's is refused.
//! 4. The session ends with [`Session::close`]. Runs that are still in progress fail then.
//!
//! ```no_run
//! use clap::Parser;
//! use coordinator::cli::Flags;
//! use coordinator::cluster::Farewell;
//! use coordinator::observe::console::Console;
//! use coordinator::run::prepare_run;
//! use coordinator::session::Session;
//!
//! # async fn sweep() -> Result<(), Box<dyn std::error::Error>> {
//! let flags = |lr| {
//!     Flags::try_parse_from(["program", "--dataset", "digits", "--lr", lr, "--checkpoint-dir", lr])
//! };
//! let console = Console::silent();
//! let session = Session::open(&flags("0.1")?.options()?.cluster, &console)?;
//! // Sending a number above 0 asks a run to end.
//! let (_stop, requests) = tokio::sync::watch::channel(0);
//! let mut running = Vec::new();
//! for lr in ["0.1", "0.01"] {
//!     // It reads data and checkpoints, and blocks: it belongs on another thread where much else is done.
//!     let run = prepare_run(&flags(lr)?.options()?.run, &console)?;
//!     running.push(session.start(run, requests.clone()).await?);
//! }
//! for run in running {
//!     println!("model {}", run.ended().await?.model_sha256);
//! }
//! session.close(Farewell::Finished).await;
//! # Ok(())
//! # }
//! ```

pub(crate) mod driver;
mod links;
mod outputs;
mod runtime;
mod serving;
mod setup_numbers;

pub use crate::net::access::Trust;
pub use crate::net::listener::Listen;

use self::driver::{Driver, Entrance};
use self::runtime::DriverRuntime;
use self::serving::{Server, serve};
use self::setup_numbers::{SetupNumber, SetupNumbers};
use crate::RunError;
use crate::cluster::Farewell;
use crate::local::{Local, LocalWorkers};
use crate::mailbox::{INBOX, Input, RunNumber, Start};
use crate::mirror::{Mirror, Mirrored};
use crate::net::access::AccessError;
use crate::net::listener::Sockets;
use crate::observe::console::Console;
use crate::run::in_progress::{Over, Threads};
use crate::run::{Facts, Launched, PreparedRun, Summary};
use common::protocol::coordinator::Limits;
use host::clock::Clock;
use host::stop::StopRequests;
use proto::setup::{SETUPS_MAX, Setups};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::warn;

/// For adding gradients and updating parameters: more would only wait for memory.
const ARITHMETIC_THREADS_MAX: NonZeroUsize = NonZeroUsize::new(4).expect("4 is not 0");
/// For the driver to end what it is doing, say goodbye and end. Far longer than an update of the largest
/// model.
const DRIVER_GRACE: Duration = Duration::from_secs(30);

/// What an operator chose for a cluster.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Where workers come in.
    pub listen: Listen,
    /// Who may come over TCP.
    pub trust: Trust,
    /// How many workers, and how they are treated.
    pub limits: Limits,
    /// Workers to start here.
    pub local: Option<Local>,
}

/// A standing cluster. Dropping it ends it too, as if it had failed.
pub struct Session {
    inbox: mpsc::Sender<Input>,
    clock: Clock,
    /// The setups that workers may answer to.
    setups: Setups,
    numbers: SetupNumbers,
    /// Runs that were started so far.
    started: AtomicU64,
    address: Option<SocketAddr>,
    local_address: String,
    token_file: Option<PathBuf>,
    local: Option<LocalWorkers>,
    server: Server,
    /// Resolves when the driver's thread has ended.
    driver: oneshot::Receiver<()>,
}

/// A driver that is still to be started, with what its thread needs.
struct Prepared {
    driver: Driver,
    inbox: mpsc::Receiver<Input>,
    runtime: DriverRuntime,
}

/// A run on a session.
#[derive(Debug)]
pub struct Running(JoinHandle<Result<Summary, RunError>>);

/// A run on a session that nobody waits for yet.
pub(crate) struct Started {
    facts: Facts,
    mirror: Option<Mirror>,
    over: oneshot::Receiver<Over>,
    /// Passes on requests to stop.
    asking: JoinHandle<()>,
    /// Held until the run is over.
    _setup: SetupNumber,
}

/// What a run that is over leaves behind.
pub(crate) struct Left {
    threads: Option<Threads>,
    mirror: Option<Mirror>,
}

impl Session {
    /// Opens the listeners and starts the local workers. Must be called within a runtime, in which the
    /// session then lives.
    ///
    /// # Errors
    /// When an address can't be listened on, or a thread or a worker can't be started.
    pub fn open(options: &ClusterOptions, console: &Console) -> Result<Self, RunError> {
        Self::open_on(Sockets::open(&options.listen)?, options, console)
    }

    /// Opens a session on listeners that are open already.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub(crate) fn open_on(
        sockets: Sockets,
        options: &ClusterOptions,
        console: &Console,
    ) -> Result<Self, RunError> {
        let (mut session, prepared) = Self::new(sockets, options, console)?;
        session.drive(prepared)?;
        Ok(session)
    }

    /// Opens a session that begins with a run: no worker is there before it.
    ///
    /// # Errors
    /// As for [`open`](Self::open) and [`start`](Self::start).
    pub(crate) fn open_with(
        sockets: Sockets,
        options: &ClusterOptions,
        console: &Console,
        run: PreparedRun,
        stop: StopRequests,
    ) -> Result<(Self, Started), RunError> {
        let (mut session, mut prepared) = Self::new(sockets, options, console)?;
        let (start, started) = session.launch(run, stop)?;
        prepared.driver.start(start);
        session.drive(prepared)?;
        Ok((session, started))
    }

    /// Where workers can connect over TCP, if they can.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The fastest way for a worker on this machine.
    #[must_use]
    pub fn local_address(&self) -> &str {
        &self.local_address
    }

    /// Where a token lies that workers over TCP need, if they need one.
    #[must_use]
    pub fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// Starts a run beside those that are in progress. A change of `stop` asks it to end.
    ///
    /// # Errors
    /// When too many runs are in progress, a thread can't be started, or the driver has ended. Whether the
    /// cluster can compute the run shows in [`Running::ended`].
    pub async fn start(&self, run: PreparedRun, stop: StopRequests) -> Result<Running, RunError> {
        let (start, started) = self.launch(run, stop.clone())?;
        self.inbox.send(Input::Start(Box::new(start))).await.map_err(|_| RunError::Closed)?;
        Ok(Running(tokio::spawn(async {
            let (result, left) = started.result().await;
            let mirrored = finish(left, stop).await;
            result.map(|summary| Summary { mirrored, ..summary })
        })))
    }

    /// Ends the session, with a last word to its workers. Runs that are in progress fail.
    pub async fn close(self, last: Farewell) {
        let Self { inbox, driver, server, local, .. } = self;
        let end = async {
            // If the receiver is gone the driver has ended already.
            let _ = inbox.send(Input::Close(last)).await;
            let _ = driver.await;
        };
        if tokio::time::timeout(DRIVER_GRACE, end).await.is_err() {
            warn!(waited_s = DRIVER_GRACE.as_secs(), "the driver does not end; its thread is left behind");
        }
        let local_workers = async {
            if let Some(local) = local {
                local.end().await;
            }
        };
        server.end(local_workers).await;
    }

    /// A session whose driver is still to be started.
    fn new(
        sockets: Sockets,
        options: &ClusterOptions,
        console: &Console,
    ) -> Result<(Self, Prepared), RunError> {
        let (inbox, receiver) = mpsc::channel(INBOX);
        let runtime = DriverRuntime::new()?;
        let address = sockets.address;
        let local_address = sockets.local_address.clone();
        let setups = Setups::default();
        let clock = Clock::start();
        let access = sockets.access(&options.trust)?;
        let invitation =
            access.as_ref().map(|access| access.invitation()).transpose().map_err(AccessError::from)?;
        let token_file = invitation.flatten().map(|invitation| {
            options.trust.show(address, &invitation, console);
            invitation.file
        });
        let entrance = Entrance { address, token_file: token_file.clone() };
        let listeners = sockets.listen(access)?;
        let server = serve(listeners, &local_address, options, setups.clone(), &inbox, runtime.pipes());
        let local = match &options.local {
            Some(local) => Some(LocalWorkers::start(local, &local_address, console, &inbox)?),
            None => None,
        };
        let driver = Driver::new(clock, options.limits, entrance, arithmetic_threads());
        let session = Self {
            inbox,
            clock,
            setups,
            numbers: SetupNumbers::default(),
            started: AtomicU64::new(0),
            address,
            local_address,
            token_file,
            local,
            server,
            driver: oneshot::channel().1,
        };
        Ok((session, Prepared { driver, inbox: receiver, runtime }))
    }

    /// Starts the driver's thread.
    fn drive(&mut self, prepared: Prepared) -> Result<(), RunError> {
        let Prepared { driver, inbox, runtime } = prepared;
        let (ended, driver_ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("driver".into()).spawn(move || {
            runtime.run(driver, inbox);
            // Nobody waits where the session was dropped.
            let _ = ended.send(());
        });
        thread.map_err(|source| RunError::Thread { name: "driver", source })?;
        self.driver = driver_ended;
        Ok(())
    }

    /// Starts what belongs to a run, and has its answers accepted from now on.
    fn launch(&self, run: PreparedRun, stop: StopRequests) -> Result<(Start, Started), RunError> {
        let setup = self.numbers.take().ok_or(RunError::TooManyRuns { most: SETUPS_MAX })?;
        let number = RunNumber(self.started.fetch_add(1, Ordering::Relaxed));
        // Weak, because the driver holds the run: else it would wait for inputs that nobody can send.
        let inbox = self.inbox.downgrade();
        let done = move |done| {
            if let Some(inbox) = inbox.upgrade() {
                // The driver is gone only when the run is over.
                let _ = inbox.blocking_send(Input::Done(number, done));
            }
        };
        let Launched { run, facts, resumed, numerics, mirror } =
            run.launch(self.clock, setup.id(), arithmetic_threads(), done)?;
        self.setups.insert(&run.setup());
        let (over, is_over) = oneshot::channel();
        let asking = tokio::spawn(forward(stop, number, self.inbox.downgrade()));
        let started = Started { facts, mirror, over: is_over, asking, _setup: setup };
        Ok((Start { number, run, numerics, resumed, over }, started))
    }
}

impl Running {
    /// Waits until the run is complete, was stopped or has failed, and its threads have ended. A run that
    /// nobody waits for goes on.
    ///
    /// # Errors
    /// When the run fails; the last checkpoint is on disk then.
    pub async fn ended(self) -> Result<Summary, RunError> {
        self.0.await.unwrap_or_else(|error| Err(RunError::Internal(error.to_string())))
    }
}

impl Started {
    /// Waits for the run's end. Its threads may still be at work then ([`finish`]).
    pub(crate) async fn result(self) -> (Result<Summary, RunError>, Left) {
        let over = self.over.await;
        self.asking.abort();
        let left = |threads| Left { threads, mirror: self.mirror };
        match over {
            Ok(Over { result, threads }) => {
                (result.map(|ended| self.facts.summarize(ended)), left(Some(threads)))
            }
            Err(_) => (Err(RunError::Internal("the driver thread panicked".to_owned())), left(None)),
        }
    }
}

/// Waits for the end of a run's threads, and for its last checkpoint to be in the mirror, or until they are
/// left behind. The wait for the mirror is shorter once `stop` asks for an end.
pub(crate) async fn finish(left: Left, stop: StopRequests) -> Option<Mirrored> {
    let Left { threads, mirror } = left;
    let finish = move || {
        threads.into_iter().for_each(Threads::finish);
        mirror.map(|mirror| mirror.finish(&stop))
    };
    // It fails only where the runtime ends.
    tokio::task::spawn_blocking(finish).await.ok().flatten()
}

/// Threads that add gradients and update parameters.
fn arithmetic_threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN).min(ARITHMETIC_THREADS_MAX)
}

/// Passes on requests to stop a run.
async fn forward(mut stop: StopRequests, number: RunNumber, inbox: mpsc::WeakSender<Input>) {
    while stop.changed().await.is_ok() {
        let Some(inbox) = inbox.upgrade() else { return };
        if inbox.send(Input::Stop(number)).await.is_err() {
            return;
        }
    }
}
