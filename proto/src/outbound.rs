//! Conversion of our own messages to wire messages. It can't fail: a message that can't be encoded is a bug.

use crate::message::{
    Answer, AnswerBody, CoordinatorMessage, Hello, Piece, Pipe, REASON_BYTES_MAX, Sharing, Spare, Task,
    Usage, Welcome, WorkerMessage,
};
use crate::parameters::EncodedParameters;
use crate::setup::Setup;
use crate::values::Values;
use crate::wire::{self, from_coordinator, from_worker};
use crate::{PROTOCOL_VERSION, tensor};
use common::data::normalize::{Channel, Normalization};
use common::data::samples::Samples;
use common::ids::SetupId;
use common::reduce::precision::Precision;
use common::reduce::tree::Node;
use common::train::distil::{Blend, Teacher};
use common::train::pseudo::Guess;
use prost::bytes::Bytes;
use std::sync::Arc;

/// Size of a leaf's images in one message, in bytes: two of the largest images.
const LEAF_MESSAGE_BYTES: usize = 512 * 1024;

/// The wire messages of one message to a worker.
#[must_use]
pub fn from_coordinator(message: CoordinatorMessage) -> Vec<wire::FromCoordinator> {
    use from_coordinator::Message;
    let one = match message {
        CoordinatorMessage::Welcome(welcome) => Message::Welcome(to_welcome(welcome)),
        CoordinatorMessage::Spare(Spare { ahead, heartbeat_ms, timeout_ms }) => {
            Message::Spare(wire::Spare { ahead, heartbeat_ms, timeout_ms })
        }
        CoordinatorMessage::Refused { reason, retry } => {
            Message::Refused(wire::Refused { reason: cut(reason), retry })
        }
        CoordinatorMessage::Heartbeat => Message::Heartbeat(wire::Heartbeat::default()),
        CoordinatorMessage::Setup(setup) => return self::setup(setup).collect(),
        CoordinatorMessage::Forget(SetupId(setup)) => Message::Forget(wire::Forget { setup }),
        CoordinatorMessage::Parameters { id, setup, values } => {
            let parameters = EncodedParameters::new(id, setup, Arc::new(values.to_vec()));
            return Arc::new(parameters).messages().collect();
        }
        CoordinatorMessage::Piece(piece) => return to_piece(piece),
        CoordinatorMessage::Finished => Message::Finished(wire::Finished {}),
        CoordinatorMessage::Dropped(reason) => Message::Dropped(wire::Dropped { reason: cut(reason) }),
        CoordinatorMessage::Sharing(sharing) => Message::Sharing(to_sharing(sharing)),
    };
    vec![to_worker(one)]
}

/// The wire messages of a setup. A teacher's chunks are made as they are asked for.
pub fn setup(setup: Arc<Setup>) -> impl Iterator<Item = wire::FromCoordinator> + Send {
    let head = from_coordinator::Message::Setup(to_setup(&setup));
    let chunks = (0..setup.message_form().teacher.div_ceil(tensor::CHUNK_VALUES)).map(move |index| {
        let params = setup.teacher.as_ref().map_or(&[][..], |(teacher, _)| &teacher.params);
        from_coordinator::Message::Chunk(tensor::chunk(tensor::part(params, index), Precision::F32))
    });
    std::iter::once(head).chain(chunks).map(to_worker)
}

/// The wire messages of one message to the coordinator. A gradient's chunks are made as they are asked for.
/// `place` may put the bytes at an offset of the tensor where the receiver can read them, and returns that
/// place.
pub fn from_worker(
    message: WorkerMessage,
    place: impl FnMut(u64, &[u8]) -> Option<u64>,
) -> impl Iterator<Item = wire::FromWorker> {
    use from_worker::Message;
    let one = match message {
        WorkerMessage::Hello(Hello { name, instance, threads, numerics }) => Message::Hello(wire::Hello {
            protocol_version: PROTOCOL_VERSION,
            name,
            threads,
            numerics: numerics.0,
            instance: instance.0,
        }),
        WorkerMessage::Heartbeat(Usage { cpu_us, resident_bytes }) => {
            Message::Heartbeat(wire::Heartbeat { cpu_us, resident_bytes })
        }
        WorkerMessage::Leave => Message::Leave(wire::Leave {}),
        WorkerMessage::Sharing(sharing) => Message::Sharing(to_sharing(sharing)),
        WorkerMessage::Answer(answer) => {
            let precision = answer.precision;
            let (head, gradient) = to_answer(answer);
            return to_messages(Message::Answer(head), gradient, precision, place);
        }
    };
    to_messages(one, Values::default(), Precision::F32, place)
}

fn to_worker(message: from_coordinator::Message) -> wire::FromCoordinator {
    wire::FromCoordinator { message: Some(message) }
}

fn to_coordinator(message: from_worker::Message) -> wire::FromWorker {
    wire::FromWorker { message: Some(message) }
}

fn to_node(node: Node) -> wire::Node {
    wire::Node { level: node.level.into(), index: node.index }
}

fn to_welcome(welcome: Welcome) -> wire::Welcome {
    wire::Welcome {
        incarnation: welcome.incarnation.0,
        rank: welcome.rank.0,
        run_id: welcome.run_id,
        heartbeat_ms: welcome.heartbeat_ms,
        timeout_ms: welcome.timeout_ms,
    }
}

