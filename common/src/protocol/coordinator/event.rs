//! What goes into the coordinator's machine and what comes out. Decides nothing.

use super::{Cause, Disconnect, OtherArithmetic, ProtocolError, Refusal};
use crate::ids::{Incarnation, Instance, Rank, Round};
use crate::reduce::tree::Node;
use crate::selftest::NumericsDigest;

/// What a finished piece was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every number is finite.
    Finite {
        /// Over all of the answer's numbers.
        checksum: u32,
    },
    /// Every number is finite, but some so large that a machine's fault is likelier than the data.
    OutOfLine {
        /// Over all of the answer's numbers.
        checksum: u32,
    },
    /// Some number is not.
    NonFinite {
        /// Over all of the answer's numbers.
        checksum: u32,
    },
}

/// What the shell tells the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker introduced itself.
    Join {
        /// The shell's number for the connection.
        connection: u64,
        /// The worker's name; refused while another process has it.
        name: String,
        /// The worker's process, whatever it calls itself; a second connection of it replaces the first.
        instance: Instance,
        /// Leaves that it computes at once, at least 1.
        threads: u32,
        /// What its canned gradients came to.
        numerics: NumericsDigest,
    },
    /// Anything valid arrived from a member or a spare. So with the following five.
    Heard(Incarnation),
    /// A part of a member's answer arrived, or waits for room: it is working.
    Arriving(Incarnation),
    /// A member answered a piece.
    Result {
        /// Who.
        from: Incarnation,
        /// The round that it was computed for.
        round: Round,
        /// The piece.
        node: Node,
        /// Whether the numbers are usable.
        verdict: Verdict,
    },
    /// A member sent something that can't be.
    Invalid(Incarnation, ProtocolError),
    /// A member's stream broke.
    Gone(Incarnation, Disconnect),
    /// The shell has seen why a member or a spare can't be kept.
    GiveUp(Incarnation, Cause),
    /// A member takes its leave: it hands back what it holds.
    Leave(Incarnation),
    /// The shell has parameters and leaves for the next round; the one before is complete.
    Begin {
        /// Its number, higher than all before.
        round: Round,
        /// Its leaves, at least 1.
        leaves: u32,
    },
    /// A deadline may have passed.
    Tick,
}

/// What a piece is computed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Nobody computes any of it.
    First,
    /// Another member computes it and is late.
    Copy,
    /// Another member's answer was added, and the two are to be compared.
    Audit,
    /// Another member's answer was not finite or out of line.
    Opinion,
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Admit the connection, a newcomer's or a spare's, as this member.
    Welcome {
        /// The connection.
        connection: u64,
        /// The member's number.
        incarnation: Incarnation,
        /// Its slot.
        rank: Rank,
    },
    /// Tell the connection that it waits for a place, as this member to be.
    Spare {
        /// The connection.
        connection: u64,
        /// The number that it has from now on.
        incarnation: Incarnation,
        /// Spares that will be taken in before it.
        ahead: u32,
    },
    /// Tell the connection that it is not let in, and close it.
    Refuse {
        /// The connection.
        connection: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Send the piece's samples, after the round's parameters.
    Grant {
        /// To whom.
        to: Incarnation,
        /// The round.
        round: Round,
        /// The piece.
        node: Node,
        /// What for.
        purpose: Purpose,
    },
    /// Forget this answer, which is out of line, and say so: its piece is computed once more.
    Doubted {
        /// Whose answer.
        from: Incarnation,
        /// The piece.
        node: Node,
    },
    /// Say that the answer which is accepted next is out of line, and who gave the same.
    Confirmed {
        /// Whose answer.
        from: Incarnation,
        /// The piece.
        node: Node,
        /// Names of those who gave it before.
        by: Vec<String>,
    },
    /// Add this answer to the reduction.
    Accept {
        /// Whose answer.
        from: Incarnation,
        /// The piece.
        node: Node,
    },
    /// Forget this answer: it is late or a copy's.
    Discard {
        /// Whose answer.
        from: Incarnation,
    },
    /// Close the member's stream if it is still open, and say why.
    Removed {
        /// Who.
        member: Incarnation,
        /// Why.
        cause: Cause,
        /// Pieces that went back to the queue.
        returned: Vec<Node>,
    },
    /// Say what is lost by letting in a worker that computes other bits.
    OtherNumerics {
        /// Its name.
        name: String,
        /// In what.
        differs: OtherArithmetic,
    },
    /// Say that this worker is let in no more.
    Quarantined {
        /// Its name.
        name: String,
    },
    /// Every leaf of the round has been accepted, and every audit made.
    Complete(Round),
    /// Say that pieces go unaudited, because no second worker is there that could.
    AuditWaits,
    /// Begin this round anew under a higher number, without what was added so far: two other workers contradict one that
    /// had a hand in it.
    Anew {
        /// The round.
        round: Round,
        /// The piece.
        node: Node,
        /// Who miscomputes.
        worker: String,
        /// Which process that is.
        instance: Instance,
        /// Who contradicts it.
        right: [String; 2],
    },
    /// Stop: workers gave one piece different bits, and nobody can tell who is right.
    Disputed {
        /// The round.
        round: Round,
        /// The piece.
        node: Node,
        /// Who has answered it, in that order.
        workers: Vec<String>,
    },
    /// Say that the run waits for members.
    Waiting {
        /// Members there are.
        live: u32,
        /// Members needed.
        needed: u32,
    },
    /// Stop: enough workers agree that this leaf's loss or gradient is not finite.
    NonFinite {
        /// The round.
        round: Round,
        /// The leaf.
        leaf: u32,
        /// Their names.
        workers: Vec<String>,
    },
}
