//! The wire: generated messages, and the only conversions between them and the types of `common`.
//!
//! Reading order: [`message`] has the messages of each side. [`outbound`] turns them into wire messages;
//! [`parameters`] does so once for many workers. [`setup`] is what both sides must know of a run. [`inbound`]
//! turns hostile wire messages back into messages, or into a [`WireError`]. [`tensor`] cuts f32 values into
//! chunks and joins them again, in buffers of [`values`]. [`frame`] is for messages outside gRPC. Code behind
//! this crate can trust every message.

#![forbid(unsafe_code)]

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
pub mod frame;
pub mod inbound;
pub mod message;
pub mod outbound;
pub mod parameters;
pub mod setup;
pub mod tensor;
pub mod values;

pub use error::WireError;

/// Version of the protocol. Both sides must speak the same; a worker of another one is refused.
pub const PROTOCOL_VERSION: u32 = 11;

/// Largest encoded message that either side accepts, in bytes: 512 KiB of samples, or the counts of a piece's
/// evaluation.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// HTTP/2 window of a stream and of a connection, on both sides. It is so large that a round trip does not
/// stall the tensors of large models.
pub const WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// Largest HTTP/2 frame, on both sides. A chunk and its message fit in one; the default of 16 KiB costs a
/// system call each.
pub const FRAME_BYTES: u32 = 128 * 1024;

/// Number of a tensor's messages that are made in one go. Then the stream's other tasks have their turn, so
/// that finished messages are sent while the rest is made.
pub const MESSAGES_AT_ONCE: usize = 16;

/// Interval at which a side is told that a tensor is still arriving. It is well below any timeout after which
/// silence counts as death.
pub const STILL_ARRIVING: std::time::Duration = std::time::Duration::from_millis(20);
