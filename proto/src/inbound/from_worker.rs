//! Messages of a worker: its introduction, heartbeats, and answers, whose gradients come in chunks.

use super::{check_node, check_sharing, in_range};
use crate::message::{
    Answer, AnswerBody, Hello, NAME_BYTES_MAX, ReceivedAnswer, ReceivedMessage, THREADS_MAX, Usage,
    WorkerMessage,
};
use crate::setup::{MessageForm, Setups};
use crate::tensor::{Assembly, Inspect, Read, SharedMemory};
use crate::values::{Buffers, Values};
use crate::wire::{self, from_worker};
use crate::{PROTOCOL_VERSION, WireError};
use common::ids::{Incarnation, Instance, Round, SetupId};
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;
use common::train::metrics::{Confusion, Totals};
use common::train::pseudo::Guess;

/// A gradient that is about to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Round of the piece.
    pub round: Round,
    /// Node of the piece.
    pub node: Node,
    /// Size of the gradient in memory, in bytes.
    pub bytes: usize,
}

/// Decoder of a worker's messages.
#[derive(Debug)]
pub struct WorkerDecoder {
    setups: Setups,
    buffers: Buffers,
    shared_memory: SharedMemory,
    pending: Option<(Answer, Assembly)>,
    /// Gradient whose head was the last message.
    announced: Option<Announced>,
    /// Whether the last tensor's place in shared memory can be used again.
    released: bool,
}

impl WorkerDecoder {
    /// A decoder for answers of these setups. It puts gradients into `buffers`.
    #[must_use]
    pub fn new(setups: Setups, buffers: Buffers) -> Self {
        let shared_memory = SharedMemory::default();
        Self { setups, buffers, shared_memory, pending: None, announced: None, released: false }
    }

    /// Lets chunks lie in shared memory from now on; `read` reads them there.
    pub fn reads(&mut self, read: Read) {
        self.shared_memory = SharedMemory::new(read);
    }

    /// The gradient whose head was the last message. It takes a buffer from the next message on.
    pub fn announced(&mut self) -> Option<Announced> {
        self.announced.take()
    }

    /// Whether a tensor in the sender's shared memory has been read since the last call.
    pub fn released(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    /// Decodes one wire message; returns the message that it completes, if any.
    ///
    /// # Errors
    /// When our own worker would not send this message now.
    pub fn decode(&mut self, message: wire::FromWorker) -> Result<Option<ReceivedMessage>, WireError> {
        use from_worker::Message;
        let message = message.message.ok_or(WireError::Missing("content"))?;
        let is_aside = matches!(message, Message::Heartbeat(_) | Message::Sharing(_));
        if self.pending.is_some() && !is_aside && !matches!(message, Message::Chunk(_)) {
            return Err(WireError::Order { expected: "a chunk of the gradient", got: "another message" });
        }
        match message {
            Message::Hello(hello) => check_hello(hello).map(|hello| Some(WorkerMessage::Hello(hello))),
            Message::Heartbeat(wire::Heartbeat { cpu_us, resident_bytes }) => {
                Ok(Some(WorkerMessage::Heartbeat(Usage { cpu_us, resident_bytes })))
            }
            Message::Leave(_) => Ok(Some(WorkerMessage::Leave)),
            Message::Sharing(sharing) => Ok(Some(WorkerMessage::Sharing(check_sharing(&sharing)?))),
            Message::Answer(answer) => self.answer(answer),
            Message::Chunk(chunk) => self.chunk(&chunk),
        }
    }

    fn answer(&mut self, answer: wire::Answer) -> Result<Option<ReceivedMessage>, WireError> {
        let totals = Totals { samples: answer.samples, correct: answer.correct, loss_sum: answer.loss_sum };
        in_range("correct", totals.correct, 0, totals.samples)?;
        let setup = SetupId(answer.setup);
        let MessageForm { elements, precision, data, .. } =
            self.setups.get(setup).ok_or(WireError::Setup(setup))?;
        let checked = Answer {
            incarnation: Incarnation(answer.incarnation),
            setup,
            round: Round(answer.round),
            node: check_node(answer.node.as_ref())?,
            totals,
            body: AnswerBody::Gradient(Values::default()),
            precision,
        };
        match answer.body.ok_or(WireError::Missing("a gradient, counts or guesses"))? {
            wire::answer::Body::Gradient(head) => {
                let assembly = Assembly::new(&head, elements, precision, Inspect::Values, &self.buffers)?;
                let bytes = elements * size_of::<f32>();
                self.announced = Some(Announced { round: checked.round, node: checked.node, bytes });
                self.pending = Some((checked, assembly));
                Ok(None)
            }
            wire::answer::Body::Confusion(counts) => {
                if counts.cells.len() != counts.counts.len() {
                    return Err(WireError::Counts);
                }
                let sum = counts.counts.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
                let cells = counts.cells.into_iter().zip(counts.counts);
                let confusion = Confusion::from_sparse(data.classes(), cells)?;
                if sum != Some(totals.samples) || confusion.correct() != totals.correct {
                    return Err(WireError::Counts);
                }
                let answer = Answer { body: AnswerBody::Confusion(Box::new(confusion)), ..checked };
                Ok(Some(WorkerMessage::Answer(ReceivedAnswer { answer, inspection: None })))
            }
            wire::answer::Body::Guesses(wire::Guesses { guesses }) => {
                let body = AnswerBody::Guesses(check_guesses(&guesses, totals.samples, data.classes())?);
                let answer = Answer { body, ..checked };
                Ok(Some(WorkerMessage::Answer(ReceivedAnswer { answer, inspection: None })))
            }
        }
    }

    fn chunk(&mut self, chunk: &wire::Chunk) -> Result<Option<ReceivedMessage>, WireError> {
        let (answer, mut assembly) =
            self.pending.take().ok_or(WireError::Order { expected: "an answer", got: "a chunk" })?;
        assembly.push(chunk, &self.shared_memory)?;
        if !assembly.is_complete() {
            self.pending = Some((answer, assembly));
            return Ok(None);
        }
        self.released |= assembly.is_from_shared_memory();
        let (values, inspection) = assembly.finish();
        let answer = Answer { body: AnswerBody::Gradient(values), ..answer };
        Ok(Some(WorkerMessage::Answer(ReceivedAnswer { answer, inspection: Some(inspection) })))
    }
}

/// The guesses of so many samples.
fn check_guesses(bytes: &[u8], samples: u64, classes: usize) -> Result<Vec<Guess>, WireError> {
    let (guesses, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() || guesses.len() as u64 != samples {
        return Err(WireError::Guesses { samples, bytes: bytes.len() });
    }
    let guess = |&[class, high, confidence, more]: &[u8; 4]| {
        let class = u16::from_le_bytes([class, high]);
        in_range("class of a guess", class.into(), 0, classes as u64 - 1)?;
        Ok(Guess { class, confidence: u16::from_le_bytes([confidence, more]) })
    };
    guesses.iter().map(guess).collect()
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
    let instance = Instance(hello.instance);
    let numerics = NumericsDigest(hello.numerics);
    Ok(Hello { name: hello.name, instance, threads: hello.threads, numerics })
}
