//! Connections beyond loopback on which nobody has shown the page token yet: which of them is closed for
//! another one.
//!
//! 1. A connection that has shown the token keeps its place.
//! 2. Where all places are taken, the oldest of the others is closed for the next connection, once it has had
//!    [`SPARED`]: those who say nothing keep nobody out, and however many come, a reader has that time.
//! 3. From one address (of IPv6: one network of 64 bits), [`FROM_ONE_ADDRESS`] may be without, and those of
//!    the last [`SPARED`]. With one more the oldest is closed: one machine can't have the others' places, and
//!    many readers behind one address can still come at the same moment.

use host::address::network;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Connections of one address without the token, besides recent ones: a browser opens six at a time.
const FROM_ONE_ADDRESS: usize = 8;
/// Age below which a connection is not closed for another one: handshake and request take two round trips.
const SPARED: Duration = Duration::from_millis(500);

/// Told when a connection must be closed for another one.
pub(super) type Evicted = oneshot::Receiver<()>;

/// All of them, oldest first.
#[derive(Debug, Default)]
pub(super) struct AllUnproved(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    open: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    network: IpAddr,
    since: Instant,
    close: oneshot::Sender<()>,
}

/// What comes of the wish for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// A connection is being closed.
    Made,
    /// The oldest has so much time left.
    In(Duration),
    /// All have shown the token.
    Never,
}

/// One of them, for as long as it is open.
#[derive(Debug)]
pub(super) struct Unproved {
    all: Arc<AllUnproved>,
    number: u64,
    address: IpAddr,
}

impl AllUnproved {
    /// Notes a new connection.
    pub(super) fn add(self: &Arc<Self>, address: IpAddr, now: Instant) -> (Arc<Unproved>, Evicted) {
        let address = address.to_canonical();
        let network = network(address);
        let (close, evicted) = oneshot::channel();
        let mut entries = self.lock();
        let number = entries.next;
        entries.next += 1;
        entries.open.insert(number, Entry { network, since: now, close });
        let theirs = || entries.open.iter().filter(|(_, entry)| entry.network == network);
        let is_late = |entry: &Entry| now.saturating_duration_since(entry.since) >= SPARED;
        let oldest = theirs().next().filter(|_| theirs().count() > FROM_ONE_ADDRESS);
        if let Some(number) = oldest.filter(|(_, entry)| is_late(entry)).map(|(&number, _)| number) {
            entries.close(number);
        }
        drop(entries);
        (Arc::new(Unproved { all: Arc::clone(self), number, address }), evicted)
    }

    /// Closes the oldest, once it has had its time. Waits without end where there is none.
    pub(super) async fn make_room(&self) {
        loop {
            match self.room(Instant::now()) {
                Room::Made => return,
                Room::In(time) => tokio::time::sleep(time).await,
                Room::Never => std::future::pending().await,
            }
        }
    }

    /// Closes the oldest, if it has had its time.
    fn room(&self, now: Instant) -> Room {
        let mut entries = self.lock();
        let Some((&number, oldest)) = entries.open.iter().next() else { return Room::Never };
        let left = SPARED.saturating_sub(now.saturating_duration_since(oldest.since));
        if left > Duration::ZERO {
            return Room::In(left);
        }
        entries.close(number);
        Room::Made
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn close(&mut self, number: u64) {
        if let Some(entry) = self.open.remove(&number) {
            // The receiver is gone if the connection has ended by itself.
            let _ = entry.close.send(());
        }
    }
}

impl Unproved {
    /// Notes that the token was shown: the connection keeps its place.
    pub(super) fn has_proved(&self) {
        self.all.lock().open.remove(&self.number);
    }

    /// The address at the other end.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }
}

impl Drop for Unproved {
    fn drop(&mut self) {
        self.has_proved();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_closed(evicted: &mut Evicted) -> bool {
        evicted.try_recv().is_ok()
    }

    #[test]
    fn the_oldest_without_the_token_makes_room() {
        let all = Arc::new(AllUnproved::default());
        let now = Instant::now();
        let mut added: Vec<_> = (1..=4).map(|last| all.add([10, 0, 0, last].into(), now)).collect();
        added[0].0.has_proved();
        drop(added.remove(1));
        let closed = |added: &mut Vec<(_, Evicted)>| -> Vec<bool> {
            added.iter_mut().map(|(_, evicted)| is_closed(evicted)).collect()
        };
        let part = SPARED / 4;
        assert_eq!(all.room(now + part), Room::In(SPARED - part));
        assert_eq!(closed(&mut added), [false, false, false]);
        assert_eq!(all.room(now + SPARED), Room::Made);
        assert_eq!(closed(&mut added), [false, true, false]);
        assert_eq!(all.room(now + SPARED), Room::Made);
        assert_eq!(closed(&mut added), [false, false, true]);
        assert_eq!(all.room(now + SPARED), Room::Never);
    }

    #[test]
    fn one_address_keeps_few_places_and_none_of_others() {
        let all = Arc::new(AllUnproved::default());
        let start = Instant::now();
        let mut other = all.add([10, 0, 0, 1].into(), start);
        let many = 3 * FROM_ONE_ADDRESS;
        let mut added: Vec<_> = (0..many).map(|_| all.add([10, 0, 0, 2].into(), start)).collect();
        assert!(!added.iter_mut().any(|(_, evicted)| is_closed(evicted)), "all came at the same moment");
        for late in 0..many {
            // An address of IPv4 in the form of IPv6 is the same one.
            let mapped = "::ffff:10.0.0.2".parse().unwrap();
            added.push(all.add(mapped, start + SPARED + Duration::from_millis(late as u64)));
        }
        let closed = added.iter_mut().filter_map(|(_, evicted)| is_closed(evicted).then_some(())).count();
        assert_eq!(closed, many);
        assert!(!is_closed(&mut other.1));
    }
}
