//! An answer of a removed incarnation is never accepted: what is added was computed on the very connection that the
//! answering member has, from the parameters that the round began with.

use super::{Invariant, Ledger, Sight};
use common::protocol::coordinator::Action;

pub(super) struct AnswersAreFresh;

impl Invariant for AnswersAreFresh {
    fn saw(&mut self, _: u64, ledger: &Ledger, sight: &Sight<'_>) -> Result<(), String> {
        if let Sight::Acted(Action::Accept { from, node }) = sight
            && !ledger.members.contains_key(from)
        {
            return Err(format!("piece {node} of {from}, which is no member, is accepted"));
        }
        let Sight::Accepted { connection, value, task } = sight else { return Ok(()) };
        let basis = value.basis;
        if basis.connection != *connection {
            let then = basis.connection;
            return Err(format!("an answer to connection {then} is accepted on connection {connection}"));
        }
        if basis.task != *task {
            return Err(format!("an answer from {:?} is accepted for {task:?}", basis.task));
        }
        Ok(())
    }
}
