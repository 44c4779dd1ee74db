//! Messages on a stream of bytes without gRPC: each has its length before it, 4 bytes, little-endian.

use crate::{MESSAGE_BYTES_MAX, WireError};
use bytes::{Buf, BufMut, BytesMut};
use prost::Message;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of the length.
const HEAD_BYTES: usize = 4;
/// Bytes that are read at once: a leaf of 64 images of MNIST, and what goes with it.
const READ_BYTES: usize = 64 * 1024;

/// Why no further message can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system can't read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is no message.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Reads messages from a stream of bytes.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    arrived: BytesMut,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// A reader of all messages in `from`.
    pub fn new(from: R) -> Self {
        Self { from, arrived: BytesMut::new() }
    }

    /// The next message; `None` at the end. A call that is cancelled loses nothing.
    ///
    /// # Errors
    /// When the bytes are no message, or there are no more in the middle of one.
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, ReadError> {
        loop {
            if let Some(message) = take(&mut self.arrived)? {
                return Ok(Some(message));
            }
            self.arrived.reserve(READ_BYTES);
            if self.from.read_buf(&mut self.arrived).await? == 0 {
                let is_whole = self.arrived.is_empty();
                let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
                return if is_whole { Ok(None) } else { Err(cut.into()) };
            }
        }
    }
}

/// Writes messages to a stream of bytes, several at once.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    waiting: BytesMut,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// A writer of messages to `to`.
    pub fn new(to: W) -> Self {
        Self { to, waiting: BytesMut::new() }
    }

    /// Appends a message to those that wait for [`flush`](Self::flush). Returns the bytes that wait.
    pub fn append(&mut self, message: &impl Message) -> usize {
        append(message, &mut self.waiting);
        self.waiting.len()
    }

    /// Writes what waits. Calls `written` with the number of bytes that the system has taken each time.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub async fn flush(&mut self, mut written: impl FnMut(usize)) -> io::Result<()> {
        while self.waiting.has_remaining() {
            written(self.to.write_buf(&mut self.waiting).await?);
        }
        Ok(())
    }
}

/// Appends a message to `buffer`. None of ours is longer than [`MESSAGE_BYTES_MAX`].
fn append(message: &impl Message, buffer: &mut BytesMut) {
    let length = message.encoded_len();
    assert!(length <= MESSAGE_BYTES_MAX, "a message of {length} bytes");
    buffer.reserve(HEAD_BYTES + length);
    buffer.put_u32_le(length as u32);
    message.encode(buffer).expect("there is room for it");
}

/// Takes the first message from the bytes that have arrived; `None` if it is not complete yet.
fn take<M: Message + Default>(buffer: &mut BytesMut) -> Result<Option<M>, WireError> {
    let Some(head) = buffer.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*head);
    let max = MESSAGE_BYTES_MAX as u64;
    if u64::from(length) > max {
        return Err(WireError::Range { field: "bytes of a message", got: length.into(), min: 0, max });
    }
    let whole = HEAD_BYTES + length as usize;
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    buffer.advance(HEAD_BYTES);
    let message = buffer.split_to(length as usize).freeze();
    M::decode(message).map(Some).map_err(|error| WireError::Bytes(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Dropped, FromCoordinator, from_coordinator};

    fn message(reason: &str) -> FromCoordinator {
        let dropped = Dropped { reason: reason.to_owned() };
        FromCoordinator { message: Some(from_coordinator::Message::Dropped(dropped)) }
    }

    #[test]
    fn messages_arrive_whole_however_their_bytes_are_cut() {
        let messages = [message("one"), FromCoordinator::default(), message(&"long ".repeat(200))];
        let mut sent = BytesMut::new();
        messages.iter().for_each(|message| append(message, &mut sent));
        for cut in [1, 2, 3, 5, 64, 1000, sent.len()] {
            let mut arrived = BytesMut::new();
            let mut received = Vec::new();
            for part in sent.chunks(cut) {
                arrived.extend_from_slice(part);
                while let Some(message) = take::<FromCoordinator>(&mut arrived).unwrap() {
                    received.push(message);
                }
            }
            assert_eq!(received, messages, "cut to {cut}");
            assert!(arrived.is_empty());
        }
    }

    #[test]
    fn what_is_too_long_or_no_message_is_refused_at_once() {
        let mut long = BytesMut::from(&(MESSAGE_BYTES_MAX as u32 + 1).to_le_bytes()[..]);
        assert!(matches!(take::<FromCoordinator>(&mut long), Err(WireError::Range { .. })));
        let mut wrong = BytesMut::from(&[2, 0, 0, 0, 0xff, 0xff][..]);
        assert!(matches!(take::<FromCoordinator>(&mut wrong), Err(WireError::Bytes(_))));
    }
}
