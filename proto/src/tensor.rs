//! f32 values on the wire: little-endian chunks under one announced length and checksum.
//!
//! A stream that ends early looks complete to gRPC, so the length and the CRC-32 of the whole are announced first.

use crate::WireError;
use crate::wire::TensorHead;
use bytes::Bytes;

/// Largest chunk: a quarter of what gRPC libraries accept by default, and a divisor of four.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;

const F32_BYTES: usize = size_of::<f32>();

/// Values in chunks, with their head.
#[must_use]
pub fn encode(values: &[f32]) -> (TensorHead, Vec<Bytes>) {
    let mut hasher = crc32fast::Hasher::new();
    let chunk = |values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        hasher.update(&bytes);
        Bytes::from(bytes)
    };
    let chunks = values.chunks(CHUNK_BYTES_MAX / F32_BYTES).map(chunk).collect();
    (TensorHead { elements: values.len() as u64, crc32: hasher.finalize() }, chunks)
}

/// Values that arrive chunk by chunk.
#[derive(Debug)]
pub(crate) struct Assembly {
    values: Vec<f32>,
    elements: usize,
    crc32: u32,
    hasher: crc32fast::Hasher,
}

impl Assembly {
    /// Starts with a head, which must announce as many elements as the model has.
    pub(crate) fn new(head: &TensorHead, expected: usize) -> Result<Self, WireError> {
        if head.elements != expected as u64 {
            return Err(WireError::Elements { expected, got: head.elements });
        }
        let values = Vec::with_capacity(expected);
        Ok(Self { values, elements: expected, crc32: head.crc32, hasher: crc32fast::Hasher::new() })
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.values.len() == self.elements
    }

    /// Takes one chunk.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), WireError> {
        let left = (self.elements - self.values.len()) * F32_BYTES;
        let (numbers, rest) = chunk.as_chunks::<F32_BYTES>();
        if chunk.is_empty() || !rest.is_empty() || chunk.len() > left || chunk.len() > CHUNK_BYTES_MAX {
            return Err(WireError::Chunk { bytes: chunk.len(), left, max: CHUNK_BYTES_MAX });
        }
        self.hasher.update(chunk);
        self.values.extend(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        Ok(())
    }

    /// The values, when their checksum is the announced one.
    pub(crate) fn finish(self) -> Result<Vec<f32>, WireError> {
        let got = self.hasher.finalize();
        if got != self.crc32 {
            return Err(WireError::Checksum { expected: self.crc32, got });
        }
        Ok(self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(head: &TensorHead, chunks: &[Bytes], expected: usize) -> Result<Vec<f32>, WireError> {
        let mut assembly = Assembly::new(head, expected)?;
        for chunk in chunks {
            assembly.push(chunk)?;
        }
        assembly.finish()
    }

    #[test]
    fn values_survive_the_wire_bit_for_bit() {
        for n in [1, 1000, CHUNK_BYTES_MAX / F32_BYTES, CHUNK_BYTES_MAX / F32_BYTES + 1] {
            let values: Vec<f32> = (0..n).map(|i| f32::from_bits((i as u32).wrapping_mul(40_503))).collect();
            let (head, chunks) = encode(&values);
            assert!(chunks.iter().all(|c| c.len() <= CHUNK_BYTES_MAX));
            let back = assemble(&head, &chunks, n).unwrap();
            assert!(values.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()));
        }
    }

    #[test]
    fn wrong_lengths_and_changed_bytes_are_refused() {
        let (head, chunks) = encode(&[1.0, 2.0, 3.0]);
        assert_eq!(assemble(&head, &chunks, 4), Err(WireError::Elements { expected: 4, got: 3 }));
        let error = |chunk: &[u8]| assemble(&head, &[Bytes::copy_from_slice(chunk)], 3).unwrap_err();
        assert!(matches!(error(&[]), WireError::Chunk { .. }));
        assert!(matches!(error(&[0; 7]), WireError::Chunk { .. }));
        assert!(matches!(error(&[0; 16]), WireError::Chunk { left: 12, .. }));
        assert!(matches!(error(&[0; 12]), WireError::Checksum { .. }));
    }
}
