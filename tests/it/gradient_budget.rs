//! Memory for large gradients is reserved for the workers that were asked for one, as long as it arrives.

use common::ids::{Incarnation, Round};
use common::protocol::coordinator::{Cause, ProtocolError};
use common::reduce::tree::Node;
use proto::message::CoordinatorMessage;
use proto::wire::answer::Body;
use proto::wire::{Answer, Dtype, TensorHead, from_worker};
use tests::cluster::train;
use tests::manual::Manual;
use tests::process::{Outcome, Process};
use tests::small_data::SmallData;
use tests::told::{drop_of, dropped};

/// Flags of a model whose gradients need the budget: they are larger than 4 MiB.
const LARGE: [&str; 10] =
    ["--model", "mlp", "--hidden", "1400", "--epochs", "1", "--batch-size", "300", "--micro-batch", "30"];
/// Number of its parameters.
const ELEMENTS: u64 = 784 * 1400 + 1400 + 1400 * 10 + 10;

/// A piece that was assigned to a worker.
#[derive(Clone, Copy)]
struct Given {
    incarnation: Incarnation,
    round: Round,
    node: Node,
}

/// Waits for a worker's first piece.
fn given(worker: &mut Manual) -> Given {
    let mut incarnation = Incarnation::default();
    let given = worker.wait_for(|message| match message {
        CoordinatorMessage::Welcome(welcome) => {
            incarnation = welcome.incarnation;
            None
        }
        CoordinatorMessage::Piece(piece) => Some(Given { incarnation, round: piece.round, node: piece.node }),
        _ => None,
    });
    given.expect("a piece")
}

/// The head of an answer whose gradient is to follow.
fn announcement(of: Given) -> from_worker::Message {
    let node = proto::wire::Node { level: of.node.level.into(), index: of.node.index };
    let head = TensorHead { elements: ELEMENTS, dtype: Dtype::F32.into() };
    from_worker::Message::Answer(Answer {
        incarnation: of.incarnation.0,
        round: of.round.0,
        node: Some(node),
        body: Some(Body::Gradient(head)),
        ..Answer::default()
    })
}

/// A run of two workers that is disturbed first, and then continues with two others.
fn disturbed(flags: &[&str], disturb: impl FnOnce(&mut Process, &str)) -> String {
    let data = SmallData::write();
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let [folder, other] = folders.each_ref().map(|folder| folder.path().to_str().expect("a readable name"));
    let place = |folder| ["--dataset", data.folder(), "--val-split", "43", "--checkpoint-dir", folder];
    let all = [&place(folder)[..], &LARGE, flags].concat();
    let (mut run, address) = Process::coordinator("127.0.0.1:0", &all);
    disturb(&mut run, &address);
    let _honest = ["a", "b"].map(|name| Process::worker(&address, name));
    let Outcome { code, output, errors, .. } = run.wait();
    assert_eq!(code, Some(0), "{errors}");
    let expected = train(&[&place(other)[..], &LARGE].concat(), &[1]);
    for digest in [expected.model_sha256, expected.optimizer_sha256] {
        assert!(output.contains(&digest), "{digest} is not in\n{output}");
    }
    errors
}

#[test]
fn a_gradient_that_nobody_asked_for_drops_its_sender() {
    disturbed(&["--workers", "2:2"], |run, address| {
        // Pieces are assigned when both are there.
        let [mut holder, mut other] = ["holder", "other"].map(|name| Manual::join(address, name));
        let [held, own] = [&mut holder, &mut other].map(given);
        assert_ne!(held.node, own.node);
        // The third is a spare: it has no piece.
        let mut spare = Manual::join(address, "spare");
        spare.wait_for(|message| matches!(message, CoordinatorMessage::Spare(_)).then_some(())).unwrap();
        let drops = |run: &mut Process, mut sender: Manual, name: &str, of: Given| {
            sender.send(announcement(of));
            let why = sender.wait_for(|_| None::<()>).unwrap_err();
            assert!(why.contains("which it was not given"), "{name}: {why}");
            let (cause, _) = drop_of(run.wait_for_event("drops the sender", dropped(name)));
            let not_given = |error: &ProtocolError| matches!(error, ProtocolError::GradientNotGiven { .. });
            assert!(matches!(&cause, Cause::Invalid(error) if not_given(error)), "{cause}");
        };
        drops(run, spare, "spare", held);
        drops(run, other, "other", held);
        drops(run, holder, "holder", Given { round: Round(held.round.0 + 1), ..held });
    });
}

#[test]
fn an_announced_gradient_that_does_not_come_drops_its_sender() {
    disturbed(&["--workers", "1:2", "--heartbeat-timeout", "1"], |run, address| {
        let mut staller = Manual::join(address, "staller");
        let own = given(&mut staller);
        staller.send(announcement(own));
        let why = staller.wait_for(|_| None::<()>).unwrap_err();
        assert!(why.contains("does not arrive"), "{why}");
        let (cause, _) = drop_of(run.wait_for_event("drops the sender", dropped("staller")));
        assert!(matches!(cause, Cause::Stalled { .. }), "{cause}");
    });
}
