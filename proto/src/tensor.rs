//! f32 values on the wire: a head with their number, then little-endian chunks, each with its own checksum.
//!
//! A stream that ends early looks complete to gRPC, so the number of values is announced first. Chunks are
//! cut at fixed places, so equal values have equal chunks. They are made one by one when sent and checked one
//! by one when received. Thus neither side holds a second copy of a tensor, and every pass over a chunk finds
//! it in the cache.
//!
//! Within a machine a chunk's bytes may lie in memory that its sender shares. Then the chunk refers to them
//! and has no checksum: the kernel copies them once from one process to the other, and the sender's lease
//! keeps them as they are until they were read. What is compared between workers is the checksum that the
//! receiver of a gradient computes ([`Inspection`]), which is the same on both ways.

use crate::WireError;
use crate::message::Inspection;
use crate::values::{Buffers, Values};
use crate::wire::chunk::Place;
use crate::wire::{Chunk, Dtype, TensorHead};
use common::reduce::precision::{self, Precision};
use std::borrow::Cow;
use std::fmt;

/// Number of values in every chunk but a tensor's last. As f32 they take 64 KiB, which fits a core's
/// second-level cache with room for what is done to them.
pub const CHUNK_VALUES: usize = 16 * 1024;

/// Number of values in a chunk that lies in shared memory, but for a tensor's last: such a chunk is a message
/// of some bytes, however many values it has, and two system calls. As f32 they take 256 KiB, so a tensor of
/// some megabytes can still be written by one side while the other reads.
pub const PLACED_VALUES: usize = 4 * CHUNK_VALUES;
/// Bits that stand for every NaN in an answer's checksum.
const ANY_NAN: u32 = 0x7fc0_0000;

/// Head that announces `values`.
#[must_use]
pub(crate) fn head(values: &[f32], precision: Precision) -> TensorHead {
    TensorHead { elements: values.len() as u64, dtype: dtype(precision).into() }
}

/// Wire form of a precision.
pub(crate) fn dtype(precision: Precision) -> Dtype {
    match precision {
        Precision::F32 => Dtype::F32,
        Precision::Bf16 => Dtype::Bf16,
    }
}

/// Precision in that wire form.
pub(crate) fn precision(dtype: Dtype) -> Result<Precision, WireError> {
    match dtype {
        Dtype::F32 => Ok(Precision::F32),
        Dtype::Bf16 => Ok(Precision::Bf16),
        Dtype::Unspecified => Err(WireError::Missing("a dtype")),
    }
}

/// Values of chunk `index`.
#[must_use]
pub(crate) fn part(values: &[f32], index: usize) -> &[f32] {
    let rest = &values[index * CHUNK_VALUES..];
    &rest[..rest.len().min(CHUNK_VALUES)]
}

/// A chunk that carries at most [`CHUNK_VALUES`] values, rounded to `precision`.
#[must_use]
pub(crate) fn chunk(values: &[f32], precision: Precision) -> Chunk {
    let bytes = little_endian(values, precision);
    Chunk { crc32: crc32fast::hash(&bytes), place: Some(Place::Data(bytes.to_vec().into())) }
}

/// A chunk whose values lie at an offset of the sender's shared memory.
#[must_use]
pub(crate) fn chunk_at(offset: u64) -> Chunk {
    Chunk { crc32: 0, place: Some(Place::At(offset)) }
}

/// Number of chunks that lie in shared memory, for a tensor of so many values.
#[must_use]
pub(crate) fn placed_chunks(values: usize) -> usize {
    values.div_ceil(PLACED_VALUES)
}

/// Places the values of chunk `index` of those. Returns where they are, or `None` if they must be carried.
pub(crate) fn place_chunk(
    values: &[f32],
    index: usize,
    precision: Precision,
    place: impl FnOnce(u64, &[u8]) -> Option<u64>,
) -> Option<u64> {
    let rest = &values[index * PLACED_VALUES..];
    let bytes = little_endian(&rest[..rest.len().min(PLACED_VALUES)], precision);
    place((index * PLACED_VALUES * precision.bytes()) as u64, &bytes)
}

