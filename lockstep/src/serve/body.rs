//! How a picture comes in: a request's body, of bounded size and in bounded time.
//!
//! The first `FREE` bytes of each body have room whatever else is there; drawings have no more. Beyond them
//! all bodies share `ALL_BYTES`. Who finds no room left is refused at once: nobody waits for room while he
//! holds some. What is refused is still read for a moment, so that a client that sends sees the refusal; one
//! that waits to be asked for its body (`Expect: 100-continue`) sees it without.

use super::refusal::Refusal;
use axum::body::Body;
use axum::body::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Largest body.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Bytes of a body that are not counted.
const FREE: usize = 64 << 10;
/// Most bytes of all bodies together that are counted.
const ALL_BYTES: usize = 128 << 20;
/// Bytes are counted in pages of so many.
const PAGE: usize = 64 << 10;
/// Longest time for a whole body, and between two pieces of it.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for which a refused body is read.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// Room for bodies, which all connections share.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

/// A body with the room that it takes.
#[derive(Debug)]
pub struct Content {
    /// The body.
    pub bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_BYTES / PAGE)))
    }
}

impl Room {
    /// Reads a body. Who `expects` to be asked for it has not begun to send.
    ///
    /// # Errors
    /// When it is too large, too slow or broken off, or there is no room.
    pub async fn read(&self, mut body: Body, expects: bool) -> Result<Content, Refusal> {
        let is_too_large = body.size_hint().lower() > BODY_BYTES_MAX as u64;
        let read = if is_too_large {
            Err(Refusal::LargeBody)
        } else {
            timeout(BODY_TIMEOUT, self.collect(&mut body)).await.unwrap_or(Err(Refusal::SlowBody))
        };
        let sends = !(is_too_large && expects);
        if sends && matches!(read, Err(Refusal::LargeBody | Refusal::Busy)) {
            // How it ends makes no difference.
            let _ = timeout(DRAIN_TIMEOUT, async { while let Ok(Some(_)) = piece(&mut body).await {} }).await;
        }
        read
    }

    async fn collect(&self, body: &mut Body) -> Result<Content, Refusal> {
        let mut bytes = Vec::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(piece) = piece(body).await? {
            let length = bytes.len() + piece.len();
            if length > BODY_BYTES_MAX {
                return Err(Refusal::LargeBody);
            }
            let pages = length.saturating_sub(FREE).div_ceil(PAGE);
            let more = pages - room.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            if more > 0 {
                let more = Arc::clone(&self.0).try_acquire_many_owned(more as u32);
                let more = more.map_err(|_| Refusal::Busy)?;
                match &mut room {
                    Some(room) => room.merge(more),
                    None => room = Some(more),
                }
            }
            bytes.extend_from_slice(&piece);
        }
        if bytes.is_empty() {
            return Err(Refusal::NoBody);
        }
        Ok(Content { bytes, _room: room })
    }
}

/// The next piece of a body; `None` at its end.
async fn piece(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    loop {
        let Some(frame) = timeout(PIECE_TIMEOUT, body.frame()).await.map_err(|_| Refusal::SlowBody)? else {
            return Ok(None);
        };
        let frame = frame.map_err(|_| Refusal::BrokenOff)?;
        // What is no data are trailers, which mean nothing here.
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(room: &Room, length: usize) -> Result<Content, Refusal> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(room.read(Body::from(vec![7; length]), false))
    }

    #[test]
    fn a_body_has_a_size_and_all_of_them_share_the_room() {
        let room = Room::default();
        assert_eq!(read(&room, BODY_BYTES_MAX).unwrap().bytes.len(), BODY_BYTES_MAX);
        assert!(matches!(read(&room, BODY_BYTES_MAX + 1), Err(Refusal::LargeBody)));
        assert!(matches!(read(&room, 0), Err(Refusal::NoBody)));
        let held: Vec<Content> =
            (0..ALL_BYTES / BODY_BYTES_MAX).map(|_| read(&room, BODY_BYTES_MAX).unwrap()).collect();
        // Each has left its first bytes uncounted.
        assert!(matches!(read(&room, BODY_BYTES_MAX), Err(Refusal::Busy)));
        assert!(read(&room, FREE).is_ok());
        drop(held);
        assert!(read(&room, BODY_BYTES_MAX).is_ok());
    }
}
