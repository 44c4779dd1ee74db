//! Streams of what is made when it is asked for, with pauses in which the runtime sends what is made.

use futures_util::stream::{self, Stream, StreamExt};

/// The items; after each `at_once` of them the runtime's other tasks have their turn.
///
/// Twice: gRPC's encoder takes the first pause as the moment to hand on what it has gathered, and asks for the next item
/// at once. Only the second one reaches the task that sends.
pub fn paced<T>(items: impl Iterator<Item = T>, at_once: usize) -> impl Stream<Item = T> {
    stream::iter(items).enumerate().then(move |(index, item)| async move {
        if (index + 1) % at_once == 0 {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        item
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn it_pauses_after_so_many_items_and_loses_none() {
        let mut stream = pin!(paced(0..5, 2));
        let mut context = Context::from_waker(Waker::noop());
        let mut polls = Vec::new();
        loop {
            let polled = stream.as_mut().poll_next(&mut context);
            polls.push(polled.is_ready());
            if polled == std::task::Poll::Ready(None) {
                break;
            }
        }
        assert_eq!(polls, [true, false, false, true, true, false, false, true, true, true]);
    }
}
