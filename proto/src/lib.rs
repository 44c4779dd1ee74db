//! The wire: generated messages, and the only conversions between them and the types of `common`.
//!
//! Reading order: [`message`] holds what each side means to say, [`outbound`] turns that into wire messages
//! ([`parameters`] those that many workers get; [`setup`] is what both must know of a run), [`inbound`] turns hostile wire messages back into it or into a
//! [`WireError`], [`tensor`] cuts f32 values into chunks and puts them together in buffers of [`values`]. Nothing behind this crate has to distrust a message again.

#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated from cluster.proto, which is documented"
)]
pub mod wire {
    tonic::include_proto!("lockstep.v1");
}

mod error;
pub mod inbound;
pub mod message;
pub mod outbound;
pub mod parameters;
pub mod setup;
pub mod tensor;
pub mod values;

pub use error::WireError;

/// Both sides must speak the same version; a worker of another one is refused.
pub const PROTOCOL_VERSION: u32 = 4;

/// Largest encoded message that either side accepts: 512 KiB of samples, or the counts of a piece's evaluation.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// HTTP/2 window of a stream and of a connection, both sides: a round trip does not stall the tensors of large models.
pub const WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// Largest HTTP/2 frame, both sides: a chunk and its message in one, where the default of 16 KiB costs a system call each.
pub const FRAME_BYTES: u32 = 128 * 1024;

/// Messages of a tensor that are made in one go; then the stream's other tasks have their turn, so that what is ready is
/// sent while the rest is made.
pub const MESSAGES_AT_ONCE: usize = 16;

/// Often enough for a side to be told that a tensor is still arriving: well below any time after which silence is death.
pub const STILL_ARRIVING: std::time::Duration = std::time::Duration::from_millis(20);
