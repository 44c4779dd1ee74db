//! After a tick the next deadline lies in the future: no machine makes its shell spin.

use super::{Invariant, Ledger, Sight};
use common::protocol::{coordinator, worker};

pub(super) struct DeadlinesLieAhead;

impl Invariant for DeadlinesLieAhead {
    fn saw(&mut self, now_us: u64, _: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        let (who, deadline_us) = match sight {
            Sight::Ruled { event: coordinator::Event::Tick, machine, .. } => {
                ("coordinator", machine.next_deadline_us())
            }
            Sight::Worked { event: worker::Event::Tick, machine } => ("worker", machine.next_deadline_us()),
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
