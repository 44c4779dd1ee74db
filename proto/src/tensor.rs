//! f32 values on the wire: a head with their number, then little-endian chunks, each with its own checksum.
//!
//! A stream that ends early looks complete to gRPC, so the number is announced first. Chunks are cut at fixed places:
//! equal values have equal chunks. They are made one by one as they are sent and checked one by one as they arrive, so
//! neither side holds a second copy of a tensor, and every pass over a chunk finds it in the cache.

use crate::WireError;
use crate::message::Inspection;
use crate::values::{Buffers, Values};
use crate::wire::{Chunk, TensorHead};

/// All chunks but a tensor's last have this size: it fits a core's second cache with room for the values beside it.
pub const CHUNK_BYTES: usize = 64 * 1024;

const F32_BYTES: usize = size_of::<f32>();
/// Values of a whole chunk.
pub const CHUNK_VALUES: usize = CHUNK_BYTES / F32_BYTES;

/// What announces `values`.
#[must_use]
pub fn head(values: &[f32]) -> TensorHead {
    TensorHead { elements: values.len() as u64 }
}

/// One chunk of at most [`CHUNK_VALUES`] values.
#[must_use]
pub fn chunk(values: &[f32]) -> Chunk {
    let mut bytes = vec![0; values.len() * F32_BYTES];
    let (places, _) = bytes.as_chunks_mut::<F32_BYTES>();
    places.iter_mut().zip(values).for_each(|(place, value)| *place = value.to_le_bytes());
    let crc32 = crc32fast::hash(&bytes);
    Chunk { data: bytes.into(), crc32 }
}

/// All chunks, each made when it is asked for.
pub fn chunks(values: &[f32]) -> impl Iterator<Item = Chunk> {
    values.chunks(CHUNK_VALUES).map(chunk)
}

/// Values that arrive chunk by chunk.
#[derive(Debug)]
pub(crate) struct Assembly {
    values: Values,
    elements: usize,
    /// Of the chunks' checksums.
    hasher: crc32fast::Hasher,
    finite: bool,
}

impl Assembly {
    /// Starts with a head, which must announce as many elements as the model has.
    pub(crate) fn new(head: &TensorHead, expected: usize, buffers: &Buffers) -> Result<Self, WireError> {
        if head.elements != expected as u64 {
            return Err(WireError::Elements { expected, got: head.elements });
        }
        let values = buffers.take(expected);
        Ok(Self { values, elements: expected, hasher: crc32fast::Hasher::new(), finite: true })
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.values.len() == self.elements
    }

    /// Takes one chunk.
    pub(crate) fn push(&mut self, chunk: &Chunk) -> Result<(), WireError> {
        let at = self.values.len() * F32_BYTES;
        let expected = CHUNK_BYTES.min((self.elements - self.values.len()) * F32_BYTES);
        if chunk.data.len() != expected || expected == 0 {
            return Err(WireError::Chunk { at, expected, got: chunk.data.len() });
        }
        let got = crc32fast::hash(&chunk.data);
        if got != chunk.crc32 {
            return Err(WireError::Checksum { at, expected: chunk.crc32, got });
        }
        self.hasher.update(&got.to_le_bytes());
        let (numbers, _) = chunk.data.as_chunks::<F32_BYTES>();
        let first = self.values.len();
        self.values.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        // No early end: a loop without branches is faster than one that hopes for a NaN.
        self.finite &= self.values[first..].iter().fold(true, |finite, value| finite & value.is_finite());
        Ok(())
    }

    /// The values, and what was seen of them on the way.
    pub(crate) fn finish(self) -> (Values, Inspection) {
        (self.values, Inspection { checksum: self.hasher.finalize(), finite: self.finite })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(head: &TensorHead, chunks: &[Chunk], expected: usize) -> Result<Assembly, WireError> {
        let mut assembly = Assembly::new(head, expected, &Buffers::default())?;
        chunks.iter().try_for_each(|chunk| assembly.push(chunk))?;
        Ok(assembly)
    }

    #[test]
    fn values_survive_the_wire_bit_for_bit() {
        for n in [1, 1000, CHUNK_VALUES, CHUNK_VALUES + 1] {
            let values: Vec<f32> = (0..n).map(|i| f32::from_bits((i as u32).wrapping_mul(40_503))).collect();
            let chunks: Vec<Chunk> = chunks(&values).collect();
            assert!(chunks.iter().all(|c| c.data.len() <= CHUNK_BYTES));
            let (back, _) = assemble(&head(&values), &chunks, n).unwrap().finish();
            assert!(values.iter().zip(back.iter()).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }

    #[test]
    fn values_that_are_not_finite_are_noticed_and_equal_ones_have_one_checksum() {
        let inspect = |values: &[f32]| {
            let chunks: Vec<Chunk> = chunks(values).collect();
            assemble(&head(values), &chunks, values.len()).unwrap().finish().1
        };
        let mut values = vec![1.0; CHUNK_VALUES + 3];
        let good = inspect(&values);
        assert!(good.finite && good == inspect(&values));
        for at in [0, CHUNK_VALUES + 2] {
            values.fill(1.0);
            values[at] = f32::NAN;
            let bad = inspect(&values);
            assert!(!bad.finite && bad.checksum != good.checksum);
        }
    }

    #[test]
    fn wrong_lengths_and_changed_bytes_are_refused() {
        let (head, mut chunk) = (head(&[1.0, 2.0, 3.0]), chunk(&[1.0, 2.0, 3.0]));
        assert_eq!(assemble(&head, &[], 4).unwrap_err(), WireError::Elements { expected: 4, got: 3 });
        let refusal = |chunks: &[Chunk]| assemble(&head, chunks, 3).unwrap_err();
        for length in [0, 7, 8, 16] {
            let other = Chunk { data: vec![0; length].into(), crc32: 0 };
            assert!(matches!(refusal(&[other]), WireError::Chunk { at: 0, expected: 12, .. }));
        }
        assert!(matches!(
            refusal(&[chunk.clone(), chunk.clone()]),
            WireError::Chunk { at: 12, expected: 0, .. }
        ));
        chunk.crc32 ^= 1;
        assert!(matches!(refusal(&[chunk]), WireError::Checksum { at: 0, .. }));
    }
}
