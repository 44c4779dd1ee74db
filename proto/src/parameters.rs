//! Parameters that go to many workers: each chunk is encoded once, when the first of them is sent it.
//!
//! So a stream can carry the first chunk while the last is not yet encoded. For streams within a machine a chunk may be
//! placed in shared memory instead, also once. Who gets which is the caller's business.

use crate::tensor;
use crate::wire::{self, Chunk, from_coordinator::Message};
use common::ids::{ParamsId, SetupId};
use common::reduce::precision::Precision;
use std::sync::{Arc, OnceLock};

/// The values of one version of the parameters, and their chunks so far.
#[derive(Debug)]
pub struct EncodedParameters {
    id: ParamsId,
    setup: SetupId,
    values: Arc<Vec<f32>>,
    /// With their bytes.
    inline: Vec<OnceLock<Chunk>>,
    /// With where their bytes lie.
    placed: Vec<OnceLock<Chunk>>,
}

impl EncodedParameters {
    /// Parameters of that setup under a number that is higher than that of any before; nothing is encoded yet.
    #[must_use]
    pub fn new(id: ParamsId, setup: SetupId, values: Arc<Vec<f32>>) -> Self {
        let none = || vec![OnceLock::new(); values.len().div_ceil(tensor::CHUNK_VALUES)];
        Self { id, setup, inline: none(), placed: none(), values }
    }

    /// Their number.
    #[must_use]
    pub fn id(&self) -> ParamsId {
        self.id
    }

    /// The setup that they belong to.
    #[must_use]
    pub fn setup(&self) -> SetupId {
        self.setup
    }

    /// Bytes of all values.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        size_of_val(self.values.as_slice()) as u64
    }

    /// The messages that carry them, each made when it is asked for.
    pub fn messages(self: Arc<Self>) -> impl Iterator<Item = wire::FromCoordinator> + Send {
        let head = self.head();
        let chunks = (0..self.inline.len()).map(move |index| {
            self.inline[index].get_or_init(|| tensor::chunk(tensor::part(&self.values, index))).clone()
        });
        to_messages(head, chunks)
    }

    /// The messages that say where they lie. `place` puts the bytes at an offset of the tensor where the receiver can
    /// read them and says where that is; a chunk for which it can't is sent whole.
    pub fn placed_messages(
        self: Arc<Self>,
        mut place: impl FnMut(u64, &[u8]) -> Option<u64> + Send,
    ) -> impl Iterator<Item = wire::FromCoordinator> + Send {
        let head = self.head();
        let chunks = (0..self.placed.len()).map(move |index| {
            let part = tensor::part(&self.values, index);
            self.placed[index]
                .get_or_init(|| tensor::placed_chunk(part, index, Precision::F32, &mut place))
                .clone()
        });
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
