//! The operators that the networks are made of, as Candle custom operators with exact gradients.
//!
//! Candle's own max-pool gradient is wrong and its convolution gradient slow, so the layers here bring their own:
//! each is one operator with bias and ReLU (and pooling) fused. All arithmetic of an operator runs on the calling
//! thread in one fixed order, so the bits of a leaf do not depend on what other threads do.
//!
//! Activations are `[n, h, w, c]`; weights keep PyTorch's layout. [`conv`] chooses how a convolution is computed.

pub mod conv;
pub mod linear;
pub mod loss;
pub mod matmul;

use candle_core::{CpuStorage, Layout, Result, Tensor};

/// The values of an operator's operand, which must be contiguous f32.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("an operand of shape {:?} is not contiguous", layout.shape()),
    }
}

/// A copy of a tensor's values in row-major order.
pub(crate) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.flatten_all()?.to_vec1()
}

#[cfg(test)]
pub(crate) mod testing;
