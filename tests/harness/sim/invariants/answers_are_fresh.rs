//! An answer of a removed incarnation is never accepted. What is added was computed on the answering member's
//! own connection, from the parameters with which the round began.

use super::{Invariant, Ledger, Observation};
use common::protocol::coordinator::Action;

pub(super) struct AnswersAreFresh;

impl Invariant for AnswersAreFresh {
    fn saw(&mut self, _: u64, ledger: &Ledger, observation: &Observation<'_>) -> Result<(), String> {
        if let Observation::Acted(Action::Accept { from, node, .. }) = observation
            && !ledger.members.contains_key(from)
        {
            return Err(format!("piece {node} of {from}, which is no member, is accepted"));
        }
        let Observation::Accepted { connection, value, task } = observation else { return Ok(()) };
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