/// The chunks of a tensor, made as they are asked for. `place` may put bytes at an offset of the tensor into
/// shared memory, and returns where they are. `carried` makes a chunk that carries its values.
pub(crate) fn chunks(
    values: usize,
    mut place: impl FnMut(usize) -> Option<u64>,
    carried: impl Fn(usize) -> Chunk,
) -> impl Iterator<Item = Chunk> {
    const EACH: usize = PLACED_VALUES / CHUNK_VALUES;
    let all = values.div_ceil(CHUNK_VALUES);
    let parts = (0..placed_chunks(values)).flat_map(move |index| {
        let at = place(index);
        let carried = EACH.min(all - index * EACH);
        (0..if at.is_some() { 1 } else { carried }).map(move |part| (at, index * EACH + part))
    });
    parts.map(move |(at, part)| at.map_or_else(|| carried(part), chunk_at))
}

/// Bytes of the values on the wire. On most machines an f32's bytes already have this order.
fn little_endian(values: &[f32], precision: Precision) -> Cow<'_, [u8]> {
    match precision {
        Precision::F32 if cfg!(target_endian = "little") => Cow::Borrowed(bytemuck::cast_slice(values)),
        Precision::F32 => Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        Precision::Bf16 => {
            let narrow: Vec<u16> = values.iter().map(|&value| precision::narrow(value).to_le()).collect();
            Cow::Owned(bytemuck::cast_slice(&narrow).to_vec())
        }
    }
}

/// Function that fills the bytes from an offset in the other side's shared memory.
pub type Read = Box<dyn Fn(u64, &mut [u8]) -> std::io::Result<()> + Send + Sync>;

/// Reader of chunks in the other side's shared memory, if there is one.
#[derive(Default)]
pub(crate) struct SharedMemory(Option<Read>);

impl SharedMemory {
    pub(crate) fn new(read: Read) -> Self {
        Self(Some(read))
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> bool {
        self.0.as_ref().is_some_and(|read| read(at, bytes).is_ok())
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedMemory").field(&self.0.is_some()).finish()
    }
}

/// Whether a tensor's values are inspected as they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inspect {
    /// Gradients, for audits and the rules of outliers.
    Values,
    /// Parameters, which are used as they are.
    Nothing,
}

/// A tensor that arrives chunk by chunk.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// Values of the tensor, allocated at its first chunk. Those beyond `filled` have no meaning yet.
    values: Values,
    filled: usize,
    elements: usize,
    buffers: Buffers,
    precision: Precision,
    inspect: Inspect,
    /// Buffer for a chunk that is narrower than its values.
    narrow: Vec<u16>,
    /// Hash over the chunks' checksums.
    hasher: crc32fast::Hasher,
    /// Largest magnitude so far.
    largest: f32,
    /// Whether a chunk's bytes came from shared memory.
    from_shared_memory: bool,
}

impl Assembly {
    /// An empty tensor, after its head. The head must announce as many elements as the model has, in the
    /// precision agreed on.
    pub(crate) fn new(
        head: &TensorHead,
        expected: usize,
        agreed: Precision,
        inspect: Inspect,
        buffers: &Buffers,
    ) -> Result<Self, WireError> {
        let got = precision(head.dtype())?;
        if got != agreed {
            return Err(WireError::Dtype { expected: agreed, got });
        }
        if head.elements != expected as u64 {
            return Err(WireError::Elements { expected, got: head.elements });
        }
        Ok(Self {
            values: Values::default(),
            filled: 0,
            elements: expected,
            buffers: buffers.clone(),
            precision: agreed,
            inspect,
            narrow: Vec::new(),
            hasher: crc32fast::Hasher::new(),
            largest: 0.0,
            from_shared_memory: false,
        })
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.filled == self.elements
    }

