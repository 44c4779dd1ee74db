//! Messages of the coordinator: admission, setups, parameters in chunks, and pieces with their leaves.

use super::{check_node, check_reason, check_sharing, in_range};
use crate::WireError;
use crate::message::{CoordinatorMessage, Piece, Spare, Task, Welcome};
use crate::setup::{MessageForm, SETUPS_MAX, Setup, Setups};
use crate::tensor::{self, Assembly, Inspect, Read, SharedMemory};
use crate::values::Buffers;
use crate::wire::{self, from_coordinator};
use common::data::normalize::{Channel, Normalization};
use common::data::samples::Samples;
use common::data::spec::DataSpec;
use common::ids::{Incarnation, ParamsId, Rank, Round, SetupId, Step};
use common::model::architecture::Architecture;
use common::protocol::coordinator::PIECE_LEAVES_MAX;
use common::reduce::precision::Precision;
use common::reduce::tree::{LEAVES_MAX, Tree};
use common::train::config::{LEAF_BYTES_MAX, MICRO_BATCH_MAX};
use common::train::distil::{Blend, Teacher};
use common::train::objective::{ClassWeights, Objective};
use std::sync::Arc;

/// Longest heartbeat interval or timeout that a coordinator may ask for: an hour.
const PULSE_MS_MAX: u64 = 3_600_000;

/// Decoder of the coordinator's messages.
#[derive(Debug, Default)]
pub struct CoordinatorDecoder {
    setups: Setups,
    buffers: Buffers,
    shared_memory: SharedMemory,
    pending: Option<Pending>,
    /// Whether the last tensor's place in shared memory can be used again.
    released: bool,
}

#[derive(Debug)]
enum Pending {
    /// A setup whose teacher's values are arriving.
    Setup {
        setup: Box<Setup>,
        teacher: Teacher,
        blend: Blend,
        assembly: Assembly,
    },
    Parameters {
        id: ParamsId,
        setup: SetupId,
        assembly: Assembly,
    },
    Piece(PendingPiece),
}

/// A piece whose samples are arriving.
#[derive(Debug)]
struct PendingPiece {
    piece: Piece,
    /// Number of leaves in the piece.
    leaves: usize,
    data: DataSpec,
    /// Pixels of the leaf that is arriving.
    pixels: Vec<u8>,
    labels: Vec<u16>,
}

impl CoordinatorDecoder {
    /// Lets chunks lie in shared memory from now on; `read` reads them there.
    pub fn reads(&mut self, read: Read) {
        self.shared_memory = SharedMemory::new(read);
    }

