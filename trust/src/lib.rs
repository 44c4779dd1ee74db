//! Trust: how a coordinator and its workers prove to each other who they are, with one string to paste.
//!
//! 1. A coordinator has a key pair that outlives its runs ([`identity`]). Its public key's digest is its pin.
//! 2. A [`token`] holds the pin and a secret. A worker derives its own key pair from the secret ([`key`]),
//!    and the coordinator, which keeps its tokens, derives the same public key. The secret never travels.
//! 3. Both sides speak TLS 1.3 ([`tls`]) and compare the other's public key with the one that they expect.
//!    A certificate is only the container in which TLS carries a key ([`certificate`]): nothing else in it is
//!    looked at, neither names nor dates, so no clock can break a cluster.
//!
//! 4. Web pages beyond loopback have the coordinator's key, and a token of their own ([`page_token`]).
//!
//! What a worker may do once it is known is not decided here.

#![forbid(unsafe_code)]

pub mod certificate;
pub mod core_dumps;
pub mod identity;
pub mod key;
mod page_certificate;
pub mod page_token;
pub mod refusal;
pub mod secret_file;
mod secret_text;
pub mod tls;
pub mod token;
pub mod tokens;
