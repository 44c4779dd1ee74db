//! Which buffer each value of a network in whole numbers is kept in.

use crate::int8::plan::{Op, Plan};
use crate::int8::quantize::Integers;

/// Where the values are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Buffers {
    /// Bytes of each buffer.
    pub(super) bytes: Vec<usize>,
    /// The buffer of each value; none for the image, if its bytes already lie channel by channel, and for the
    /// logits of a last sum.
    pub(super) of: Vec<Option<usize>>,
}

impl Buffers {
    /// Each value gets a buffer that holds nothing which is needed later: of those the smallest with enough
    /// room, or the largest, which grows.
    pub(super) fn of(plan: &Plan<Integers>) -> Self {
        let mut last_use = vec![0; plan.values.len()];
        for (at, step) in plan.steps.iter().enumerate() {
            step.inputs.iter().for_each(|&value| last_use[value] = at);
        }
        let mut buffers = Self { bytes: Vec::new(), of: vec![None; plan.values.len()] };
        if plan.values[0][0] > 1 {
            buffers.place(0, plan.values[0].iter().product(), &[]);
        }
        let steps = plan.steps.len();
        for (at, step) in plan.steps.iter().enumerate() {
            if at + 1 < steps || !matches!(step.op, Op::Sum { .. }) {
                let kept: Vec<usize> = (0..=at).filter(|&value| last_use[value] >= at).collect();
                buffers.place(at + 1, plan.values[at + 1].iter().product(), &kept);
            }
        }
        buffers
    }

    fn place(&mut self, value: usize, bytes: usize, kept: &[usize]) {
        let is_free = |buffer: &usize| kept.iter().all(|&value| self.of[value] != Some(*buffer));
        let room = |&buffer: &usize| {
            let room = self.bytes[buffer];
            (room < bytes, if room < bytes { usize::MAX - room } else { room })
        };
        let free = (0..self.bytes.len()).filter(is_free).min_by_key(room);
        let buffer = free.unwrap_or_else(|| {
            self.bytes.push(0);
            self.bytes.len() - 1
        });
        self.bytes[buffer] = self.bytes[buffer].max(bytes);
        self.of[value] = Some(buffer);
    }
}
