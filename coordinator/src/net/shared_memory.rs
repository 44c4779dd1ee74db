//! Shared memory for tensors between this process and workers of the same machine, agreed on for each stream.
//!
//! 1. Parameters of all runs lie in one memory for all streams ([`Slots`]), which has two slots. Where none
//!    is free, the one is taken that was written first and that no worker has yet to read.
//! 2. Each stream's [`SharedChannel`] keeps the slots leased that its worker has yet to read. So no slot is
//!    written while a worker reads it.
//! 3. Without shared memory or a free slot, the bytes travel on the stream.
//! 4. Gradients from a worker's memory are read where messages are taken (`incoming.rs`).

use crate::net::outbox::Outgoing;
use common::ids::{ParamsId, SetupId};
use host::shared_memory::{Address, Lease, Memory};
use proto::message::{CoordinatorMessage, Sharing};
use proto::outbound;
use proto::parameters::EncodedParameters;
use proto::wire::FromCoordinator;
use std::cmp::Ordering::{Equal, Greater, Less};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The memory from which all workers of this machine read parameters.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// `None` where the system has no such memory.
    memory: Option<Memory>,
    /// The newest parameters of each setup, longest written first.
    newest: Mutex<Vec<Newest>>,
}

/// The newest parameters of a setup.
#[derive(Debug)]
struct Newest {
    setup: SetupId,
    id: ParamsId,
    /// No slot if none was free, or where it was taken for other parameters since. These parameters must not
    /// get another one: their chunks are encoded once, with their place.
    lease: Option<Lease>,
}

/// One stream's use of the slots.
#[derive(Debug)]
pub(crate) struct SharedChannel {
    slots: Arc<Slots>,
    /// Whether the worker can read the slots.
    is_open: AtomicBool,
    /// Leases of what the worker was sent and has not read yet, oldest first: at most one for each slot.
    unread: Mutex<VecDeque<Lease>>,
    /// The end of the pipe on which messages to the worker go on, until its sender takes it.
    pipe: Mutex<Option<OwnedFd>>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        let memory = Memory::create().inspect_err(|error| tracing::debug!(%error, "no shared memory"));
        Self { memory: memory.ok(), newest: Mutex::default() }
    }

    /// The address under which workers open the memory.
    pub(crate) fn address(&self) -> Option<Address> {
        self.memory.as_ref().map(Memory::address)
    }

    fn place(&self, parameters: &EncodedParameters) -> Option<Lease> {
        let memory = self.memory.as_ref()?;
        let setup = parameters.setup();
        let id = parameters.id();
        let mut newest = lock(&self.newest);
        if let Some(at) = newest.iter().position(|newest| newest.setup == setup) {
            match newest[at].id.cmp(&id) {
                Equal => return newest[at].lease.clone(),
                // This worker lags: the slot may already hold newer parameters.
                Greater => return None,
                // This releases the older parameters, whose slot may be the one that becomes free.
                Less => drop(newest.remove(at)),
            }
        }
        let bytes = parameters.bytes();
        let mut lease = memory.lease(bytes);
        let mut others = newest.iter_mut();
        while lease.is_none()
            && let Some(other) = others.next()
        {
            other.lease = None;
            lease = memory.lease(bytes);
        }
        newest.push(Newest { setup, id, lease: lease.clone() });
        lease
    }
}

impl SharedChannel {
    pub(crate) fn new(slots: Arc<Slots>) -> Self {
        Self { slots, is_open: AtomicBool::new(false), unread: Mutex::default(), pipe: Mutex::default() }
    }

    /// Notes that the worker has opened the memory.
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::Relaxed);
    }

    /// Releases the oldest tensor that the worker was sent through shared memory.
    pub(crate) fn release(&self) {
        lock(&self.unread).pop_front();
    }

    /// Hands over the end of the pipe on which messages to the worker go on.
    pub(super) fn set_pipe(&self, end: OwnedFd) {
        *lock(&self.pipe) = Some(end);
    }

    pub(super) fn take_pipe(&self) -> Option<OwnedFd> {
        lock(&self.pipe).take()
    }

    /// The wire messages of an outgoing message, encoded as they are asked for.
    pub(crate) fn encode(&self, outgoing: Outgoing) -> Box<dyn Iterator<Item = FromCoordinator> + Send> {
        let parameters = match outgoing {
            Outgoing::Message(CoordinatorMessage::Setup(setup)) => return Box::new(outbound::setup(setup)),
            Outgoing::Message(message) => return Box::new(outbound::from_coordinator(message).into_iter()),
            Outgoing::Parameters(parameters) => parameters,
        };
        let is_open = self.is_open.load(Ordering::Relaxed);
        match is_open.then(|| self.slots.place(&parameters)).flatten() {
            None => Box::new(parameters.messages()),
            Some(lease) => {
                lock(&self.unread).push_back(lease.clone());
                Box::new(parameters.placed_messages(move |at, bytes| lease.write(at, bytes).ok()))
            }
        }
    }
}

