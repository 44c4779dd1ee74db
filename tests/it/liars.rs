//! Whatever a worker answers, and whatever it computes on, costs no bit; where it is the run's own fault, the run says so.

use common::protocol::coordinator::QUARANTINE_AFTER;
use common::tree::Node;
use proto::message::{Answer, AnswerBody, Hello, WorkerMessage};
use tests::golden::Bench;
use tests::process::Process;
use tests::scripted::{hello, work};
use tests::visited::Visited;

/// What a worker is told that spoils its gradients like this.
fn told(visited: &Visited, name: &str, spoil: impl FnMut(&mut Answer)) -> String {
    told_as(visited, hello(name), spoil)
}

fn told_as(visited: &Visited, hello: Hello, spoil: impl FnMut(&mut Answer)) -> String {
    spoiled_as(&visited.address, hello, spoil).expect_err("it should not be in at the end")
}

fn spoiled(address: &str, name: &str, spoil: impl FnMut(&mut Answer)) -> Result<(), String> {
    spoiled_as(address, hello(name), spoil)
}

/// Works until the stream ends, and spoils each gradient.
fn spoiled_as(address: &str, hello: Hello, mut spoil: impl FnMut(&mut Answer)) -> Result<(), String> {
    work(address, hello, |mut answer| {
        if let AnswerBody::Gradient(_) = answer.body {
            spoil(&mut answer);
        }
        vec![WorkerMessage::Answer(answer)]
    })
}

fn gradient(answer: &mut Answer) -> &mut [f32] {
    match &mut answer.body {
        AnswerBody::Gradient(gradient) => gradient,
        AnswerBody::Confusion(_) => panic!("only gradients are spoiled"),
    }
}

/// The same each time: a machine that fails always fails alike.
fn poison(answer: &mut Answer) {
    gradient(answer).fill(f32::NAN);
}

fn cut(answer: &mut Answer) {
    let values = gradient(answer);
    answer.body = AnswerBody::Gradient(values[1..].to_vec().into());
}

#[test]
fn a_wrong_answer_of_any_kind_is_refused_and_computed_elsewhere() {
    let mut visited = Visited::new(&[]);
    /// By name, with what the worker and the log are told.
    type Wrong = (&'static str, fn(&mut Answer), &'static str);
    let wrongs: [Wrong; 9] = [
        ("nan", |answer| gradient(answer)[0] = f32::NAN, "non-finite number"),
        ("infinity", |answer| gradient(answer)[7] = f32::INFINITY, "non-finite number"),
        ("infinite-loss", |answer| answer.totals.loss_sum = f64::INFINITY, "non-finite number"),
        ("too-short", cut, "elements where the model has"),
        ("too-many-samples", |answer| answer.totals.samples += 1, "samples for piece"),
        ("unknown-leaf", |answer| answer.node = Node::leaf(u32::MAX), "samples for piece"),
        ("not-its-own", |answer| answer.node = answer.node.parent(), "for piece"),
        ("of-another-life", |answer| answer.incarnation.0 -= 1, "an answer of incarnation"),
        ("of-a-round-to-come", |answer| answer.round.0 += 1000, "which has not begun"),
    ];
    for (name, spoil, reason) in wrongs {
        let why = told(&visited, name, spoil);
        assert!(why.contains(reason), "{name}: {why}");
        let dropped = visited.run.wait_for_line(&format!("worker dropped worker={name} "));
        assert!(dropped.contains("step=") && dropped.contains(reason), "{dropped}");
    }
    visited.ends_golden_and_undisturbed();
}

#[test]
fn a_worker_that_lies_three_times_stays_out_and_stops_nobody() {
    let mut visited = Visited::new(&[]);
    // One process, across its connections.
    let liar = hello("liar");
    for _ in 0..QUARANTINE_AFTER {
        let why = told_as(&visited, liar.clone(), poison);
        assert!(why.contains("non-finite number"), "{why}");
    }
    let why = told_as(&visited, liar, poison);
    assert!(why.contains("quarantined"), "{why}");
    visited.run.wait_for_line("worker quarantined for the rest of the run worker=liar");
    visited.ends_golden_and_undisturbed();
}

#[test]
fn a_leaf_that_two_workers_find_not_finite_stops_the_run_with_a_word() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "1"]);
    // The first has more than one leaf: they travel alone from then on.
    let told =
        ["a", "b", "c"].map(|name| spoiled(&address, name, poison).expect_err("no run ends like this"));
    assert!(told[..2].iter().all(|told| told.contains("non-finite number")), "{told:?}");
    assert!(told[2].contains("the run failed"), "{told:?}");
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    let words = ["step 0, leaf 0: computed twice", "the training has diverged"];
    assert!(words.iter().all(|words| outcome.errors.contains(words)), "{}", outcome.errors);
}

#[test]
fn an_audit_stops_the_run_where_bits_differ_and_names_both_workers() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "2", "--audit", "1"]);
    let _honest = Process::worker(&address, "honest");
    let told = spoiled(&address, "miscomputes", |answer| {
        let value = &mut gradient(answer)[1000];
        *value = f32::from_bits(value.to_bits() ^ 1);
    });
    assert!(told.is_err_and(|told| told.contains("the run failed")));
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    let words = ["step 0, piece", "honest", "miscomputes", "computed different bits"];
    assert!(words.iter().all(|words| outcome.errors.contains(words)), "{}", outcome.errors);
}
