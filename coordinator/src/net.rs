//! The network side: listeners, pending connections, the gRPC service, and what waits to be sent.

pub(crate) mod accept;
pub(crate) mod access;
pub(crate) mod frames;
mod handshakes;
mod incoming;
mod limited;
pub(crate) mod listener;
pub(crate) mod outbox;
pub(crate) mod pending;
pub(crate) mod pipes;
mod reader;
pub(crate) mod same_user;
mod sending;
pub(crate) mod server;
pub(crate) mod shared_memory;
pub(crate) mod token_bucket;
