//! What a pending, accepted or left connection may send, and when it is closed.

use super::*;
use crate::net::limited::LimitedConnection;
use crate::net::token_bucket::PeerLines;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{Semaphore, oneshot};

/// The connection preface.
const PREFACE: [u8; 24] = [0; 24];
/// An empty DATA frame.
const SMALL: [u8; 9] = [0; 9];

/// A connection and its other end.
struct Read {
    state: Arc<ConnectionState>,
    limited: LimitedConnection<DuplexStream>,
    there: DuplexStream,
    listener: Option<oneshot::Sender<()>>,
}

impl Read {
    fn new() -> Self {
        let (here, there) = duplex(1 << 20);
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let state = Arc::<ConnectionState>::default();
        let lines = Arc::new(PeerLines::new(1, 1));
        let (listener, evicted) = oneshot::channel();
        let limited = LimitedConnection::new(here, lines, place, Arc::clone(&state), evicted);
        Self { state, limited, there, listener: Some(listener) }
    }

    /// Sends the bytes and reads them at the other end. Returns why the connection was closed, if it was.
    async fn says(&mut self, bytes: &[u8]) -> Option<Excess> {
        self.there.write_all(bytes).await.unwrap();
        let mut read = vec![0; bytes.len()];
        match self.limited.read_exact(&mut read).await {
            Ok(_) => assert_eq!(self.state.excess(), None),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted),
        }
        self.state.excess()
    }
}

#[tokio::test]
async fn a_pending_connection_may_say_a_hello_and_no_more() {
    let mut frames = Read::new();
    assert_eq!(frames.says(&PREFACE).await, None);
    assert_eq!(frames.says(&SMALL.repeat(HELLO_FRAMES_MAX as usize)).await, None);
    assert_eq!(frames.says(&SMALL).await, Some(Excess::HelloFrames));
    let mut bytes = Read::new();
    assert_eq!(bytes.says(&PREFACE).await, None);
    let large = vec![9; HELLO_BYTES_MAX as usize - PREFACE.len()];
    assert_eq!(bytes.says(&large).await, None);
    assert_eq!(bytes.says(&[9]).await, Some(Excess::HelloBytes));
}

#[tokio::test]
async fn an_accepted_one_may_send_gradients_and_few_small_frames() {
    let mut connection = Read::new();
    assert_eq!(connection.says(&PREFACE).await, None);
    let _standing = connection.state.accept();
    let large = [&[1, 0, 0, 0, 0, 0, 0, 0, 1][..], &vec![0; 1 << 16]].concat();
    for _ in 0..100 {
        assert_eq!(connection.says(&large).await, None);
    }
    assert_eq!(connection.says(&SMALL.repeat(1000)).await, None);
    assert_eq!(connection.says(&SMALL.repeat(SMALL_AT_ONCE as usize + 1)).await, Some(Excess::Small));
}

#[tokio::test]
async fn what_it_is_sent_pays_for_what_it_sends() {
    let state = Arc::<ConnectionState>::default();
    let messages = 10 * SMALL_AT_ONCE / MESSAGE_COST;
    for _ in 0..messages {
        state.earn(0);
        assert_eq!(state.spend_message(), Ok(()));
    }
    let unpaid = (0..messages).find_map(|_| state.spend_message().err());
    assert_eq!(unpaid, Some(Excess::Small));
}

#[tokio::test]
async fn one_that_was_left_may_send_what_was_on_its_way() {
    let mut connection = Read::new();
    assert_eq!(connection.says(&PREFACE).await, None);
    drop(connection.state.accept());
    let frame = [&[1, 0, 0, 0, 0, 0, 0, 0, 1][..], &vec![0; 1 << 16]].concat();
    let frames = LEFT_BYTES_MAX as usize / frame.len();
    for _ in 0..frames {
        assert_eq!(connection.says(&frame).await, None);
    }
    assert_eq!(connection.says(&frame).await, Some(Excess::LeftBytes));
}

#[tokio::test]
async fn only_a_pending_one_goes_when_its_place_is_needed() {
    let mut pending = Read::new();
    assert!(pending.listener.take().unwrap().send(()).is_ok());
    let aborted = pending.limited.write_all(&SMALL).await.unwrap_err();
    assert_eq!(aborted.kind(), io::ErrorKind::ConnectionAborted);
    let mut left = Read::new();
    drop(left.state.accept());
    assert!(left.listener.take().unwrap().send(()).is_ok());
    left.limited.write_all(&SMALL).await.expect("its worker has yet to read why it was dropped");
}

#[tokio::test]
async fn all_stay_when_their_listener_is_gone() {
    let mut pending = Read::new();
    drop(pending.listener.take());
    pending.limited.write_all(&SMALL).await.expect("nobody needs its place");
    let mut left = Read::new();
    let accepted = left.state.accept();
    drop((left.listener.take(), accepted));
    left.limited.write_all(&SMALL).await.expect("its worker has yet to read that the run is complete");
}