    /// Whether a tensor in the sender's shared memory has been read since the last call.
    pub fn released(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    /// Decodes one wire message; returns the message that it completes, if any.
    ///
    /// # Errors
    /// When our own coordinator would not send this message now.
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
            (Some(Pending::Parameters { id, setup, mut assembly }), Message::Chunk(chunk)) => {
                assembly.push(&chunk, &self.shared_memory)?;
                if assembly.is_complete() {
                    self.released |= assembly.is_from_shared_memory();
                    let (values, _) = assembly.finish();
                    return Ok(Some(CoordinatorMessage::Parameters { id, setup, values }));
                }
                self.pending = Some(Pending::Parameters { id, setup, assembly });
                Ok(None)
            }
            (Some(Pending::Setup { setup, teacher, blend, mut assembly }), Message::Chunk(chunk)) => {
                assembly.push(&chunk, &self.shared_memory)?;
                if !assembly.is_complete() {
                    self.pending = Some(Pending::Setup { setup, teacher, blend, assembly });
                    return Ok(None);
                }
                let teacher = Teacher { params: assembly.finish().0.to_vec(), ..teacher };
                Ok(Some(self.settle(Setup { teacher: Some((Arc::new(teacher), blend)), ..*setup })))
            }
            (Some(Pending::Piece(mut pending)), Message::Leaf(leaf)) => {
                pending.push(leaf)?;
                if pending.piece.leaves.len() == pending.leaves {
                    return Ok(Some(CoordinatorMessage::Piece(pending.piece)));
                }
                self.pending = Some(Pending::Piece(pending));
                Ok(None)
            }
            (Some(_), _) => Err(WireError::Order { expected: "a chunk or a leaf", got: "another message" }),
            (None, message) => self.first(message),
        }
    }

    fn first(&mut self, message: from_coordinator::Message) -> Result<Option<CoordinatorMessage>, WireError> {
        use from_coordinator::Message;
        let whole = match message {
            Message::Welcome(welcome) => CoordinatorMessage::Welcome(check_welcome(welcome)?),
            Message::Setup(mut setup) => {
                let teacher = setup.teacher.take();
                let setup = check_setup(setup)?;
                let Some(teacher) = teacher else { return Ok(Some(self.settle(setup))) };
                let head = teacher.tensor.ok_or(WireError::Missing("a tensor head"))?;
                let (teacher, blend) = check_teacher(teacher, setup.model.input())?;
                let elements = teacher.architecture.layout().len();
                let assembly =
                    Assembly::new(&head, elements, Precision::F32, Inspect::Nothing, &self.buffers)?;
                self.pending = Some(Pending::Setup { setup: Box::new(setup), teacher, blend, assembly });
                return Ok(None);
            }
            Message::Forget(wire::Forget { setup }) => {
                let setup = SetupId(setup);
                // Only of a known one.
                self.form(setup)?;
                self.setups.remove(setup);
                CoordinatorMessage::Forget(setup)
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
                let id = ParamsId(head.id);
                let setup = SetupId(head.setup);
                let expected = self.form(setup)?.elements;
                let assembly =
                    Assembly::new(&tensor, expected, Precision::F32, Inspect::Nothing, &self.buffers)?;
                self.pending = Some(Pending::Parameters { id, setup, assembly });
                return Ok(None);
            }
            Message::Piece(piece) => {
                let data = self.form(SetupId(piece.setup))?.data;
                let (piece, leaves) = check_piece(&piece)?;
                let (pixels, labels) = Default::default();
                self.pending = Some(Pending::Piece(PendingPiece { piece, leaves, data, pixels, labels }));
                return Ok(None);
            }
            Message::Chunk(_) => return Err(WireError::Order { expected: "parameters", got: "a chunk" }),
            Message::Leaf(_) => return Err(WireError::Order { expected: "a piece", got: "a leaf" }),
        };
        Ok(Some(whole))
    }

    /// Accepts messages of this setup from now on.
    fn settle(&mut self, setup: Setup) -> CoordinatorMessage {
        self.setups.insert(&setup);
        CoordinatorMessage::Setup(Arc::new(setup))
    }

    fn form(&self, setup: SetupId) -> Result<MessageForm, WireError> {
        self.setups.get(setup).ok_or(WireError::Setup(setup))
    }
}

impl PendingPiece {
    /// Adds samples to the leaf that is arriving.
    fn push(&mut self, part: wire::LeafSamples) -> Result<(), WireError> {
        if part.labels.is_empty() {
            return Err(WireError::Missing("samples in a leaf"));
        }
        let samples = self.labels.len() + part.labels.len();
        let bytes = self.pixels.len() + part.pixels.len();
        in_range("samples of a leaf", samples as u64, 1, MICRO_BATCH_MAX.into())?;
        in_range("bytes of a leaf", bytes as u64, 1, LEAF_BYTES_MAX as u64)?;
        for label in part.labels {
            let classes = self.data.classes() as u64;
            let label = u16::try_from(label).map_err(|_| WireError::Range {
                field: "a label",
                got: label.into(),
                min: 0,
                max: classes - 1,
            });
            self.labels.push(label?);
        }
        if self.pixels.is_empty() {
            self.pixels = part.pixels.into();
        } else {
            self.pixels.extend_from_slice(&part.pixels);
        }
        if !part.more {
            let pixels = std::mem::take(&mut self.pixels);
            let labels = std::mem::take(&mut self.labels);
            self.piece.leaves.push(Samples::new(self.data, pixels, labels)?);
        }
        Ok(())
    }
}

fn check_welcome(welcome: wire::Welcome) -> Result<Welcome, WireError> {
    check_pulse(welcome.heartbeat_ms, welcome.timeout_ms)?;
    Ok(Welcome {
        incarnation: Incarnation(welcome.incarnation),
        rank: Rank(welcome.rank),
        run_id: check_reason(welcome.run_id)?,
        heartbeat_ms: welcome.heartbeat_ms,
        timeout_ms: welcome.timeout_ms,
    })
}

