//! The cost of a round grows with its workers, not with their square.

use super::*;

/// Number of looks at members and pieces in a round in which each member answers one leaf.
fn looks_for_each(workers: u32) -> usize {
    let mut machine = measured(Limits { max: workers, ..LIMITS }, &vec![1_000; workers as usize]);
    let mut now_us = 10_000;
    for round in 1..=3 {
        machine.looks.set(0);
        let mut granted = begin(&mut machine, now_us, round, workers);
        now_us += 2_000;
        while let Some((from, node)) = granted.pop() {
            now_us += 1;
            let due_us = machine.next_deadline_us().expect("they may fall silent");
            assert!(due_us > now_us, "nobody is late");
            granted.extend(grants(&answer(&mut machine, now_us, from, round, node)));
        }
    }
    machine.looks.get() / workers as usize
}

#[test]
fn each_member_is_looked_at_a_few_times_a_round() {
    let [few, many] = [64, 1024].map(looks_for_each);
    assert!(few <= 8 && many <= 8, "{few} and {many} times");
}
