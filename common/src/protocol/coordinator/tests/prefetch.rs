//! Pieces that a member has before it asks for them.

use super::*;

fn die(machine: &mut Coordinator, now_us: u64, who: u64) -> Vec<(u64, Node)> {
    grants(&machine.on_event(now_us, Event::Gone(Incarnation(who), Disconnect::Closed)))
}

#[test]
fn a_dead_members_leaf_is_at_a_busy_one_before_it_asks() {
    let mut machine = measured(LIMITS, &[10_000, 10_000]);
    let [own, lost] = [0, 1].map(Node::leaf);
    assert_eq!(begin(&mut machine, 20_000, 1, 2), [(1, own), (2, lost)]);
    assert_eq!(die(&mut machine, 25_000, 2), [(1, lost)]);
    let accept = |node| Action::Accept { from: Incarnation(1), round: Round(1), node };
    assert_eq!(answer(&mut machine, 30_000, 1, 1, own), [accept(own)]);
    assert_eq!(answer(&mut machine, 40_000, 1, 1, lost), [accept(lost), Action::Complete(Round(1))]);
    let leaf_us = machine.members().next().and_then(|(_, member)| member.leaf_us(RUN));
    assert_eq!(leaf_us, Some(10_000), "measured from when it began, not from when it was given");
}

#[test]
fn each_member_prefetches_one_piece_at_most() {
    let mut machine = measured(LIMITS, &[10_000, 10_000]);
    // Shares of three, cut to aligned pieces of two: who has less to do gets the next leaf.
    let granted = begin(&mut machine, 20_000, 1, 6);
    assert_eq!(granted, [(1, LEFT), (2, RIGHT), (1, Node::leaf(4)), (2, Node::leaf(5))]);
    assert_eq!(die(&mut machine, 25_000, 2), [], "it has one to begin when it is done");
    assert_eq!(grants(&answer(&mut machine, 40_000, 1, 1, LEFT)), [(1, RIGHT)]);
    assert_eq!(grants(&answer(&mut machine, 50_000, 1, 1, Node::leaf(4))), [(1, Node::leaf(5))]);
}

#[test]
fn who_is_late_already_is_not_counted_on() {
    for (now_us, to) in [(29_000, 1), (31_000, 2)] {
        let mut machine = measured(LIMITS, &[10_000, 14_000, 10_000]);
        let (_, lost) = begin(&mut machine, 20_000, 1, 3)[2];
        assert_eq!(die(&mut machine, now_us, 3), [(to, lost)], "{now_us}");
    }
}

#[test]
fn what_waits_behind_a_late_piece_gets_a_backup_too() {
    let mut machine = measured(LIMITS, &[10_000, 10_000]);
    begin(&mut machine, 20_000, 1, 2);
    die(&mut machine, 25_000, 2);
    join(&mut machine, 26_000, "idle");
    let mut is_backed_up_at = |at_us, leaf| {
        assert_eq!(machine.next_deadline_us(), Some(at_us));
        let node = Node::leaf(leaf);
        assert_eq!(grants(&machine.on_event(at_us, Event::Tick)), [(3, node)]);
        answer(&mut machine, at_us + 10_000, 3, 1, node);
    };
    is_backed_up_at(20_000 + LATE_AFTER_US_MIN, 0);
    is_backed_up_at(25_000 + 2 * 3 * 10_000, 1);
}
