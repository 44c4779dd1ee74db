//! A worker that computes nothing: it answers every piece at once, so that only the exchange is left of a
//! step.
//!
//! It receives, decodes, encodes and sends with the real worker's client. Instead of a gradient it returns
//! the parameters that it received, or zeros for a second piece in the same step.

use common::ids::{Incarnation, Instance, ParamsId};
use common::reduce::precision::Precision;
use common::selftest::PROMISED;
use common::train::metrics::{Confusion, Totals};
use common::train::pseudo::Guess;
use proto::message::{Answer, AnswerBody, CoordinatorMessage, Hello, Piece, Task, Usage, WorkerMessage};
use proto::values::Values;
use tokio::sync::mpsc;
use worker::client::{Connection, Way};
use worker::mailbox::Input;

/// Most messages between the client and this worker.
const INBOX: usize = 16;

/// Progress of such a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// All parameters of this number have arrived.
    Parameters(ParamsId),
    /// A piece has been answered.
    Answered,
}

/// Works until the coordinator ends the stream. Calls `see` for everything that happens.
///
/// # Errors
/// How the stream ended, unless the run is complete.
pub async fn work(way: &Way, name: &str, mut see: impl FnMut(Seen)) -> Result<(), String> {
    let (sender, mut inbox) = mpsc::channel(INBOX);
    let hello = WorkerMessage::Hello(Hello {
        name: name.to_owned(),
        instance: Instance(host::random().max(1)),
        threads: 1,
        numerics: PROMISED,
    });
    let connection = Connection::open(0, way, hello, sender);
    let mut incarnation = Incarnation::default();
    let mut elements = 0;
    let mut parameters = Values::default();
    loop {
        let message = match inbox.recv().await {
            Some(Input::Message { message: Some(message), .. }) => *message,
            Some(Input::Ended { why, .. }) => return Err(why),
            Some(_) => continue,
            None => return Err("the client has ended".to_owned()),
        };
        match message {
            CoordinatorMessage::Welcome(welcome) => incarnation = welcome.incarnation,
            CoordinatorMessage::Parameters { id, values, .. } => {
                see(Seen::Parameters(id));
                elements = values.len();
                parameters = values;
            }
            CoordinatorMessage::Piece(piece) => {
                let answer = answer(incarnation, &piece, elements, &mut parameters);
                connection.send(WorkerMessage::Answer(answer))?;
                see(Seen::Answered);
            }
            CoordinatorMessage::Sharing(_)
            | CoordinatorMessage::Spare(_)
            | CoordinatorMessage::Setup(_)
            | CoordinatorMessage::Forget(_) => {}
            CoordinatorMessage::Heartbeat => connection.send(WorkerMessage::Heartbeat(Usage::default()))?,
            CoordinatorMessage::Finished => return Ok(()),
            CoordinatorMessage::Refused { reason, .. } | CoordinatorMessage::Dropped(reason) => {
                return Err(reason);
            }
        }
    }
}

fn answer(incarnation: Incarnation, piece: &Piece, elements: usize, parameters: &mut Values) -> Answer {
    let mut confusion = Confusion::new(piece.leaves[0].spec().classes());
    let labels = piece.leaves.iter().flat_map(|leaf| leaf.labels());
    labels.for_each(|&label| confusion.count(label, label, 1));
    let samples = piece.leaves.iter().map(|leaf| leaf.len() as u64).sum();
    let body = match piece.task {
        Task::Train => {
            // A second piece of the same step: the received parameters have been returned already.
            let missing = elements - parameters.len();
            let zeros = || vec![0.0; missing].into();
            AnswerBody::Gradient(if missing == 0 { std::mem::take(parameters) } else { zeros() })
        }
        Task::Evaluate | Task::EvaluateViews => AnswerBody::Confusion(Box::new(confusion)),
        Task::EvaluateEach => {
            let labels = piece.leaves.iter().flat_map(|leaf| leaf.labels());
            AnswerBody::Guesses(labels.map(|&class| Guess { class, confidence: 0 }).collect())
        }
        Task::Guess => AnswerBody::Guesses(vec![Guess::default(); samples as usize]),
    };
    let correct = if piece.task == Task::Guess { 0 } else { samples };
    let totals = Totals { samples, correct, loss_sum: 0.0 };
    Answer {
        incarnation,
        setup: piece.setup,
        round: piece.round,
        node: piece.node,
        totals,
        body,
        precision: Precision::F32,
    }
}