fn check_setup(setup: wire::Setup) -> Result<Setup, WireError> {
    in_range("setup", setup.id.into(), 0, (SETUPS_MAX - 1).into())?;
    let precision = tensor::precision(setup.dtype())?;
    let wire::DataSpec { height, width, channels, classes } =
        setup.data.ok_or(WireError::Missing("a form of samples"))?;
    let sizes = [height, width, channels, classes].map(|size| size as usize);
    let data = DataSpec::new(sizes[0], sizes[1], sizes[2], sizes[3])?;
    let normalization = check_normalization(setup.normalization, data.channels())?;
    let model = Architecture::parse(data, &setup.layers)?;
    let augment = setup.augment.parse()?;
    let objective = check_objective(setup.label_smoothing, setup.class_weights, data.classes())?;
    Ok(Setup {
        id: SetupId(setup.id),
        model,
        precision,
        normalization,
        seed: setup.seed,
        augment,
        objective,
        rounded_weights: setup.rounded_weights,
        teacher: None,
    })
}

/// A teacher without its values, for samples of this form.
fn check_teacher(teacher: wire::Teacher, data: DataSpec) -> Result<(Teacher, Blend), WireError> {
    let wire::Teacher { layers, normalization, weight, temperature, .. } = teacher;
    let blend = Blend { weight, temperature };
    if !blend.weight_fits() || !blend.temperature_fits() {
        return Err(WireError::Blend { weight, temperature });
    }
    let architecture = Architecture::parse(data, &layers)?;
    let normalization = check_normalization(normalization, data.channels())?;
    Ok((Teacher { architecture, params: Vec::new(), normalization }, blend))
}

fn check_objective(
    label_smoothing: f64,
    class_weights: Vec<f32>,
    classes: usize,
) -> Result<Objective, WireError> {
    let weights = class_weights.len();
    let objective = Objective { label_smoothing, class_weights: ClassWeights::new(class_weights)? };
    if !objective.smoothing_fits() {
        return Err(WireError::LabelSmoothing(label_smoothing));
    }
    if !objective.class_weights.fits(classes) {
        return Err(WireError::ClassWeights { weights, classes });
    }
    Ok(objective)
}

fn check_normalization(
    normalization: Option<wire::Normalization>,
    channels: usize,
) -> Result<Normalization, WireError> {
    let Some(wire::Normalization { mean, deviation }) = normalization else { return Ok(Normalization::Unit) };
    if mean.len() != channels || deviation.len() != channels {
        let (means, deviations) = (mean.len(), deviation.len());
        return Err(WireError::Normalization { means, deviations, channels });
    }
    let each = mean.into_iter().zip(deviation);
    let each = each.map(|(mean, deviation)| Channel::new(mean, deviation));
    Ok(Normalization::Standard(each.collect::<Result<_, _>>()?))
}

fn check_spare(spare: wire::Spare) -> Result<Spare, WireError> {
    check_pulse(spare.heartbeat_ms, spare.timeout_ms)?;
    Ok(Spare { ahead: spare.ahead, heartbeat_ms: spare.heartbeat_ms, timeout_ms: spare.timeout_ms })
}

fn check_pulse(heartbeat_ms: u32, timeout_ms: u32) -> Result<(), WireError> {
    in_range("heartbeat_ms", heartbeat_ms.into(), 1, PULSE_MS_MAX)?;
    in_range("timeout_ms", timeout_ms.into(), 1, PULSE_MS_MAX)
}

fn check_piece(piece: &wire::Piece) -> Result<(Piece, usize), WireError> {
    let task = match piece.task() {
        wire::Task::Train => Task::Train,
        wire::Task::Evaluate => Task::Evaluate,
        wire::Task::EvaluateViews => Task::EvaluateViews,
        wire::Task::Guess => Task::Guess,
        wire::Task::EvaluateEach => Task::EvaluateEach,
        wire::Task::Unspecified => return Err(WireError::Missing("a task")),
    };
    in_range("tree_leaves", piece.tree_leaves.into(), 1, LEAVES_MAX.into())?;
    let tree = Tree::new(piece.tree_leaves);
    let node = check_node(piece.node.as_ref())?;
    let leaves = tree.leaves_below(node).len();
    if leaves == 0 {
        return Err(WireError::Node { node, leaves: tree.leaves() });
    }
    in_range("leaves of a piece", leaves as u64, 1, PIECE_LEAVES_MAX.into())?;
    let piece = Piece {
        round: Round(piece.round),
        task,
        step: Step(piece.step),
        setup: SetupId(piece.setup),
        parameters: ParamsId(piece.parameters),
        tree,
        node,
        leaves: Vec::with_capacity(leaves),
    };
    Ok((piece, leaves))
}
