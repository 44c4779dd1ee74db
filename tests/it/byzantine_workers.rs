//! Whatever a worker answers, and whatever machine it runs on, no bit changes. If the run itself is at fault,
//! it says so.

use common::event::Event;
use common::protocol::coordinator::QUARANTINE_AFTER;
use common::reduce::tree::Node;
use proto::message::{Answer, AnswerBody, Hello, WorkerMessage};
use tests::attacked_run::AttackedRun;
use tests::golden::{Bench, SLOW, STEPS, assert_golden};
use tests::process::{Outcome, Process};
use tests::proxy::Proxy;
use tests::scripted::{hello, work};
use tests::told::{drop_of, dropped};

/// The reason that a worker is told when it spoils its gradients with `spoil`.
fn told(visited: &AttackedRun, name: &str, spoil: impl FnMut(&mut Answer)) -> String {
    told_as(visited, hello(name), spoil)
}

fn told_as(visited: &AttackedRun, hello: Hello, spoil: impl FnMut(&mut Answer)) -> String {
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
        AnswerBody::Confusion(_) | AnswerBody::Guesses(_) => panic!("only gradients are spoiled"),
    }
}

/// A fault that is the same each time: a machine that fails always fails alike.
fn poison(answer: &mut Answer) {
    gradient(answer).fill(f32::NAN);
}

fn cut(answer: &mut Answer) {
    let values = gradient(answer);
    answer.body = AnswerBody::Gradient(values[1..].to_vec().into());
}

#[test]
fn a_wrong_answer_of_any_kind_is_refused_and_computed_elsewhere() {
    let mut visited = AttackedRun::new(&[]);
    /// Name of a worker, its fault, and the text that the worker and the log get.
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
        let (cause, _) = drop_of(visited.run.wait_for_event("drops the wrong one", dropped(name)));
        assert!(cause.is_offence() && cause.to_string().contains(reason), "{cause}");
    }
    visited.ends_golden_and_undisturbed();
}

#[test]
fn a_worker_that_lies_three_times_stays_out_and_stops_nobody() {
    let mut visited = AttackedRun::new(&[]);
    // One process, across its connections.
    let liar = hello("liar");
    for _ in 0..QUARANTINE_AFTER {
        let why = told_as(&visited, liar.clone(), poison);
        assert!(why.contains("non-finite number"), "{why}");
    }
    let why = told_as(&visited, liar, poison);
    assert!(why.contains("quarantined"), "{why}");
    visited.run.wait_for_event(
        "quarantines the liar",
        |event| matches!(event, Event::WorkerQuarantined { worker, .. } if worker == "liar"),
    );
    visited.ends_golden_and_undisturbed();
}

#[test]
fn a_leaf_that_two_workers_find_not_finite_stops_the_run_with_a_word() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "1"]);
    // The first piece has more than one leaf; from then on each leaf is sent as a piece of its own.
    let told =
        ["a", "b", "c"].map(|name| spoiled(&address, name, poison).expect_err("no run ends like this"));
    assert!(told[..2].iter().all(|told| told.contains("non-finite number")), "{told:?}");
    // The third has its answer on the way when the run ends, and may not be told why.
    assert!(!told[2].contains("non-finite number"), "{told:?}");
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    let words =
        ["step 0, leaf 0: a loss or gradient that is not finite", "the same bits from b and c;", "machines"];
    assert!(words.iter().all(|words| outcome.errors.contains(words)), "{}", outcome.errors);
}

#[test]
fn two_liars_that_agree_do_not_stop_a_run_that_a_third_computes() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "3"]);
    let proxy = Proxy::start(&address);
    // The liars answer first.
    proxy.set_both(SLOW);
    let _honest = Process::worker(&proxy.address(), "honest");
    let liars = ["liar-1", "liar-2"].map(|name| {
        let address = address.clone();
        let hello = hello(name);
        std::thread::spawn(move || {
            // Each is one process, which comes back until it is not admitted any more.
            while let Err(told) = spoiled_as(&address, hello.clone(), poison)
                && told.contains("non-finite number")
            {}
        })
    });
    liars.into_iter().for_each(|liar| liar.join().expect("no panic"));
    proxy.heal();
    assert_golden(&run.wait());
}

#[test]
fn a_huge_number_costs_no_bit_and_the_step_says_so() {
    let mut visited = AttackedRun::new(&[]);
    type Wrong = (&'static str, fn(&mut Answer));
    let wrongs: [Wrong; 2] = [
        ("all-huge", |answer| gradient(answer).fill(1e30)),
        ("one-bit", |answer| {
            let value = &mut gradient(answer)[1000];
            *value = f32::from_bits(1e-3_f32.to_bits() ^ 1 << 30);
        }),
    ];
    for (name, spoil) in wrongs {
        let why = told(&visited, name, spoil);
        assert!(why.contains("numbers out of line"), "{name}: {why}");
        visited.run.wait_for_event("doubts the huge number", |event| {
            matches!(event, Event::GradientDoubted { worker, peak, usual, .. } if worker == name && peak > usual)
        });
    }
    let metrics = visited.bench.folder().join("metrics.jsonl");
    visited.ends_golden_and_undisturbed_with(|| {
        let metrics = std::fs::read_to_string(metrics).expect("it was written");
        assert!(metrics.contains("\"out_of_line\":"), "{metrics}");
    });
}

#[test]
fn the_only_worker_is_believed_where_it_repeats_a_huge_number() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "1", "--optimizer", "sgd", "--lr", "1e-9"]);
    let mut left = 2;
    let spoil = |answer: &mut Answer| {
        if left > 0 {
            left -= 1;
            gradient(answer).fill(2e6);
        }
    };
    assert_eq!(spoiled(&address, "big", spoil), Ok(()));
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let doubted = outcome.events.iter().filter(|event| matches!(event, Event::GradientDoubted { .. }));
    let confirmed = outcome.events.iter().filter(|event| matches!(event, Event::GradientConfirmed { .. }));
    assert!(doubted.count() > 0 && confirmed.count() > 0, "{}", outcome.errors);
}

