//! Parameters for many workers: each chunk is encoded once, when it is first sent.
//!
//! A stream can thus carry the first chunk while the last is not yet encoded. For streams within a machine a
//! chunk may be placed in shared memory instead, also once. The caller decides which worker gets which form.

use crate::tensor;
use crate::wire::{self, Chunk, from_coordinator::Message};
use common::ids::{ParamsId, SetupId};
use common::reduce::precision::Precision;
use std::sync::{Arc, OnceLock};

/// One version of the parameters, with the chunks encoded so far.
#[derive(Debug)]
pub struct EncodedParameters {
    id: ParamsId,
    setup: SetupId,
    values: Arc<Vec<f32>>,
    /// Chunks that carry their bytes.
    inline: Vec<OnceLock<Chunk>>,
    /// Where chunks lie in shared memory; `None` for one that can't be placed.
    placed: Vec<OnceLock<Option<u64>>>,
}

impl EncodedParameters {
    /// Parameters of that setup, with a number higher than that of any before. Nothing is encoded yet.
    #[must_use]
    pub fn new(id: ParamsId, setup: SetupId, values: Arc<Vec<f32>>) -> Self {
        let inline = vec![OnceLock::new(); values.len().div_ceil(tensor::CHUNK_VALUES)];
        let placed = vec![OnceLock::new(); tensor::placed_chunks(values.len())];
        Self { id, setup, inline, placed, values }
    }

    /// Number of this version.
    #[must_use]
    pub fn id(&self) -> ParamsId {
        self.id
    }

    /// Setup that the parameters belong to.
    #[must_use]
    pub fn setup(&self) -> SetupId {
        self.setup
    }

    /// Size of all values, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        size_of_val(self.values.as_slice()) as u64
    }

    /// Messages that carry the parameters, each made when it is asked for.
    pub fn messages(self: Arc<Self>) -> impl Iterator<Item = wire::FromCoordinator> + Send {
        let head = self.head();
        let chunks = (0..self.inline.len()).map(move |index| self.carried(index));
        to_messages(head, chunks)
    }

    fn carried(&self, index: usize) -> Chunk {
        let encode = || tensor::chunk(tensor::part(&self.values, index), Precision::F32);
        self.inline[index].get_or_init(encode).clone()
    }

    /// Messages that refer to the parameters in shared memory. `place` puts the bytes at an offset of the
    /// tensor where the receiver can read them, and returns that place. A chunk that can't be placed is sent
    /// whole.
    pub fn placed_messages(
        self: Arc<Self>,
        mut place: impl FnMut(u64, &[u8]) -> Option<u64> + Send,
    ) -> impl Iterator<Item = wire::FromCoordinator> + Send {
        let head = self.head();
        let carrying = Arc::clone(&self);
        let placing = move |index: usize| {
            let place = || tensor::place_chunk(&self.values, index, Precision::F32, &mut place);
            *self.placed[index].get_or_init(place)
        };
        let chunks = tensor::chunks(carrying.values.len(), placing, move |index| carrying.carried(index));
        to_messages(head, chunks)
    }

    fn head(&self) -> wire::Parameters {
        let tensor = Some(tensor::head(&self.values, Precision::F32));
        wire::Parameters { id: self.id.0, tensor, setup: self.setup.0 }
    }
}

fn to_messages(
    head: wire::Parameters,
    chunks: impl Iterator<Item = Chunk> + Send,
) -> impl Iterator<Item = wire::FromCoordinator> + Send {
    let messages = std::iter::once(Message::Parameters(head)).chain(chunks.map(Message::Chunk));
    messages.map(|message| wire::FromCoordinator { message: Some(message) })
}
