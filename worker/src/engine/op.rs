//! The operators of the networks, as Candle custom operators with exact gradients.
//!
//! Candle's own max-pool gradient is wrong and its convolution gradient slow, so the layers here have their
//! own. Each is one operator with fused bias and ReLU (and pooling). All arithmetic of an operator runs on
//! the calling thread in one fixed order, so the bits of a leaf do not depend on other threads.
//!
//! Activations are `[n, h, w, c]`; weights keep PyTorch's layout. Operands must be contiguous. [`conv`]
//! chooses the algorithm of a convolution, [`linear`] and [`loss`] are the other operators, and [`matmul`]
//! has the matrix products.

pub(crate) mod channels;
pub mod conv;
pub(crate) mod elementwise;
pub mod linear;
pub mod loss;
pub mod matmul;
mod scratch;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor};
use std::ops::{Deref, Range};

/// The values of an operator's operand, which must be contiguous f32.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("an operand of shape {:?} is not contiguous", layout.shape()),
    }
}

/// The values of a contiguous f32 tensor, read in place while this guard lives.
struct Borrowed<Guard> {
    storage: Guard,
    range: Range<usize>,
}

/// The values of `tensor`, which must be contiguous f32 in main memory.
pub(crate) fn borrow(tensor: &Tensor) -> Result<impl Deref<Target = [f32]>> {
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(_)), Some((start, end))) => Ok(Borrowed { storage, range: start..end }),
        _ => {
            candle_core::bail!("a {:?} tensor {layout:?} is not contiguous {:?}", tensor.dtype(), DType::F32)
        }
    }
}

impl<Guard: Deref<Target = Storage>> Deref for Borrowed<Guard> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => unreachable!("a tensor's storage keeps its kind, and `borrow` checked it"),
        }
    }
}

/// A copy of a tensor's values in row-major order.
pub(crate) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

#[cfg(test)]
pub(crate) mod testing;