/// Flips a bit of the fraction: the value is wrong, but no outlier.
fn miscompute(answer: &mut Answer) {
    let value = &mut gradient(answer)[1000];
    *value = f32::from_bits(value.to_bits() ^ 1 << 20);
}

#[test]
fn an_audit_stops_the_run_where_bits_differ_and_names_both_workers() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "2", "--audit", "1"]);
    let _honest = Process::worker(&address, "honest");
    let told = spoiled(&address, "miscomputes", miscompute);
    assert!(told.is_err_and(|told| told.contains("the run failed")));
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    let words = ["step 0, piece", "honest", "miscomputes", "computed different bits"];
    assert!(words.iter().all(|words| outcome.errors.contains(words)), "{}", outcome.errors);
}

#[test]
fn an_audit_by_a_third_drops_who_miscomputes_and_costs_no_bit() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "3", "--audit", "1"]);
    let _honest = ["honest-1", "honest-2"].map(|name| Process::worker(&address, name));
    let hello = hello("broken");
    let told = spoiled_as(&address, hello.clone(), miscompute).expect_err("it is dropped");
    assert!(told.contains("miscomputes: two other workers"), "{told}");
    let told = spoiled_as(&address, hello, miscompute).expect_err("it is not let in");
    assert!(told.contains("this worker miscomputes"), "{told}");
    let outcome = run.wait();
    assert_golden(&outcome);
    let is_named = |event: &Event| match event {
        Event::WorkerMiscomputes { worker, contradicted_by, .. } => {
            worker == "broken" && contradicted_by.iter().all(|name| name.starts_with("honest-"))
        }
        _ => false,
    };
    assert!(outcome.events.iter().any(is_named), "{}", outcome.errors);
}

/// A worker that computes its first round correctly, so that it has contributed to the model when it is
/// found.
fn break_down() -> impl FnMut(&mut Answer) {
    let mut first = None;
    move |answer| {
        if *first.get_or_insert(answer.round) != answer.round {
            miscompute(answer);
        }
    }
}

/// Lets a broken worker join, waits until it is found, and lets the run end.
fn rolled_back(mut run: Process, address: &str, proxy: &Proxy) -> Outcome {
    let told = spoiled(address, "broken", break_down()).expect_err("it is dropped");
    assert!(told.contains("miscomputes: two other workers"), "{told}");
    run.wait_for_event("goes back", |event| matches!(event, Event::RunRolledBack { .. }));
    proxy.heal();
    run.wait()
}

/// The checkpoint to which a run rolled back, and the step from which it continued.
fn went_back(outcome: &Outcome) -> (Option<String>, u64) {
    let went_back = outcome.events.iter().find_map(|event| match event {
        Event::RunRolledBack { checkpoint, run, .. } => Some((checkpoint.clone(), run.step.0)),
        _ => None,
    });
    went_back.expect("it has gone back")
}

#[test]
fn a_rollback_to_before_the_broken_worker_joined_costs_no_bit() {
    let bench = Bench::new();
    // The worker is found soon, while the checkpoint from before is kept.
    let (mut run, address) = bench.coordinator(&["--workers", "2:3", "--audit", "0.5", "--audit-rollback"]);
    let proxy = Proxy::start(&address);
    // The run must not be over before the broken worker is found.
    proxy.set_both(SLOW);
    let _honest = ["honest-1", "honest-2"].map(|name| Process::worker(&proxy.address(), name));
    run.wait_for_checkpoint(bench.folder(), 5);
    let outcome = rolled_back(run, &address, &proxy);
    assert_golden(&outcome);
    let (checkpoint, step) = went_back(&outcome);
    assert!(checkpoint.is_some_and(|path| path.contains("/step-0000")) && step > 0, "{}", outcome.errors);
    let metrics = std::fs::read_to_string(bench.folder().join("metrics.jsonl")).expect("it was written");
    let of_kind = |kind: &str| metrics.lines().filter(|line| line.contains(kind)).count() as u64;
    assert_eq!((of_kind("\"kind\":\"step\""), of_kind("\"event\":\"rollback\"")), (STEPS, 1), "{metrics}");
    assert_eq!(of_kind("\"kind\":\"worker_miscomputes\""), 1, "what led to it stays: {metrics}");
}

#[test]
fn without_a_checkpoint_that_is_old_enough_it_starts_over() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator(&["--workers", "3", "--audit", "0.05", "--audit-rollback"]);
    let proxy = Proxy::start(&address);
    proxy.set_both(SLOW);
    let _honest = ["honest-1", "honest-2"].map(|name| Process::worker(&proxy.address(), name));
    let outcome = rolled_back(run, &address, &proxy);
    assert_golden(&outcome);
    assert_eq!(went_back(&outcome), (None, 0));
}
