//! From hostile wire messages to checked ones, one decoder for each direction of a stream.
//!
//! A decoder remembers what must come next (a head is followed by its chunks, a piece by its leaves). After an error
//! the stream is not to be read further.

use crate::message::{
    Answer, AnswerBody, CoordinatorMessage, Hello, Inspection, NAME_BYTES_MAX, Piece, REASON_BYTES_MAX,
    Sharing, Spare, THREADS_MAX, Task, Welcome, WorkerMessage,
};
use crate::tensor::{self, Assembly, Elsewhere, Read};
use crate::values::{Buffers, Values};
use crate::wire::{self, from_coordinator, from_worker};
use crate::{PROTOCOL_VERSION, WireError};
use common::data::samples::Samples;
use common::ids::{Incarnation, Instance, Rank, Round};
use common::model::ModelSpec;
use common::protocol::coordinator::PIECE_LEAVES_MAX;
use common::reduce::precision::Precision;
use common::reduce::tree::{LEAVES_MAX, Node, Tree};
use common::selftest::NumericsDigest;
use common::train::metrics::{Confusion, Totals};

/// Longest time between heartbeats or to a timeout that a coordinator may ask for: an hour.
const PULSE_MS_MAX: u64 = 3_600_000;

/// What a worker sends.
#[derive(Debug)]
pub struct WorkerDecoder {
    /// Parameters of the model: the size of a gradient.
    elements: usize,
    /// Of a gradient's values.
    precision: Precision,
    buffers: Buffers,
    elsewhere: Elsewhere,
    pending: Option<(Answer, Assembly)>,
    /// The answer whose head was the last message.
    announced: Option<(Round, Node)>,
    /// Of the last tensor.
    released: bool,
}

impl WorkerDecoder {
    /// A decoder for gradients of `elements` values that travel in `precision`, which it puts into `buffers`.
    #[must_use]
    pub fn new(elements: usize, precision: Precision, buffers: Buffers) -> Self {
        let elsewhere = Elsewhere::default();
        Self { elements, precision, buffers, elsewhere, pending: None, announced: None, released: false }
    }

    /// From now on chunks may lie in memory that `read` reads.
    pub fn reads(&mut self, read: Read) {
        self.elsewhere = Elsewhere::new(read);
    }

    /// Round and piece of a gradient whose head was the last message: from the next one on it takes a buffer.
    pub fn announced(&mut self) -> Option<(Round, Node)> {
        self.announced.take()
    }

    /// Whether a tensor that lay in the sender's shared memory has been read since the last call.
    pub fn released(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    /// Takes one wire message; returns the message that it completes, if any.
    ///
    /// # Errors
    /// When the message is not one that our own worker would send now.
    pub fn decode(&mut self, message: wire::FromWorker) -> Result<Option<WorkerMessage>, WireError> {
        use from_worker::Message;
        let message = message.message.ok_or(WireError::Missing("content"))?;
        let is_aside = matches!(message, Message::Heartbeat(_) | Message::Sharing(_));
        if self.pending.is_some() && !is_aside && !matches!(message, Message::Chunk(_)) {
            return Err(WireError::Order { expected: "a chunk of the gradient", got: "another message" });
        }
        match message {
            Message::Hello(hello) => check_hello(hello).map(|hello| Some(WorkerMessage::Hello(hello))),
            Message::Heartbeat(_) => Ok(Some(WorkerMessage::Heartbeat)),
            Message::Leave(_) => Ok(Some(WorkerMessage::Leave)),
            Message::Sharing(sharing) => Ok(Some(WorkerMessage::Sharing(check_sharing(&sharing)?))),
            Message::Answer(answer) => self.answer(answer),
            Message::Chunk(chunk) => self.chunk(&chunk),
        }
    }

    fn answer(&mut self, answer: wire::Answer) -> Result<Option<WorkerMessage>, WireError> {
        let totals = Totals { samples: answer.samples, correct: answer.correct, loss_sum: answer.loss_sum };
        in_range("correct", totals.correct, 0, totals.samples)?;
        let checked = Answer {
            incarnation: Incarnation(answer.incarnation),
            round: Round(answer.round),
            node: check_node(answer.node)?,
            totals,
            body: AnswerBody::Gradient(Values::default()),
            precision: self.precision,
            inspection: Inspection::default(),
        };
        match answer.body.ok_or(WireError::Missing("a gradient or counts"))? {
            wire::answer::Body::Gradient(head) => {
                let assembly = Assembly::new(&head, self.elements, self.precision, &self.buffers)?;
                self.announced = Some((checked.round, checked.node));
                self.pending = Some((checked, assembly));
                Ok(None)
            }
            wire::answer::Body::Confusion(counts) => {
                let confusion = Confusion::from_flat(&counts.counts).ok_or(WireError::Confusion)?;
                let sum = counts.counts.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
                if sum != Some(totals.samples) || confusion.correct() != totals.correct {
                    return Err(WireError::Confusion);
                }
                let body = AnswerBody::Confusion(Box::new(confusion));
                Ok(Some(WorkerMessage::Answer(Answer { body, ..checked })))
            }
        }
    }

    fn chunk(&mut self, chunk: &wire::Chunk) -> Result<Option<WorkerMessage>, WireError> {
        let (answer, mut assembly) =
            self.pending.take().ok_or(WireError::Order { expected: "an answer", got: "a chunk" })?;
        assembly.push(chunk, &self.elsewhere)?;
        if !assembly.is_complete() {
            self.pending = Some((answer, assembly));
            return Ok(None);
        }
        self.released |= assembly.is_from_elsewhere();
        let (values, inspection) = assembly.finish();
        let body = AnswerBody::Gradient(values);
        Ok(Some(WorkerMessage::Answer(Answer { body, inspection, ..answer })))
    }
}

/// What the coordinator sends.
#[derive(Debug, Default)]
pub struct CoordinatorDecoder {
    /// Known from the welcome on: the size of the parameters.
    elements: Option<usize>,
    buffers: Buffers,
    elsewhere: Elsewhere,
    pending: Option<Pending>,
    /// Of the last tensor.
    released: bool,
}

#[derive(Debug)]
enum Pending {
    Parameters { version: u64, assembly: Assembly },
    Piece { piece: Piece, leaves: usize },
}

impl CoordinatorDecoder {
    /// From now on chunks may lie in memory that `read` reads.
    pub fn reads(&mut self, read: Read) {
        self.elsewhere = Elsewhere::new(read);
    }