    /// Whether its sender keeps bytes in shared memory for it.
    pub(crate) fn is_from_shared_memory(&self) -> bool {
        self.from_shared_memory
    }

    /// Adds a chunk to a tensor that is not yet complete. After an error the tensor must not be used.
    pub(crate) fn push(&mut self, chunk: &Chunk, shared_memory: &SharedMemory) -> Result<(), WireError> {
        let at = self.filled * self.precision.bytes();
        if self.values.is_empty() {
            self.values = self.buffers.take(self.elements);
        }
        let is_placed = matches!(chunk.place, Some(Place::At(_)));
        let most = if is_placed { PLACED_VALUES } else { CHUNK_VALUES };
        let new = &mut self.values[self.filled..];
        let new = if new.len() < most { new } else { &mut new[..most] };
        let bytes: &mut [u8] = match self.precision {
            Precision::F32 => bytemuck::cast_slice_mut(new),
            Precision::Bf16 => {
                self.narrow.resize(new.len(), 0);
                bytemuck::cast_slice_mut(&mut self.narrow)
            }
        };
        let expected = bytes.len();
        assert!(expected > 0, "a tensor that is complete takes no chunk");
        match &chunk.place {
            Some(Place::Data(data)) if data.len() == expected => bytes.copy_from_slice(data),
            Some(Place::Data(data)) => return Err(WireError::Chunk { at, expected, got: data.len() }),
            Some(Place::At(offset)) => {
                self.from_shared_memory = true;
                if !shared_memory.read(*offset, bytes) {
                    return Err(WireError::Memory { at });
                }
            }
            None => return Err(WireError::Missing("a chunk's bytes")),
        }
        if !is_placed || self.inspect == Inspect::Values {
            // The checksum of a tensor does not depend on how it came.
            for bytes in bytes.chunks(CHUNK_VALUES * self.precision.bytes()) {
                let got = crc32fast::hash(bytes);
                if !is_placed && got != chunk.crc32 {
                    return Err(WireError::Checksum { at, announced: chunk.crc32 });
                }
                self.hasher.update(&got.to_le_bytes());
            }
        }
        match self.precision {
            Precision::F32 if cfg!(target_endian = "little") => {}
            Precision::F32 => {
                new.iter_mut().for_each(|value| *value = f32::from_bits(u32::from_le(value.to_bits())));
            }
            Precision::Bf16 => {
                let narrow = self.narrow.iter().map(|&value| precision::widen(u16::from_le(value)));
                new.iter_mut().zip(narrow).for_each(|(new, value)| *new = value);
            }
        }
        if self.inspect == Inspect::Values {
            self.largest = larger(self.largest, precision::largest_magnitude(new));
        }
        self.filled += new.len();
        Ok(())
    }

    /// The values, and their properties where they were inspected.
    pub(crate) fn finish(self) -> (Values, Inspection) {
        let is_finite = self.largest.is_finite();
        let checksum =
            if is_finite { self.hasher.finalize() } else { without_nan_bits(&self.values, self.precision) };
        (self.values, Inspection { checksum, largest: self.largest })
    }
}

/// The checksum that these values have when every NaN is the same one: which NaN an operation gives depends
/// on the CPU.
fn without_nan_bits(values: &[f32], precision: Precision) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for chunk in values.chunks(CHUNK_VALUES) {
        let alike = |&value: &f32| if value.is_nan() { f32::from_bits(ANY_NAN) } else { value };
        let chunk: Vec<f32> = chunk.iter().map(alike).collect();
        hasher.update(&crc32fast::hash(&little_endian(&chunk, precision)).to_le_bytes());
    }
    hasher.finalize()
}

/// The larger of two magnitudes. A value that is not finite is larger than all that are: `f32::max` would
/// drop a NaN.
fn larger(a: f32, b: f32) -> f32 {
    if a.to_bits() < b.to_bits() { b } else { a }
}

#[cfg(test)]
mod tests;
