//! Checks of hostile wire messages, with one decoder for each direction of a stream.
//!
//! A decoder remembers what must come next: chunks after a head, leaves after a piece. After an error the
//! stream must not be read further. This file has the checks that both directions need.

mod from_coordinator;
mod from_worker;

pub use from_coordinator::CoordinatorDecoder;
pub use from_worker::{Announced, WorkerDecoder};

use crate::message::{Pipe, REASON_BYTES_MAX, Sharing};
use crate::{WireError, wire};
use common::reduce::tree::{LEAVES_MAX, Node, Tree};

fn in_range(field: &'static str, got: u64, min: u64, max: u64) -> Result<(), WireError> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(WireError::Range { field, got, min, max }) }
}

fn check_node(node: Option<&wire::Node>) -> Result<Node, WireError> {
    let node = node.ok_or(WireError::Missing("a node"))?;
    let level = u8::try_from(node.level).ok().filter(|&level| level <= Tree::new(LEAVES_MAX).root().level);
    let max = Tree::new(LEAVES_MAX).root().level.into();
    let level = level.ok_or(WireError::Range { field: "level", got: node.level.into(), min: 0, max })?;
    Ok(Node { level, index: node.index })
}

fn check_reason(reason: String) -> Result<String, WireError> {
    in_range("bytes of a reason", reason.len() as u64, 0, REASON_BYTES_MAX as u64)?;
    Ok(reason.replace(char::is_control, " "))
}

fn check_sharing(sharing: &wire::Sharing) -> Result<Sharing, WireError> {
    use wire::sharing::Step;
    let check_pipe = |pipe: Option<wire::sharing::Pipe>| {
        let pipe = pipe.ok_or(WireError::Missing("a pipe"))?;
        Ok::<_, WireError>(Pipe { descriptor: pipe.descriptor, inode: pipe.inode })
    };
    Ok(match sharing.step.ok_or(WireError::Missing("a step of sharing"))? {
        Step::Offer(memory) => Sharing::Offer { descriptor: memory.descriptor, token: memory.token },
        Step::Opened(_) => Sharing::Opened,
        Step::Released(_) => Sharing::Released,
        Step::Pipes(pipes) => {
            Sharing::Pipes { reads: check_pipe(pipes.reads)?, writes: check_pipe(pipes.writes)? }
        }
        Step::Switched(_) => Sharing::Switched,
    })
}

#[cfg(test)]
mod tests;