    /// Whether a tensor that lay in the sender's shared memory has been read since the last call.
    pub fn released(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    /// Takes one wire message; returns the message that it completes, if any.
    ///
    /// # Errors
    /// When the message is not one that our own coordinator would send now.
    pub fn decode(
        &mut self,
        message: wire::FromCoordinator,
    ) -> Result<Option<CoordinatorMessage>, WireError> {
        use from_coordinator::Message;
        match (self.pending.take(), message.message.ok_or(WireError::Missing("content"))?) {
            (pending, Message::Heartbeat(_)) => {
                self.pending = pending;
                Ok(Some(CoordinatorMessage::Heartbeat))
            }
            (pending, Message::Sharing(sharing)) => {
                self.pending = pending;
                Ok(Some(CoordinatorMessage::Sharing(check_sharing(&sharing)?)))
            }
            (Some(Pending::Parameters { version, mut assembly }), Message::Chunk(chunk)) => {
                assembly.push(&chunk, &self.elsewhere)?;
                if assembly.is_complete() {
                    self.released |= assembly.is_from_elsewhere();
                    let (values, _) = assembly.finish();
                    return Ok(Some(CoordinatorMessage::Parameters { version, values }));
                }
                self.pending = Some(Pending::Parameters { version, assembly });
                Ok(None)
            }
            (Some(Pending::Piece { mut piece, leaves }), Message::Leaf(leaf)) => {
                piece.leaves.push(check_leaf(leaf)?);
                if piece.leaves.len() == leaves {
                    return Ok(Some(CoordinatorMessage::Piece(piece)));
                }
                self.pending = Some(Pending::Piece { piece, leaves });
                Ok(None)
            }
            (Some(_), _) => Err(WireError::Order { expected: "a chunk or a leaf", got: "another message" }),
            (None, message) => self.first(message),
        }
    }

    fn first(&mut self, message: from_coordinator::Message) -> Result<Option<CoordinatorMessage>, WireError> {
        use from_coordinator::Message;
        let whole = match message {
            Message::Welcome(welcome) => {
                let welcome = check_welcome(welcome)?;
                self.elements = Some(welcome.model.layout().len());
                CoordinatorMessage::Welcome(welcome)
            }
            Message::Spare(spare) => CoordinatorMessage::Spare(check_spare(spare)?),
            Message::Refused(refused) => {
                CoordinatorMessage::Refused { reason: check_reason(refused.reason)?, retry: refused.retry }
            }
            Message::Dropped(dropped) => CoordinatorMessage::Dropped(check_reason(dropped.reason)?),
            Message::Finished(_) => CoordinatorMessage::Finished,
            Message::Heartbeat(_) | Message::Sharing(_) => unreachable!("taken whatever is pending"),
            Message::Parameters(head) => {
                let tensor = head.tensor.ok_or(WireError::Missing("a tensor head"))?;
                let expected =
                    self.elements.ok_or(WireError::Order { expected: "a welcome", got: "parameters" })?;
                let assembly = Assembly::new(&tensor, expected, Precision::F32, &self.buffers)?;
                self.pending = Some(Pending::Parameters { version: head.version, assembly });
                return Ok(None);
            }
            Message::Piece(piece) => {
                let (piece, leaves) = check_piece(piece)?;
                self.pending = Some(Pending::Piece { piece, leaves });
                return Ok(None);
            }
            Message::Chunk(_) => return Err(WireError::Order { expected: "parameters", got: "a chunk" }),
            Message::Leaf(_) => return Err(WireError::Order { expected: "a piece", got: "a leaf" }),
        };
        Ok(Some(whole))
    }
}

fn in_range(field: &'static str, got: u64, min: u64, max: u64) -> Result<(), WireError> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(WireError::Range { field, got, min, max }) }
}

fn check_hello(hello: wire::Hello) -> Result<Hello, WireError> {
    if hello.protocol_version != PROTOCOL_VERSION {
        return Err(WireError::Version { expected: PROTOCOL_VERSION, got: hello.protocol_version });
    }
    let printable = !hello.name.is_empty() && !hello.name.chars().any(char::is_control);
    if !printable || hello.name.len() > NAME_BYTES_MAX {
        return Err(WireError::Name { max: NAME_BYTES_MAX });
    }
    in_range("threads", hello.threads.into(), 1, THREADS_MAX.into())?;
    in_range("instance", hello.instance, 1, u64::MAX)?;
    let (instance, numerics) = (Instance(hello.instance), NumericsDigest(hello.numerics));
    Ok(Hello { name: hello.name, instance, threads: hello.threads, numerics })
}

fn check_node(node: Option<wire::Node>) -> Result<Node, WireError> {
    let node = node.ok_or(WireError::Missing("a node"))?;
    let level = u8::try_from(node.level).ok().filter(|&level| level <= Tree::new(LEAVES_MAX).root().level);
    let max = Tree::new(LEAVES_MAX).root().level.into();
    let level = level.ok_or(WireError::Range { field: "level", got: node.level.into(), min: 0, max })?;
    Ok(Node { level, index: node.index })
}

fn check_reason(reason: String) -> Result<String, WireError> {
    in_range("bytes of a reason", reason.len() as u64, 0, REASON_BYTES_MAX as u64)?;
    Ok(reason.replace(char::is_control, " "))
}

fn check_welcome(welcome: wire::Welcome) -> Result<Welcome, WireError> {
    use wire::model::Kind;
    let precision = tensor::precision(welcome.dtype())?;
    let kind = welcome.model.and_then(|model| model.kind).ok_or(WireError::Missing("a model"))?;
    let model = match kind {
        Kind::Cnn(_) => ModelSpec::Cnn,
        Kind::Linear(_) => ModelSpec::Linear,
        Kind::Mlp(mlp) => ModelSpec::Mlp { hidden: mlp.hidden.into_iter().map(|w| w as usize).collect() },
    };
    model.validate()?;
    check_pulse(welcome.heartbeat_ms, welcome.timeout_ms)?;
    Ok(Welcome {
        incarnation: Incarnation(welcome.incarnation),
        rank: Rank(welcome.rank),
        run_id: check_reason(welcome.run_id)?,
        heartbeat_ms: welcome.heartbeat_ms,
        timeout_ms: welcome.timeout_ms,
        model,
        precision,
    })
}

fn check_sharing(sharing: &wire::Sharing) -> Result<Sharing, WireError> {
    use wire::sharing::Step;
    Ok(match sharing.step.ok_or(WireError::Missing("a step of sharing"))? {
        Step::Offer(memory) => Sharing::Offer { descriptor: memory.descriptor, token: memory.token },
        Step::Opened(_) => Sharing::Opened,
        Step::Released(_) => Sharing::Released,
    })
}

fn check_spare(spare: wire::Spare) -> Result<Spare, WireError> {
    check_pulse(spare.heartbeat_ms, spare.timeout_ms)?;
    Ok(Spare { ahead: spare.ahead, heartbeat_ms: spare.heartbeat_ms, timeout_ms: spare.timeout_ms })
}

fn check_pulse(heartbeat_ms: u32, timeout_ms: u32) -> Result<(), WireError> {
    in_range("heartbeat_ms", heartbeat_ms.into(), 1, PULSE_MS_MAX)?;
    in_range("timeout_ms", timeout_ms.into(), 1, PULSE_MS_MAX)
}

fn check_piece(piece: wire::Piece) -> Result<(Piece, usize), WireError> {
    let task = match piece.task() {
        wire::Task::Train => Task::Train,
        wire::Task::Evaluate => Task::Evaluate,
        wire::Task::Unspecified => return Err(WireError::Missing("a task")),
    };
    in_range("tree_leaves", piece.tree_leaves.into(), 1, LEAVES_MAX.into())?;
    let tree = Tree::new(piece.tree_leaves);
    let node = check_node(piece.node)?;
    let leaves = tree.leaves_below(node).len();
    if leaves == 0 {
        return Err(WireError::Node { node, leaves: tree.leaves() });
    }
    in_range("leaves of a piece", leaves as u64, 1, PIECE_LEAVES_MAX.into())?;
    let (round, version) = (Round(piece.round), piece.version);
    Ok((Piece { round, task, version, tree, node, leaves: Vec::with_capacity(leaves) }, leaves))
}

fn check_leaf(leaf: wire::LeafSamples) -> Result<Samples, WireError> {
    if leaf.labels.is_empty() {
        return Err(WireError::Missing("samples in a leaf"));
    }
    Ok(Samples::new(leaf.pixels.into(), leaf.labels.into())?)
}

#[cfg(test)]
mod tests;