/// The message that offers a memory to the worker.
pub(crate) fn offer(address: Address) -> Sharing {
    Sharing::Offer { descriptor: address.descriptor, token: address.token }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::wire::chunk::Place;
    use proto::wire::from_coordinator::Message;

    fn parameters(id: u64) -> Arc<EncodedParameters> {
        parameters_of(0, id)
    }

    fn parameters_of(setup: u32, id: u64) -> Arc<EncodedParameters> {
        Arc::new(EncodedParameters::new(ParamsId(id), SetupId(setup), Arc::new(vec![1.0; 4])))
    }

    /// Whether the parameters of that number go through shared memory.
    fn is_placed(channel: &SharedChannel, id: u64) -> bool {
        are_placed(channel, &parameters(id))
    }

    fn are_placed(channel: &SharedChannel, parameters: &Arc<EncodedParameters>) -> bool {
        let messages: Vec<_> = channel.encode(Outgoing::Parameters(Arc::clone(parameters))).collect();
        let [_, FromCoordinator { message: Some(Message::Chunk(chunk)) }] = &messages[..] else {
            panic!("no head and chunk: {messages:?}");
        };
        matches!(chunk.place, Some(Place::At(_)))
    }

    #[test]
    fn nothing_is_overwritten_before_its_reader_is_done() {
        let channel = SharedChannel::new(Arc::new(Slots::new()));
        assert!(!is_placed(&channel, 0), "the worker reads the stream only");
        channel.open();
        assert!(is_placed(&channel, 1) && is_placed(&channel, 2));
        assert!(!is_placed(&channel, 3), "both places are still to be read");
        channel.release();
        assert!(is_placed(&channel, 4));
    }

    #[test]
    fn parameters_whose_place_has_been_given_to_newer_ones_go_on_the_stream() {
        let slots = Arc::new(Slots::new());
        let [prompt, late] = [(); 2].map(|()| SharedChannel::new(Arc::clone(&slots)));
        [&prompt, &late].into_iter().for_each(SharedChannel::open);
        let old = parameters(1);
        assert!(are_placed(&prompt, &old));
        prompt.release();
        assert!(is_placed(&prompt, 2) && is_placed(&prompt, 3), "both places are taken anew");
        prompt.release();
        assert!(!are_placed(&late, &old), "where they lay lies something else");
        assert!(is_placed(&late, 4));
    }

    #[test]
    fn runs_take_turns_with_the_slots_and_never_share_one() {
        let slots = Arc::new(Slots::new());
        let [prompt, late] = [(); 2].map(|()| SharedChannel::new(Arc::clone(&slots)));
        [&prompt, &late].into_iter().for_each(SharedChannel::open);
        let [first, second, third] = [0, 1, 2].map(|setup| parameters_of(setup, 7));
        let [one, other] = [&first, &second].map(|parameters| slots.place(parameters).unwrap());
        let places = [&one, &other].map(|lease| lease.write(0, b"tensor").unwrap());
        assert_ne!(places[0], places[1], "of the same number, but not the same");
        drop((one, other));
        assert!(are_placed(&prompt, &second), "it is still to be read");
        assert!(are_placed(&prompt, &third), "the first one's slot has been read by all");
        assert!(!are_placed(&late, &first), "it is overwritten");
        assert!(are_placed(&late, &second) && are_placed(&late, &third));
        assert!(!are_placed(&late, &parameters_of(3, 0)), "all slots are still to be read");
    }

    #[test]
    fn a_stream_that_ends_gives_its_places_back() {
        let slots = Arc::new(Slots::new());
        let gone = SharedChannel::new(Arc::clone(&slots));
        gone.open();
        assert!(is_placed(&gone, 1) && is_placed(&gone, 2));
        drop(gone);
        let next = SharedChannel::new(slots);
        next.open();
        assert!(is_placed(&next, 3) && is_placed(&next, 4));
    }
}