fn to_setup(setup: &Setup) -> wire::Setup {
    let input = setup.model.input();
    wire::Setup {
        id: setup.id.0,
        data: Some(wire::DataSpec {
            height: input.height() as u32,
            width: input.width() as u32,
            channels: input.channels() as u32,
            classes: input.classes() as u32,
        }),
        layers: setup.model.layers().to_string(),
        dtype: tensor::dtype(setup.precision).into(),
        seed: setup.seed,
        normalization: to_normalization(&setup.normalization),
        augment: setup.augment.to_string(),
        label_smoothing: setup.objective.label_smoothing,
        class_weights: setup.objective.class_weights.as_slice().to_vec(),
        rounded_weights: setup.rounded_weights,
        teacher: setup.teacher.as_ref().map(|(teacher, blend)| to_teacher(teacher, *blend)),
    }
}

fn to_teacher(teacher: &Teacher, blend: Blend) -> wire::Teacher {
    wire::Teacher {
        layers: teacher.architecture.layers().to_string(),
        normalization: to_normalization(&teacher.normalization),
        tensor: Some(tensor::head(&teacher.params, Precision::F32)),
        weight: blend.weight,
        temperature: blend.temperature,
    }
}

fn to_normalization(normalization: &Normalization) -> Option<wire::Normalization> {
    match normalization {
        Normalization::Unit => None,
        Normalization::Standard(channels) => Some(wire::Normalization {
            mean: channels.iter().map(Channel::mean).collect(),
            deviation: channels.iter().map(Channel::deviation).collect(),
        }),
    }
}

fn to_piece(piece: Piece) -> Vec<wire::FromCoordinator> {
    let task = match piece.task {
        Task::Train => wire::Task::Train,
        Task::Evaluate => wire::Task::Evaluate,
        Task::EvaluateViews => wire::Task::EvaluateViews,
        Task::Guess => wire::Task::Guess,
        Task::EvaluateEach => wire::Task::EvaluateEach,
    };
    let head = wire::Piece {
        round: piece.round.0,
        task: task.into(),
        parameters: piece.parameters.0,
        setup: piece.setup.0,
        tree_leaves: piece.tree.leaves(),
        node: Some(to_node(piece.node)),
        step: piece.step.0,
    };
    let leaves = piece.leaves.into_iter().flat_map(to_leaf);
    std::iter::once(from_coordinator::Message::Piece(head)).chain(leaves).map(to_worker).collect()
}

/// Splits a leaf into messages of whole samples.
fn to_leaf(samples: Samples) -> Vec<from_coordinator::Message> {
    let image_bytes = samples.spec().image_bytes();
    let at_once = (LEAF_MESSAGE_BYTES / image_bytes).max(1);
    let (pixels, labels) = samples.into_parts();
    let pixels = Bytes::from(pixels);
    let count = labels.len();
    let part = |start: usize| {
        let end = count.min(start + at_once);
        from_coordinator::Message::Leaf(wire::LeafSamples {
            pixels: pixels.slice(start * image_bytes..end * image_bytes),
            labels: labels[start..end].iter().map(|&label| label.into()).collect(),
            more: end < count,
        })
    };
    (0..count).step_by(at_once).map(part).collect()
}

/// Splits an answer into its head and the gradient that follows it.
fn to_answer(answer: Answer) -> (wire::Answer, Values) {
    use wire::answer::Body;
    let (body, gradient) = match answer.body {
        AnswerBody::Gradient(values) => (Body::Gradient(tensor::head(&values, answer.precision)), values),
        AnswerBody::Confusion(confusion) => {
            let (cells, counts) = confusion.sparse().unzip();
            (Body::Confusion(wire::Confusion { cells, counts }), Values::default())
        }
        AnswerBody::Guesses(guesses) => {
            let numbers = guesses.iter().flat_map(|&Guess { class, confidence }| [class, confidence]);
            let guesses: Vec<u8> = numbers.flat_map(u16::to_le_bytes).collect();
            (Body::Guesses(wire::Guesses { guesses: guesses.into() }), Values::default())
        }
    };
    let head = wire::Answer {
        incarnation: answer.incarnation.0,
        round: answer.round.0,
        node: Some(to_node(answer.node)),
        samples: answer.totals.samples,
        correct: answer.totals.correct,
        loss_sum: answer.totals.loss_sum,
        body: Some(body),
        setup: answer.setup.0,
    };
    (head, gradient)
}

fn to_messages(
    head: from_worker::Message,
    values: Values,
    precision: Precision,
    mut place: impl FnMut(u64, &[u8]) -> Option<u64>,
) -> impl Iterator<Item = wire::FromWorker> {
    let values = Arc::new(values);
    let carried = Arc::clone(&values);
    let chunks = tensor::chunks(
        values.len(),
        move |index| tensor::place_chunk(&values, index, precision, &mut place),
        move |index| tensor::chunk(tensor::part(&carried, index), precision),
    );
    std::iter::once(head).chain(chunks.map(from_worker::Message::Chunk)).map(to_coordinator)
}

fn to_sharing(sharing: Sharing) -> wire::Sharing {
    use wire::sharing::{Memory, Opened, Pipes, Released, Step, Switched};
    let pipe = |pipe: Pipe| Some(wire::sharing::Pipe { descriptor: pipe.descriptor, inode: pipe.inode });
    let step = match sharing {
        Sharing::Offer { descriptor, token } => Step::Offer(Memory { descriptor, token }),
        Sharing::Opened => Step::Opened(Opened {}),
        Sharing::Released => Step::Released(Released {}),
        Sharing::Pipes { reads, writes } => Step::Pipes(Pipes { reads: pipe(reads), writes: pipe(writes) }),
        Sharing::Switched => Step::Switched(Switched {}),
    };
    wire::Sharing { step: Some(step) }
}

/// Truncates a reason to the length that the other side accepts.
fn cut(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}
