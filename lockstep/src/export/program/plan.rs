//! A network as a list of steps between buffers, which any language can be given.
//!
//! 1. A buffer holds the values between two layers. A step takes one that nobody needs any more, and grows
//!    it if need be; a chain of layers has two of them, an open `residual` one more.
//! 2. What changes each value alone works in place, but not on values that a `residual` keeps: these are
//!    copied first.
//! 3. A batch norm is a scale and a shift for each channel, computed in f64 from its four tensors. Dropout
//!    does nothing once a network is trained.
//! 4. Pixels become numbers by a table of 256: that of `common::data::normalize`, so with the trainer's bits.

use common::checkpoint::Model;
use common::data::normalize::{Normalization, Table as Normalizer};
use common::model::activation::Activation;
use common::model::infer::Shape;
use common::model::layer::{Convolution, Layer, Window};

/// Added to variances before the root is taken.
const EPSILON: f64 = 1e-5;

/// A network as steps.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Plan {
    /// Constant numbers.
    pub(in super::super) tables: Vec<Table>,
    /// Values that each buffer has room for.
    pub(in super::super) buffers: Vec<usize>,
    pub(in super::super) steps: Vec<Step>,
    /// Where the logits are in the end.
    pub(in super::super) output: Span,
}

/// Constant numbers, by name.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Table {
    pub(in super::super) name: String,
    pub(in super::super) values: Vec<f32>,
}

/// The first values of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Span {
    pub(in super::super) buffer: usize,
    pub(in super::super) len: usize,
}

/// A step from values to values: the same ones where it works in place.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Step {
    pub(in super::super) op: Op,
    pub(in super::super) from: Span,
    pub(in super::super) to: Span,
}

/// What a step computes. Tables are meant by their places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Op {
    /// From the image's bytes, and no buffer.
    Pixels {
        table: usize,
        channels: usize,
    },
    Conv {
        conv: Convolution,
        weight: usize,
        bias: Option<usize>,
        input: [usize; 3],
        output: [usize; 3],
    },
    MaxPool {
        window: Window,
        input: [usize; 3],
        output: [usize; 3],
    },
    AvgPool {
        window: Window,
        input: [usize; 3],
        output: [usize; 3],
    },
    GlobalAvgPool,
    Dense {
        weight: usize,
        bias: usize,
    },
    /// In place.
    ScaleShift {
        scale: usize,
        shift: usize,
    },
    /// In place.
    GroupNorm {
        weight: usize,
        bias: usize,
        groups: usize,
    },
    /// In place.
    LayerNorm {
        weight: usize,
        bias: usize,
    },
    /// In place.
    Activation(Activation),
    /// Adds the values of `from` to those of `to`.
    Add,
    Copy,
}

/// The values before an open residual, and its body's once its shortcut has begun.
type Open = (Span, Option<Span>);

struct Planner<'a> {
    model: &'a Model,
    plan: Plan,
    open: Vec<Open>,
}

impl Plan {
    /// The steps of a network.
    pub(in super::super) fn of(model: &Model) -> Self {
        let nothing = Span { buffer: 0, len: 0 };
        let plan = Self { tables: Vec::new(), buffers: Vec::new(), steps: Vec::new(), output: nothing };
        let mut planner = Planner { model, plan, open: Vec::new() };
        let mut x = planner.pixels();
        let architecture = &model.architecture;
        let shapes = architecture.shapes().windows(2);
        for (at, (layer, shapes)) in architecture.layers().as_slice().iter().zip(shapes).enumerate() {
            x = match layer {
                Layer::Residual => {
                    planner.open.push((x, None));
                    x
                }
                Layer::Shortcut => match planner.open.last_mut() {
                    Some((before, body)) => {
                        *body = Some(x);
                        *before
                    }
                    None => x,
                },
                Layer::Add => planner.sum(x),
                layer => planner.layer(at, *layer, shapes[0], shapes[1], x),
            };
        }
        planner.plan.output = x;
        planner.plan
    }
}

