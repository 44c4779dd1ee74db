//! f32 values on the wire: a head with their number, then little-endian chunks, each with its own checksum.
//!
//! A stream that ends early looks complete to gRPC, so the number of values is announced first. Chunks are
//! cut at fixed places, so equal values have equal chunks. They are made one by one when sent and checked one
//! by one when received. Thus neither side holds a second copy of a tensor, and every pass over a chunk finds
//! it in the cache.
//!
//! Within a machine a chunk's bytes may lie in memory that its sender shares. Then the chunk refers to them and
//! has no checksum: the kernel copies them once from one process to the other, and the sender's lease keeps them
//! as they are until they were read. What is compared between workers is the checksum that the receiver of a
//! gradient computes ([`Inspection`]), which is the same on both ways.

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

/// Number of values in a chunk that lies in shared memory, but for a tensor's last: such a chunk is a message of
/// some bytes, however many values it has, and two system calls. As f32 they take 256 KiB, so a tensor of some
/// megabytes can still be written by one side while the other reads.
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

/// The chunks of a tensor, made as they are asked for. `place` may put bytes at an offset of the tensor into shared
/// memory, and returns where they are. `carried` makes a chunk that carries its values.
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
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    const CHUNK_BYTES: usize = 4 * CHUNK_VALUES;
    const PLACED_BYTES: usize = 4 * PLACED_VALUES;

    fn chunks(values: &[f32]) -> Vec<Chunk> {
        values.chunks(CHUNK_VALUES).map(|values| chunk(values, Precision::F32)).collect()
    }

    fn assemble(head: &TensorHead, chunks: &[Chunk], expected: usize) -> Result<Assembly, WireError> {
        let mut assembly =
            Assembly::new(head, expected, Precision::F32, Inspect::Values, &Buffers::default())?;
        chunks.iter().try_for_each(|chunk| assembly.push(chunk, &SharedMemory::default()))?;
        Ok(assembly)
    }

    fn data(chunk: &Chunk) -> &[u8] {
        match &chunk.place {
            Some(Place::Data(data)) => &data[..],
            _ => panic!("the bytes are not in the chunk"),
        }
    }

    #[test]
    fn values_survive_the_wire_bit_for_bit() {
        for n in [1, 1000, CHUNK_VALUES, CHUNK_VALUES + 1] {
            let values: Vec<f32> = (0..n).map(|i| f32::from_bits((i as u32).wrapping_mul(40_503))).collect();
            let chunks = chunks(&values);
            assert!(chunks.iter().all(|c| data(c).len() <= CHUNK_BYTES));
            let (back, _) = assemble(&head(&values, Precision::F32), &chunks, n).unwrap().finish();
            assert!(values.iter().zip(back.iter()).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }

    #[test]
    fn values_not_finite_are_noticed_and_equal_ones_have_one_checksum() {
        let inspect = |values: &[f32]| {
            let chunks = chunks(values);
            assemble(&head(values, Precision::F32), &chunks, values.len()).unwrap().finish().1
        };
        let mut values = vec![1.0; CHUNK_VALUES + 3];
        let good = inspect(&values);
        assert!(good.is_finite() && good == inspect(&values));
        for at in [0, CHUNK_VALUES + 2] {
            values.fill(1.0);
            values[at] = f32::NAN;
            let bad = inspect(&values);
            values[at] = -1e30;
            assert_eq!(inspect(&values).largest, 1e30);
            assert!(!bad.is_finite() && bad.checksum != good.checksum);
        }
    }

    #[test]
    fn answers_that_differ_in_the_bits_of_a_nan_have_one_checksum() {
        let checksum = |values: &[f32], precision| {
            let chunks = values.chunks(CHUNK_VALUES);
            let chunks = chunks.map(|values| chunk(values, precision));
            let head = head(values, precision);
            let buffers = Buffers::default();
            let mut assembly =
                Assembly::new(&head, values.len(), precision, Inspect::Values, &buffers).unwrap();
            chunks.for_each(|chunk| assembly.push(&chunk, &SharedMemory::default()).unwrap());
            assembly.finish().1.checksum
        };
        for precision in [Precision::F32, Precision::Bf16] {
            for at in [0, CHUNK_VALUES + 2] {
                // x86, ARM, and one that carries an operand's bits.
                let [x86, arm, carried, infinite] =
                    [0xffc0_0000, 0x7fc0_0000, 0x7fc1_0000, 0x7f80_0000].map(|bits| {
                        let mut values = vec![1.0; CHUNK_VALUES + 3];
                        values[at] = f32::from_bits(bits);
                        checksum(&values, precision)
                    });
                assert_eq!((x86, carried), (arm, arm));
                assert_ne!(x86, infinite);
            }
        }
    }

    #[test]
    fn bytes_in_shared_memory_arrive_too_and_are_inspected_the_same() {
        let values: Vec<f32> = (0..PLACED_VALUES + CHUNK_VALUES + 10).map(|i| i as f32).collect();
        let memory = Arc::new(Mutex::new(vec![0; 8]));
        let place = |at: u64, bytes: &[u8]| {
            let mut memory = memory.lock().unwrap();
            assert_eq!(memory.len() as u64, at + 8);
            memory.extend_from_slice(bytes);
            Some(at + 8)
        };
        let chunks: Vec<Chunk> = super::chunks(
            values.len(),
            |index| place_chunk(&values, index, Precision::F32, place),
            |_| unreachable!("all are placed"),
        )
        .collect();
        assert_eq!(chunks.len(), 2);
        let view = Arc::clone(&memory);
        let shared_memory = SharedMemory::new(Box::new(move |at, bytes| {
            let memory = view.lock().unwrap();
            let from = memory.get(at as usize..).unwrap_or_default();
            bytes.copy_from_slice(from.get(..bytes.len()).ok_or(std::io::ErrorKind::UnexpectedEof)?);
            Ok(())
        }));
        let arrive = || {
            let mut assembly = Assembly::new(
                &head(&values, Precision::F32),
                values.len(),
                Precision::F32,
                Inspect::Values,
                &Buffers::default(),
            )?;
            chunks.iter().try_for_each(|chunk| assembly.push(chunk, &shared_memory)).map(|()| assembly)
        };
        let whole = arrive().unwrap();
        assert!(whole.is_from_shared_memory());
        let (arrived, inspection) = whole.finish();
        assert_eq!(*arrived, *values);
        let carried = self::chunks(&values);
        let sent = assemble(&head(&values, Precision::F32), &carried, values.len()).unwrap();
        assert_eq!(sent.finish().1, inspection, "a worker is compared with one on another machine");
        memory.lock().unwrap()[4 * CHUNK_BYTES + 9] ^= 1;
        assert_ne!(arrive().unwrap().finish().1.checksum, inspection.checksum, "an audit sees it");
        memory.lock().unwrap().truncate(4 * CHUNK_BYTES + 9);
        assert!(matches!(arrive(), Err(WireError::Memory { at: PLACED_BYTES })));
        assert!(matches!(
            assemble(&head(&values, Precision::F32), &chunks, values.len()),
            Err(WireError::Memory { at: 0 })
        ));
    }

    #[test]
    fn bf16_takes_half_the_bytes_and_must_be_agreed_on() {
        let n = CHUNK_VALUES + 3;
        let mut values: Vec<f32> = (0..n).map(|i| i as f32 * 0.1).collect();
        Precision::Bf16.round(&mut values);
        let chunks: Vec<Chunk> = (0..2).map(|index| chunk(part(&values, index), Precision::Bf16)).collect();
        assert_eq!(chunks.iter().map(|chunk| data(chunk).len()).sum::<usize>(), 2 * n);
        let head = head(&values, Precision::Bf16);
        let mut assembly =
            Assembly::new(&head, n, Precision::Bf16, Inspect::Values, &Buffers::default()).unwrap();
        chunks.iter().try_for_each(|chunk| assembly.push(chunk, &SharedMemory::default())).unwrap();
        assert_eq!(*assembly.finish().0, *values);
        let expected = Precision::F32;
        let got = Precision::Bf16;
        assert_eq!(assemble(&head, &chunks, n).unwrap_err(), WireError::Dtype { expected, got });
    }

    #[test]
    fn wrong_lengths_and_changed_bytes_are_refused() {
        let head = head(&[1.0, 2.0, 3.0], Precision::F32);
        let mut chunk = chunk(&[1.0, 2.0, 3.0], Precision::F32);
        assert_eq!(assemble(&head, &[], 4).unwrap_err(), WireError::Elements { expected: 4, got: 3 });
        let refusal = |chunks: &[Chunk]| assemble(&head, chunks, 3).unwrap_err();
        for length in [0, 7, 8, 16] {
            let other = Chunk { place: Some(Place::Data(vec![0; length].into())), crc32: 0 };
            assert!(matches!(refusal(&[other]), WireError::Chunk { at: 0, expected: 12, .. }));
        }
        chunk.crc32 ^= 1;
        assert!(matches!(refusal(&[chunk]), WireError::Checksum { at: 0, .. }));
    }
}
