//! Connections beyond loopback on which nobody has shown the page token yet: which of them is closed for
//! another one.
//!
//! 1. A connection that has shown the token keeps its place.
//! 2. Where all places are taken, the oldest of the others is closed for the next connection: those who say
//!    nothing keep nobody out.
//! 3. From one address, [`FROM_ONE_ADDRESS`] may be without, and those of the last [`SPARED`]. With one more the
//!    oldest is closed: one machine can't have the others' places, and many readers behind one address can still
//!    come at the same moment.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Connections of one address without the token, besides recent ones: a browser opens six at a time.
const FROM_ONE_ADDRESS: usize = 8;
/// Age below which a connection is not closed for another one of its address: handshake and request take two
/// round trips.
const SPARED: Duration = Duration::from_secs(1);

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
    address: IpAddr,
    since: Instant,
    close: oneshot::Sender<()>,
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
        let (close, evicted) = oneshot::channel();
        let mut entries = self.lock();
        let number = entries.next;
        entries.next += 1;
        entries.open.insert(number, Entry { address, since: now, close });
        let theirs = || entries.open.iter().filter(|(_, entry)| entry.address == address);
        let is_late = |entry: &Entry| now.saturating_duration_since(entry.since) >= SPARED;
        let oldest = theirs().next().filter(|_| theirs().count() > FROM_ONE_ADDRESS);
        if let Some(number) = oldest.filter(|(_, entry)| is_late(entry)).map(|(&number, _)| number) {
            entries.close(number);
        }
        drop(entries);
        (Arc::new(Unproved { all: Arc::clone(self), number, address }), evicted)
    }

    /// Closes the oldest, if there is one.
    pub(super) fn make_room(&self) {
        let mut entries = self.lock();
        if let Some(&number) = entries.open.keys().next() {
            entries.close(number);
        }
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
        all.make_room();
        assert_eq!(
            added.iter_mut().map(|(_, evicted)| is_closed(evicted)).collect::<Vec<_>>(),
            [false, true, false]
        );
        all.make_room();
        all.make_room();
        assert!(is_closed(&mut added[2].1) && !is_closed(&mut added[0].1));
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
