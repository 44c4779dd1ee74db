//! A worker that computes correctly and sends what a script makes of its answers.
//!
//! It uses the real worker's client and compute threads.

use common::ids::{Incarnation, Instance};
use common::selftest::NumericsDigest;
use proto::message::{Answer, CoordinatorMessage, Hello, Usage, WorkerMessage};
use proto::setup::Setup;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use worker::client::{Connection, Way};
use worker::mailbox::Input;
use worker::pool::{Outcome, Parameters, Pool};

/// Timeout for a stream to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most messages between the client, the pool and this worker.
const INBOX: usize = 16;

/// The hello of an honest worker of this machine, each time of a new process.
///
/// # Panics
/// When this machine's self-test fails.
#[must_use]
pub fn hello(name: &str) -> Hello {
    static NUMERICS: OnceLock<NumericsDigest> = OnceLock::new();
    let numerics = *NUMERICS.get_or_init(|| worker::selftest::digest().expect("this machine computes"));
    Hello { name: name.to_owned(), instance: Instance(host::random().max(1)), threads: 1, numerics }
}

/// Works until the stream ends. Sends what `script` returns for each answer.
///
/// # Errors
/// How the stream ended, unless the run is complete.
///
/// # Panics
/// When threads can't be started.
pub fn work(
    address: &str,
    hello: Hello,
    script: impl FnMut(Answer) -> Vec<WorkerMessage>,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a thread").block_on(async { Scripted::join(address, hello).work(script).await })
}

/// Sends `hello` and then `more`, whatever the coordinator answers, and reads until the stream ends.
///
/// # Errors
/// The coordinator's last message, or how the stream ended without one.
///
/// # Panics
/// When the runtime can't be started, or the stream does not end.
pub fn say(address: &str, hello: Hello, more: Vec<WorkerMessage>) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (sender, mut inbox) = mpsc::channel(INBOX);
        let connection = Connection::open(0, &Way::plain(address), WorkerMessage::Hello(hello), sender);
        more.into_iter().try_for_each(|message| connection.send(message))?;
        let last = async {
            loop {
                match inbox.recv().await {
                    Some(Input::Message { message: Some(message), .. }) => match *message {
                        CoordinatorMessage::Finished => return Ok(()),
                        CoordinatorMessage::Dropped(reason) | CoordinatorMessage::Refused { reason, .. } => {
                            return Err(reason);
                        }
                        _ => {}
                    },
                    Some(Input::Ended { why, .. }) => return Err(why),
                    Some(_) => {}
                    None => return Err("the client has ended".to_owned()),
                }
            }
        };
        tokio::time::timeout(PATIENCE, last).await.expect("the stream ends")
    })
}

struct Scripted {
    connection: Connection,
    pool: Pool,
    inbox: mpsc::Receiver<Input>,
    incarnation: Incarnation,
    setup: Option<Arc<Setup>>,
    parameters: Option<Arc<Parameters>>,
}

impl Scripted {
    fn join(address: &str, hello: Hello) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX);
        let outcomes = sender.clone();
        let deliver = move |outcome| drop(outcomes.blocking_send(Input::Pool(outcome)));
        Self {
            connection: Connection::open(0, &Way::plain(address), WorkerMessage::Hello(hello), sender),
            pool: Pool::start(1, deliver).expect("a thread"),
            inbox,
            incarnation: Incarnation::default(),
            setup: None,
            parameters: None,
        }
    }

    async fn work(mut self, mut script: impl FnMut(Answer) -> Vec<WorkerMessage>) -> Result<(), String> {
        loop {
            match self.inbox.recv().await {
                Some(Input::Pool(Outcome::Computed(answer))) => {
                    let sent =
                        script(answer).into_iter().try_for_each(|message| self.connection.send(message));
                    // A coordinator that has dropped this worker reads nothing more; its reason is on its
                    // way.
                    if let Err(why) = sent {
                        return Err(self.last_word().await.unwrap_or(why));
                    }
                }
                Some(Input::Pool(Outcome::Failed(why)) | Input::Ended { why, .. }) => return Err(why),
                Some(Input::Message { message: Some(message), .. }) => match *message {
                    CoordinatorMessage::Finished => return Ok(()),
                    message => self.message(message)?,
                },
                _ => {}
            }
        }
    }

    /// Why the coordinator has dropped this worker, if it says so.
    async fn last_word(&mut self) -> Option<String> {
        let reason = async {
            loop {
                match self.inbox.recv().await? {
                    Input::Message { message: Some(message), .. } => {
                        if let CoordinatorMessage::Dropped(reason) = *message {
                            return Some(reason);
                        }
                    }
                    Input::Ended { .. } => return None,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, reason).await.ok().flatten()
    }

    fn message(&mut self, message: CoordinatorMessage) -> Result<(), String> {
        match message {
            CoordinatorMessage::Welcome(welcome) => self.incarnation = welcome.incarnation,
            CoordinatorMessage::Setup(setup) => self.setup = Some(setup),
            CoordinatorMessage::Forget(_) => self.setup = None,
            CoordinatorMessage::Parameters { id, values, .. } => {
                let setup = self.setup.clone().ok_or("parameters before a setup")?;
                self.parameters = Some(Arc::new(Parameters { setup, id, values }));
            }
            CoordinatorMessage::Piece(piece) => {
                let parameters = self.parameters.clone().ok_or("a piece before parameters")?;
                self.pool.compute(self.incarnation, piece, parameters);
            }
            CoordinatorMessage::Heartbeat => {
                self.connection.send(WorkerMessage::Heartbeat(Usage::default()))?
            }
            CoordinatorMessage::Dropped(reason) | CoordinatorMessage::Refused { reason, .. } => {
                return Err(reason);
            }
            CoordinatorMessage::Spare(_) | CoordinatorMessage::Sharing(_) | CoordinatorMessage::Finished => {}
        }
        Ok(())
    }
}
