//! Streams whose items are made on demand, with pauses in which the runtime can send them: the other side
//! reads the first chunks of a tensor while the next ones are encoded.

use futures_util::stream::{self, Stream, StreamExt};

/// A stream of `items` that yields to the runtime's other tasks after each `at_once` of them.
///
/// It yields twice. gRPC's encoder hands on what it has gathered at the first pause, and asks for the next
/// item at once. Only the second pause reaches the task that sends.
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