impl Planner<'_> {
    fn pixels(&mut self) -> Span {
        let spec = self.model.architecture.input();
        let channels = match self.model.normalization {
            Normalization::Unit => 1,
            Normalization::Standard(_) => spec.channels(),
        };
        // An image with each byte in each channel.
        let pixels: Vec<u8> = (0..=u8::MAX).flat_map(|byte| vec![byte; channels]).collect();
        let numbers = Normalizer::new(&self.model.normalization).apply(&pixels);
        let table = |channel| numbers.iter().skip(channel).step_by(channels).copied();
        let table = self.table("pixel_values".to_owned(), (0..channels).flat_map(table).collect());
        let to = self.unused(spec.image_bytes(), &[]);
        self.step(Op::Pixels { table, channels: spec.channels() }, Span { len: 0, ..to }, to)
    }

    fn layer(&mut self, at: usize, layer: Layer, input: Shape, output: Shape, x: Span) -> Span {
        let op = match layer {
            Layer::Flatten | Layer::Dropout { .. } | Layer::Residual | Layer::Shortcut | Layer::Add => {
                return x;
            }
            Layer::Conv(conv) => {
                let weight = self.tensor(at, 0);
                let bias = conv.bias.then(|| self.tensor(at, 1));
                Op::Conv { conv, weight, bias, input: sides(input), output: sides(output) }
            }
            Layer::MaxPool(window) => Op::MaxPool { window, input: sides(input), output: sides(output) },
            Layer::AvgPool(window) => Op::AvgPool { window, input: sides(input), output: sides(output) },
            Layer::GlobalAvgPool => Op::GlobalAvgPool,
            Layer::Dense { .. } => Op::Dense { weight: self.tensor(at, 0), bias: self.tensor(at, 1) },
            Layer::BatchNorm => self.batch_norm(at),
            Layer::GroupNorm { groups } => {
                Op::GroupNorm { weight: self.tensor(at, 0), bias: self.tensor(at, 1), groups }
            }
            Layer::LayerNorm => Op::LayerNorm { weight: self.tensor(at, 0), bias: self.tensor(at, 1) },
            Layer::Activation(activation) => Op::Activation(activation),
        };
        let to = if op.is_in_place() { self.own(x, &[]) } else { self.unused(output.len(), &[x]) };
        self.step(op, if op.is_in_place() { to } else { x }, to)
    }

    /// A batch norm as a scale and a shift.
    fn batch_norm(&mut self, at: usize) -> Op {
        let layout: Vec<_> = self.model.architecture.layout().iter().collect();
        let places = self.model.architecture.places(at);
        let tensors: Vec<&[f32]> =
            places.iter().map(|&place| &self.model.params[layout[place].1.clone()]).collect();
        let values = (0..tensors[0].len()).map(|channel| {
            let [weight, bias, mean, variance] = [0, 1, 2, 3].map(|part| f64::from(tensors[part][channel]));
            let scale = weight / (variance + EPSILON).sqrt();
            (scale as f32, (bias - mean * scale) as f32)
        });
        let (scale, shift) = values.unzip();
        let module = layout[places[0]].0.name.split('.').next().unwrap_or_default();
        let scale = self.table(format!("{module}_scale"), scale);
        let shift = self.table(format!("{module}_shift"), shift);
        Op::ScaleShift { scale, shift }
    }

    /// The sum of the innermost residual's branches, which it closes.
    fn sum(&mut self, x: Span) -> Span {
        let Some((before, body)) = self.open.pop() else { return x };
        let (first, second) = body.map_or((x, before), |body| (body, x));
        let to = self.own(first, &[second]);
        self.step(Op::Add, second, to)
    }

    /// These values where they may be changed: a copy, if they are needed later or are among the `others`.
    fn own(&mut self, x: Span, others: &[Span]) -> Span {
        if !self.is_kept(x) && others.iter().all(|other| other.buffer != x.buffer) {
            return x;
        }
        let to = self.unused(x.len, &[&[x], others].concat());
        self.step(Op::Copy, x, to)
    }

    fn is_kept(&self, x: Span) -> bool {
        let mut kept = self.open.iter().flat_map(|(before, body)| [Some(*before), *body]).flatten();
        kept.any(|span| span.buffer == x.buffer)
    }

    /// A buffer that is neither kept nor one of the `others`: of those the smallest with enough room, or the
    /// largest, which grows.
    fn unused(&mut self, len: usize, others: &[Span]) -> Span {
        let is_free = |&buffer: &usize| {
            let span = Span { buffer, len };
            !self.is_kept(span) && others.iter().all(|other| other.buffer != buffer)
        };
        let free = (0..self.plan.buffers.len()).filter(is_free);
        let room = |&buffer: &usize| {
            let room = self.plan.buffers[buffer];
            (room < len, if room < len { usize::MAX - room } else { room })
        };
        let buffer = free.min_by_key(room).unwrap_or_else(|| {
            self.plan.buffers.push(len);
            self.plan.buffers.len() - 1
        });
        self.plan.buffers[buffer] = self.plan.buffers[buffer].max(len);
        Span { buffer, len }
    }

    fn step(&mut self, op: Op, from: Span, to: Span) -> Span {
        self.plan.steps.push(Step { op, from, to });
        to
    }

    /// A tensor of layer `at` as a table.
    fn tensor(&mut self, at: usize, number: usize) -> usize {
        let architecture = &self.model.architecture;
        let place = architecture.places(at)[number];
        let (spec, range) = architecture.layout().iter().nth(place).expect("a layer's tensors are laid out");
        let values = self.model.params[range].to_vec();
        self.table(spec.name.replace('.', "_"), values)
    }

    fn table(&mut self, name: String, values: Vec<f32>) -> usize {
        self.plan.tables.push(Table { name, values });
        self.plan.tables.len() - 1
    }
}

impl Op {
    /// Whether it changes values where they are.
    fn is_in_place(self) -> bool {
        matches!(
            self,
            Self::ScaleShift { .. } | Self::GroupNorm { .. } | Self::LayerNorm { .. } | Self::Activation(_)
        )
    }
}

/// Channels, rows and columns.
fn sides(shape: Shape) -> [usize; 3] {
    match shape {
        Shape::Image { height, width, channels } => [channels, height, width],
        Shape::Vector(len) => [len, 1, 1],
    }
}
