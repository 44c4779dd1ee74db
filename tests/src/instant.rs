//! A worker that computes nothing: it answers every piece at once, so what is left of a step is the exchange.
//!
//! It receives, decodes, encodes and sends with the real worker's client. In place of a gradient it sends back the
//! parameters that it was sent.

use common::ids::Incarnation;
use common::metrics::{Confusion, Totals};
use common::numerics::NumericsDigest;
use proto::message::{Answer, AnswerBody, CoordinatorMessage, Hello, Inspection, Piece, Task, WorkerMessage};
use proto::values::Values;
use std::time::Instant;
use tokio::sync::mpsc;
use worker::client::Connection;
use worker::driver::Input;

/// Messages between the client and this worker.
const INBOX: usize = 16;

/// Works until the coordinator ends the stream; returns when each step's parameters had arrived.
///
/// # Errors
/// How the stream ended, if not with the end of the run.
pub async fn work(address: &str, name: &str) -> Result<Vec<Instant>, String> {
    let (sender, mut inbox) = mpsc::channel(INBOX);
    let hello = WorkerMessage::Hello(Hello {
        name: name.to_owned(),
        threads: 1,
        numerics: NumericsDigest::default(),
    });
    let connection = Connection::open(0, address, hello, sender);
    let mut incarnation = Incarnation::default();
    let (mut parameters, mut arrivals) = (Values::default(), Vec::new());
    loop {
        let message = match inbox.recv().await {
            Some(Input::Message { message: Some(message), .. }) => *message,
            Some(Input::Ended { why, .. }) => return Err(why),
            Some(_) => continue,
            None => return Err("the client has ended".to_owned()),
        };
        match message {
            CoordinatorMessage::Welcome(welcome) => incarnation = welcome.incarnation,
            CoordinatorMessage::Parameters { values, .. } => {
                arrivals.push(Instant::now());
                parameters = values;
            }
            CoordinatorMessage::Piece(piece) => {
                connection.send(WorkerMessage::Answer(answer(incarnation, &piece, &mut parameters)))?;
            }
            CoordinatorMessage::Spare(_) => {}
            CoordinatorMessage::Heartbeat => connection.send(WorkerMessage::Heartbeat)?,
            CoordinatorMessage::Finished => return Ok(arrivals),
            CoordinatorMessage::Refused { reason, .. } | CoordinatorMessage::Dropped(reason) => {
                return Err(reason);
            }
        }
    }
}

fn answer(incarnation: Incarnation, piece: &Piece, parameters: &mut Values) -> Answer {
    let mut confusion = Confusion::default();
    let labels = piece.leaves.iter().flat_map(|leaf| leaf.labels());
    labels.for_each(|&label| confusion.count(label, label));
    let samples = piece.leaves.iter().map(|leaf| leaf.len() as u64).sum();
    let body = match piece.task {
        Task::Train => AnswerBody::Gradient(std::mem::take(parameters)),
        Task::Evaluate => AnswerBody::Confusion(Box::new(confusion)),
    };
    let totals = Totals { samples, correct: samples, loss_sum: 0.0 };
    Answer {
        incarnation,
        round: piece.round,
        node: piece.node,
        totals,
        body,
        inspection: Inspection::default(),
    }
}
