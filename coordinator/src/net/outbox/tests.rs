//! The messages that wait for a worker stay few, whatever it does.

use super::*;
use common::data::digits::{PIXELS, SPEC};
use common::data::samples::Samples;
use common::ids::{ParamsId, Round, Step};
use common::reduce::tree::{Node, Tree};
use futures_util::FutureExt;
use proto::message::Task;

/// Bytes of an image and its label.
const SAMPLE_BYTES: usize = PIXELS + size_of::<u16>();

fn parameters(id: u64) -> Outgoing {
    parameters_of(SetupId(0), id)
}

fn parameters_of(setup: SetupId, id: u64) -> Outgoing {
    Outgoing::Parameters(Arc::new(EncodedParameters::new(ParamsId(id), setup, Arc::new(vec![0.0; 4]))))
}

fn piece(round: u64, images: usize) -> Outgoing {
    piece_of_setup(SetupId(0), round, images)
}

fn piece_of_setup(setup: SetupId, round: u64, images: usize) -> Outgoing {
    let samples = Samples::new(SPEC, vec![0; images * PIXELS], vec![0; images]).unwrap();
    Outgoing::Message(CoordinatorMessage::Piece(Piece {
        round: Round(round),
        step: Step(0),
        task: Task::Train,
        setup,
        parameters: ParamsId(round),
        tree: Tree::new(1),
        node: Node::leaf(0),
        leaves: vec![samples],
    }))
}

/// A short text for each waiting message.
fn waiting(queue: &Queue) -> Vec<String> {
    let short = |outgoing: &Outgoing| match outgoing {
        Outgoing::Parameters(parameters) => format!("parameters {}", parameters.id()),
        Outgoing::Message(CoordinatorMessage::Piece(piece)) => format!("piece of {}", piece.round),
        Outgoing::Message(_) => "message".to_owned(),
    };
    queue.lock().waiting.iter().map(short).collect()
}

fn message() -> Outgoing {
    Outgoing::Message(CoordinatorMessage::Finished)
}

#[test]
fn newer_parameters_replace_older_ones_and_their_pieces() {
    let queue = Queue::default();
    for round in 1..=100 {
        queue.push(parameters(round)).unwrap();
        queue.push(piece(round, 1)).unwrap();
        queue.push(piece(round, 2)).unwrap();
        queue.push(Outgoing::Message(CoordinatorMessage::Heartbeat)).unwrap();
    }
    assert_eq!(waiting(&queue), ["parameters 100", "piece of 100", "piece of 100"]);
    assert_eq!(queue.lock().bytes, 3 * SAMPLE_BYTES);
}

#[test]
fn nothing_waits_of_a_setup_that_is_to_be_forgotten() {
    let queue = Queue::default();
    let other = SetupId(1);
    let forget = Outgoing::Message(CoordinatorMessage::Forget(SetupId(0)));
    let waits = [parameters(7), piece(1, 1), parameters_of(other, 8), piece_of_setup(other, 2, 1), forget];
    waits.into_iter().for_each(|new| queue.push(new).unwrap());
    assert_eq!(waiting(&queue), ["parameters 8", "piece of 2", "message"]);
}

#[test]
fn a_later_round_without_new_parameters_replaces_its_pieces() {
    let queue = Queue::default();
    [parameters(7), piece(1, 1), message(), piece(2, 1)].into_iter().for_each(|new| queue.push(new).unwrap());
    assert_eq!(waiting(&queue), ["parameters 7", "message", "piece of 2"]);
}

#[test]
fn what_waits_of_other_runs_stays() {
    let queue = Queue::default();
    let other = SetupId(1);
    for new in [parameters(7), piece(1, 1), parameters_of(other, 8), piece_of_setup(other, 2, 1)] {
        queue.push(new).unwrap();
    }
    assert_eq!(waiting(&queue), ["parameters 7", "piece of 1", "parameters 8", "piece of 2"]);
    queue.push(piece(3, 1)).unwrap();
    assert_eq!(waiting(&queue), ["parameters 7", "parameters 8", "piece of 2", "piece of 3"]);
    queue.push(parameters_of(other, 9)).unwrap();
    assert_eq!(waiting(&queue), ["parameters 7", "piece of 3", "parameters 9"]);
}

#[test]
fn too_many_messages_or_bytes_are_an_error() {
    let queue = Queue::default();
    (0..OUTBOX_MESSAGES).for_each(|_| queue.push(message()).unwrap());
    assert_eq!(queue.push(message()), Err(SendError::Full));
    let queue = Queue::default();
    let half = OUTBOX_BYTES_MAX / SAMPLE_BYTES / 2 + 1;
    queue.push(piece(1, half)).unwrap();
    assert_eq!(queue.push(piece(1, half)), Err(SendError::Full));
    queue.push(piece(2, 3 * half)).unwrap();
}

#[test]
fn what_was_queued_is_sent_before_the_stream_ends() {
    let queue = Arc::new(Queue::default());
    let (open, _closed) = oneshot::channel();
    let outbox = Outbox::new(Arc::clone(&queue), Arc::default(), open);
    let mut sent = Taker::of(Arc::clone(&queue));
    assert!(sent.next().now_or_never().is_none(), "nothing waits");
    [parameters(1), piece(1, 1)].into_iter().for_each(|new| outbox.send(new).unwrap());
    drop(outbox);
    let kinds =
        [(); 3].map(|()| sent.next().now_or_never().expect("no wait").map(|next| piece_of(&next).is_some()));
    assert_eq!(kinds, [Some(false), Some(true), None]);
    drop(sent);
    assert_eq!(queue.push(message()), Err(SendError::Closed));
}

#[test]
fn a_connection_that_takes_nothing_is_noticed() {
    let queue = Arc::new(Queue::default());
    let (open, _closed) = oneshot::channel();
    let mut outbox = Outbox::new(queue, Arc::default(), open);
    outbox.stalled_us(0, 10);
    assert_eq!(outbox.stalled_us(10, 10), 0, "nothing waits");
    outbox.send(message()).unwrap();
    assert_eq!([20, 30].map(|now_us| outbox.stalled_us(now_us, 10)), [10, 20]);
}
