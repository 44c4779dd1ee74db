//! Shared memory for tensors between this worker and a coordinator on the same machine, agreed on for each
//! stream.
//!
//! 1. The worker offers its memory after the hello, and writes gradients to it once the coordinator has
//!    opened it.
//! 2. A slot stays leased until the coordinator has read it.
//! 3. Without a free slot, and to another machine, the bytes travel on the stream.

use host::shared_memory::{Address, Lease, Memory, View};
use proto::inbound::CoordinatorDecoder;
use proto::message::{Answer, AnswerBody, Sharing, WorkerMessage};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing::debug;

/// The memory for the gradients of one stream.
#[derive(Debug)]
pub(crate) struct SharedChannel {
    /// Process id of the coordinator.
    process: NonZeroU32,
    memory: Memory,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the coordinator has opened the memory.
    is_open: bool,
    /// Leases of what the coordinator has not read yet, oldest first: at most one for each slot.
    unread: VecDeque<Lease>,
}

impl SharedChannel {
    /// A memory for that process, not open yet; `None` where the system has no such memory.
    pub(crate) fn create(process: NonZeroU32) -> Option<Self> {
        let memory = Memory::create().inspect_err(|error| debug!(%error, "no shared memory"));
        Some(Self { process, memory: memory.ok()?, state: Mutex::default() })
    }

    /// The message that tells the coordinator where the memory is.
    pub(crate) fn offer(&self) -> WorkerMessage {
        let Address { descriptor, token } = self.memory.address();
        WorkerMessage::Sharing(Sharing::Offer { descriptor, token })
    }

    /// A slot for the gradient in this message; `None` if its bytes must travel on the stream.
    pub(crate) fn lease(&self, message: &WorkerMessage) -> Option<Lease> {
        let WorkerMessage::Answer(Answer { body: AnswerBody::Gradient(values), .. }) = message else {
            return None;
        };
        let mut state = self.state();
        let lease = state.is_open.then(|| self.memory.lease(size_of_val(&**values) as u64)).flatten()?;
        state.unread.push_back(lease.clone());
        Some(lease)
    }

    /// Handles one step of the agreement. Returns the answer to it.
    pub(crate) fn share(&self, step: Sharing, decoder: &mut CoordinatorDecoder) -> Option<WorkerMessage> {
        match step {
            Sharing::Opened => self.state().is_open = true,
            Sharing::Released => drop(self.state().unread.pop_front()),
            Sharing::Pipes { .. } | Sharing::Switched => {}
            Sharing::Offer { descriptor, token } => {
                match View::open(self.process, Address { descriptor, token }) {
                    Ok(view) => {
                        decoder.reads(Box::new(move |at, bytes| view.read(at, bytes)));
                        return Some(WorkerMessage::Sharing(Sharing::Opened));
                    }
                    Err(error) => debug!(%error, "can't open the coordinator's memory"),
                }
            }
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::ids::{Incarnation, Round, SetupId};
    use common::reduce::precision::Precision;
    use common::reduce::tree::Node;
    use common::train::metrics::Totals;

    fn gradient(elements: usize) -> WorkerMessage {
        WorkerMessage::Answer(Answer {
            incarnation: Incarnation(1),
            setup: SetupId(0),
            round: Round(1),
            node: Node::leaf(0),
            totals: Totals::default(),
            body: AnswerBody::Gradient(vec![1.0; elements].into()),
            precision: Precision::F32,
        })
    }

    #[test]
    fn nothing_is_overwritten_before_the_coordinator_has_read_it() {
        let shared = SharedChannel::create(NonZeroU32::MAX).unwrap();
        let mut decoder = CoordinatorDecoder::default();
        assert!(shared.lease(&gradient(5)).is_none(), "the coordinator reads the stream only");
        assert!(shared.share(Sharing::Opened, &mut decoder).is_none());
        assert!(shared.lease(&WorkerMessage::Heartbeat(proto::message::Usage::default())).is_none());
        assert!(shared.lease(&gradient(5)).is_some() && shared.lease(&gradient(5)).is_some());
        assert!(shared.lease(&gradient(5)).is_none(), "both places are still to be read");
        assert!(shared.share(Sharing::Released, &mut decoder).is_none());
        assert!(shared.lease(&gradient(5)).is_some());
    }

    #[test]
    fn a_memory_that_can_not_be_opened_is_done_without() {
        let shared = SharedChannel::create(NonZeroU32::MAX).unwrap();
        let offer = Sharing::Offer { descriptor: 3, token: 1 };
        assert!(shared.share(offer, &mut CoordinatorDecoder::default()).is_none());
    }
}
