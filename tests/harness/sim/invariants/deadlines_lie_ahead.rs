//! After a tick the next deadline lies in the future, so no machine makes its driver spin.

use super::{Invariant, Ledger, Observation};
use common::protocol::{coordinator, worker};

pub(super) struct DeadlinesLieAhead;

impl Invariant for DeadlinesLieAhead {
    fn saw(&mut self, now_us: u64, _: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        let (who, deadline_us) = match observation {
            Observation::Ruled { event: coordinator::Event::Tick, machine, .. } => {
                ("coordinator", machine.next_deadline_us())
            }
            Observation::Worked { event: worker::Event::Tick, machine } => {
                ("worker", machine.next_deadline_us())
            }
            _ => return Ok(()),
        };
        match deadline_us.filter(|&deadline_us| deadline_us <= now_us) {
            Some(deadline_us) => {
                Err(format!("the {who} ticks at {now_us} and is due again at {deadline_us}"))
            }
            None => Ok(()),
        }
    }
}
