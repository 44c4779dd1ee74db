//! A worker that says everything twice, and what is over once more, costs nothing and no bit.
//!
//! gRPC does not repeat messages; a worker with a bug might, and so might one that wants to do harm.

use common::ids::Incarnation;
use common::model::ModelSpec;
use common::precision::Precision;
use proto::message::{Answer, CoordinatorMessage, Hello, Inspection, WorkerMessage};
use std::sync::Arc;
use tests::golden::{Bench, assert_golden};
use tests::process::Process;
use tokio::sync::mpsc;
use worker::client::Connection;
use worker::compute::{Computed, Outcome, Parameters, Pool};
use worker::driver::Input;

/// Messages between the client, the pool and this worker.
const INBOX: usize = 16;

/// Who computes rightly and repeats itself.
struct Repeater {
    connection: Connection,
    pool: Pool,
    inbox: mpsc::Receiver<Input>,
    incarnation: Incarnation,
    model: Option<(ModelSpec, Precision)>,
    parameters: Option<Arc<Parameters>>,
    /// Its answer before the present one.
    old: Option<Answer>,
}

impl Repeater {
    fn join(address: &str) -> Self {
        let (sender, inbox) = mpsc::channel(INBOX);
        let outcomes = sender.clone();
        let deliver = move |outcome| drop(outcomes.blocking_send(Input::Pool(outcome)));
        let numerics = worker::numerics::digest().expect("this machine computes");
        let hello = WorkerMessage::Hello(Hello { name: "repeater".to_owned(), threads: 1, numerics });
        Self {
            connection: Connection::open(0, address, hello, sender),
            pool: Pool::start(1, deliver).expect("a thread"),
            inbox,
            incarnation: Incarnation::default(),
            model: None,
            parameters: None,
            old: None,
        }
    }

    /// Works until the run is over; returns how many answers it has repeated.
    async fn work(mut self) -> Result<u32, String> {
        let mut repeated = 0;
        loop {
            match self.inbox.recv().await {
                Some(Input::Pool(Outcome::Computed(computed))) => {
                    self.answer(computed)?;
                    repeated += 1;
                }
                Some(Input::Pool(Outcome::Failed(why)) | Input::Ended { why, .. }) => return Err(why),
                Some(Input::Message { message: Some(message), .. }) => match *message {
                    CoordinatorMessage::Finished => return Ok(repeated),
                    message => self.message(message)?,
                },
                _ => {}
            }
        }
    }

    fn message(&mut self, message: CoordinatorMessage) -> Result<(), String> {
        match message {
            CoordinatorMessage::Welcome(welcome) => {
                self.incarnation = welcome.incarnation;
                self.model = Some((welcome.model, welcome.precision));
            }
            CoordinatorMessage::Parameters { version, values } => {
                let (model, precision) = self.model.clone().ok_or("parameters before a welcome")?;
                self.parameters = Some(Arc::new(Parameters { model, precision, version, values }));
            }
            CoordinatorMessage::Piece(piece) => {
                let parameters = self.parameters.clone().ok_or("a piece before parameters")?;
                self.pool.compute(self.incarnation, piece, parameters);
            }
            CoordinatorMessage::Heartbeat => {
                self.connection.send(WorkerMessage::Heartbeat)?;
                self.connection.send(WorkerMessage::Heartbeat)?;
            }
            CoordinatorMessage::Dropped(reason) | CoordinatorMessage::Refused { reason, .. } => {
                return Err(reason);
            }
            CoordinatorMessage::Spare(_) | CoordinatorMessage::Sharing(_) | CoordinatorMessage::Finished => {}
        }
        Ok(())
    }

    /// The last answer again, then the new one, twice.
    fn answer(&mut self, computed: Computed) -> Result<(), String> {
        let Computed { incarnation, round, node, totals, body, precision } = computed;
        let inspection = Inspection::default();
        let answer = Answer { incarnation, round, node, totals, body, precision, inspection };
        let old = self.old.replace(answer.clone());
        for answer in old.into_iter().chain([answer.clone(), answer]) {
            self.connection.send(WorkerMessage::Answer(answer))?;
        }
        Ok(())
    }
}

#[test]
fn a_worker_that_repeats_its_answers_adds_nothing_twice() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "2"]);
    let _other = Process::worker(&address, "other");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let repeated = runtime.unwrap().block_on(async { Repeater::join(&address).work().await });
    assert!(repeated.unwrap() > 0);
    let outcome = run.wait();
    assert!(!outcome.errors.contains("worker dropped"), "{}", outcome.errors);
    assert_golden(&outcome);
}
