//! f32 values on the wire: a head with their number, then little-endian chunks, each with its own checksum.
//!
//! A stream that ends early looks complete to gRPC, so the number of values is announced first. Chunks are
//! cut at fixed places, so equal values have equal chunks. They are made one by one when sent and checked one
//! by one when received. Thus neither side holds a second copy of a tensor, and every pass over a chunk finds
//! it in the cache. Within a machine a chunk's bytes may lie in memory that its sender shares. Then the chunk
//! refers to them, and all else is the same.

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

/// A chunk of at most [`CHUNK_VALUES`] values.
#[must_use]
pub(crate) fn chunk(values: &[f32]) -> Chunk {
    placed_chunk(values, 0, Precision::F32, |_, _| None)
}

/// Chunk `index` of a tensor, with `values` rounded to `precision`. `place` may put its bytes into shared
/// memory; otherwise the chunk carries them.
pub(crate) fn placed_chunk(
    values: &[f32],
    index: usize,
    precision: Precision,
    mut place: impl FnMut(u64, &[u8]) -> Option<u64>,
) -> Chunk {
    let bytes = little_endian(values, precision);
    let place = match place((index * CHUNK_VALUES * precision.bytes()) as u64, &bytes) {
        Some(at) => Place::At(at),
        None => Place::Data(bytes.to_vec().into()),
    };
    Chunk { crc32: crc32fast::hash(&bytes), place: Some(place) }
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

/// A tensor that arrives chunk by chunk.
#[derive(Debug)]
pub(crate) struct Assembly {
    /// Values of the tensor, allocated at its first chunk. Those beyond `filled` have no meaning yet.
    values: Values,
    filled: usize,
    elements: usize,
    buffers: Buffers,
    precision: Precision,
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
        let new = &mut self.values[self.filled..];
        let new = if new.len() < CHUNK_VALUES { new } else { &mut new[..CHUNK_VALUES] };
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
        let got = crc32fast::hash(bytes);
        if got != chunk.crc32 {
            return Err(WireError::Checksum { at, announced: chunk.crc32 });
        }
        self.hasher.update(&got.to_le_bytes());
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
        self.largest = larger(self.largest, precision::largest_magnitude(new));
        self.filled += new.len();
        Ok(())
    }

    /// The values, and their properties.
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

    fn chunks(values: &[f32]) -> Vec<Chunk> {
        values.chunks(CHUNK_VALUES).map(chunk).collect()
    }

    fn assemble(head: &TensorHead, chunks: &[Chunk], expected: usize) -> Result<Assembly, WireError> {
        let mut assembly = Assembly::new(head, expected, Precision::F32, &Buffers::default())?;
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
            let chunks = chunks.map(|values| placed_chunk(values, 0, precision, |_, _| None));
            let head = head(values, precision);
            let mut assembly = Assembly::new(&head, values.len(), precision, &Buffers::default()).unwrap();
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
    fn bytes_in_shared_memory_arrive_too_and_are_checked_the_same() {
        let values: Vec<f32> = (0..CHUNK_VALUES + 10).map(|i| i as f32).collect();
        let memory = Arc::new(Mutex::new(vec![0; 8]));
        let mut place = |at: u64, bytes: &[u8]| {
            let mut memory = memory.lock().unwrap();
            assert_eq!(memory.len() as u64, at + 8);
            memory.extend_from_slice(bytes);
            Some(at + 8)
        };
        let chunks =
            [0, 1].map(|index| placed_chunk(part(&values, index), index, Precision::F32, &mut place));
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
                &Buffers::default(),
            )?;
            chunks.iter().try_for_each(|chunk| assembly.push(chunk, &shared_memory)).map(|()| assembly)
        };
        let whole = arrive().unwrap();
        assert!(whole.is_from_shared_memory());
        assert_eq!(*whole.finish().0, *values);
        memory.lock().unwrap()[CHUNK_BYTES + 9] ^= 1;
        assert!(matches!(arrive(), Err(WireError::Checksum { at: CHUNK_BYTES, .. })));
        memory.lock().unwrap().truncate(CHUNK_BYTES + 9);
        assert!(matches!(arrive(), Err(WireError::Memory { at: CHUNK_BYTES })));
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
        let chunks: Vec<Chunk> = (0..2)
            .map(|index| placed_chunk(part(&values, index), index, Precision::Bf16, |_, _| None))
            .collect();
        assert_eq!(chunks.iter().map(|chunk| data(chunk).len()).sum::<usize>(), 2 * n);
        let head = head(&values, Precision::Bf16);
        let mut assembly = Assembly::new(&head, n, Precision::Bf16, &Buffers::default()).unwrap();
        chunks.iter().try_for_each(|chunk| assembly.push(chunk, &SharedMemory::default())).unwrap();
        assert_eq!(*assembly.finish().0, *values);
        let expected = Precision::F32;
        let got = Precision::Bf16;
        assert_eq!(assemble(&head, &chunks, n).unwrap_err(), WireError::Dtype { expected, got });
    }

    #[test]
    fn wrong_lengths_and_changed_bytes_are_refused() {
        let head = head(&[1.0, 2.0, 3.0], Precision::F32);
        let mut chunk = chunk(&[1.0, 2.0, 3.0]);
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
