use super::*;
use crate::observe::step_record;
use common::data::classes::ClassNames;
use common::event::{Departure, Mistake, MistakesRecord, PieceTime, RoundKind, RoundRecord, WorkerUsage};
use common::ids::{Epoch, Incarnation, Rank, Round, Step};
use common::protocol::coordinator::Cause;
use common::reduce::tree::Node;
use common::train::metrics::Confusion;

fn run(step: u64) -> RunRecord {
    RunRecord { step: Step(step), steps_total: 100, ..RunRecord::default() }
}

fn joined(name: &str, incarnation: u64) -> Event {
    Event::WorkerJoined {
        worker: name.to_owned(),
        rank: Rank(0),
        incarnation: Incarnation(incarnation),
        step: Step(0),
        workers: 1,
    }
}

fn dropped(name: &str, incarnation: u64) -> Event {
    let departure = Departure {
        worker: name.to_owned(),
        rank: Some(Rank(0)),
        incarnation: Incarnation(incarnation),
        pieces: vec![],
        has_helped: true,
        step: Step(1),
        workers: 0,
    };
    Event::WorkerDropped { cause: Cause::Silent { silent_us: 2_000_000 }, departure }
}

fn round(worker: u64, begun_us: u64) -> Event {
    let piece = |is_backup, answered_us| PieceTime {
        worker: Incarnation(worker),
        piece: Node::leaf(0),
        leaves: 2,
        is_backup,
        given_us: 1_000,
        answered_us,
    };
    Event::Round(RoundRecord {
        step: Step(0),
        round: Round(1),
        kind: RoundKind::Train,
        begun_us,
        summed_us: 9_000,
        done_us: 10_000,
        pieces: vec![piece(false, Some(5_000)), piece(true, None)],
    })
}

fn steps(view: &mut View, steps: std::ops::Range<u64>) {
    steps.for_each(|step| view.apply(1000.0 + step as f64, &Event::Step(step_record(step, 0))));
}

#[test]
fn a_worker_that_comes_back_goes_on_in_its_row() {
    let mut view = View::default();
    view.apply(10.0, &joined("a", 1));
    view.apply(11.0, &joined("b", 2));
    view.apply(20.0, &dropped("a", 1));
    view.apply(30.0, &joined("a", 3));
    // Another one of the same name.
    view.apply(31.0, &joined("a", 4));
    let rows = view.workers.rows();
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "a"]);
    let stays: Vec<_> = rows[0].stays.iter().map(|stay| (stay.from, stay.to)).collect();
    assert_eq!(stays, [(10.0, Some(20.0)), (30.0, None)]);
    assert_eq!(rows[0].stays[0].why.as_deref(), Some("dropped: nothing heard for 2000 ms"));
    assert_eq!(view.workers.present(), [3, 0]);
    assert_eq!((view.counts.joined, view.counts.dropped), (4, 1));
}

#[test]
fn of_a_killed_coordinator_the_next_one_knows_what_was() {
    let mut view = View::default();
    view.apply(1.0, &Event::RunStarted(run(0)));
    view.apply(2.0, &joined("a", 1));
    steps(&mut view, 0..30);
    let _ = view.take_update(0.0);
    view.apply(50.0, &Event::RunResumed(run(20)));
    assert!(view.take_update(0.0).is_none(), "what was shown is not so any more");
    let snapshot = view.snapshot(60.0);
    assert_eq!(snapshot.shown.curve.step, (0..20).collect::<Vec<_>>());
    let kinds: Vec<_> = snapshot.shown.marks.iter().map(|mark| (mark.kind, mark.step)).collect();
    assert_eq!(kinds, [("start", 0), ("restart", 20)]);
    assert_eq!(snapshot.shown.status.workers[0].stays[0].to, Some(50.0));
    assert_eq!(snapshot.shown.status.steps_done, 20);
}

#[test]
fn all_and_then_what_is_new_is_everything_once() {
    let mut view = View::default();
    view.apply(1.0, &Event::RunStarted(run(0)));
    steps(&mut view, 0..5);
    assert!(view.take_update(0.0).is_none());
    let mut seen = view.snapshot(0.0).shown.curve.step;
    for range in [5..9, 9..9, 9..12] {
        steps(&mut view, range);
        seen.extend(view.take_update(0.0).unwrap().curve.step);
    }
    assert_eq!(seen, (0..12).collect::<Vec<_>>());
    assert_eq!(seen, view.snapshot(0.0).shown.curve.step);
}

#[test]
fn the_worst_mistakes_are_shown_as_pictures_until_the_run_goes_on() {
    let mut view = View::default();
    view.apply(1.0, &Event::RunStarted(run(0)));
    let worst = vec![Mistake { index: 4, png: vec![1, 2, 3], ..Mistake::default() }];
    view.apply(2.0, &Event::Mistakes(MistakesRecord { step: Step(9), count: 30, worst }));
    let shown = serde_json::to_value(view.snapshot(4.0)).unwrap();
    let own = &shown["mistakes"]["worst"][0];
    assert_eq!((&shown["mistakes"]["count"], &own["index"]), (&30.into(), &4.into()));
    assert_eq!(own["picture"], "data:image/png;base64,AQID");
    view.apply(3.0, &Event::RunResumed(run(5)));
    assert!(serde_json::to_value(view.snapshot(4.0)).unwrap()["mistakes"].is_null());
}

#[test]
fn pieces_are_on_the_time_axis_and_in_the_workers_rows() {
    let mut view = View::default();
    view.apply(10.0, &joined("a", 1));
    view.apply(100.5, &round(1, 2_000_000));
    // Told with less delay: from now on the clocks are known better.
    view.apply(100.51, &round(1, 2_020_000));
    // A worker that nobody knows.
    view.apply(100.52, &round(7, 2_030_000));
    assert!(view.snapshot(0.0).shown.bars.is_empty(), "they are in the next update");
    let bars = view.take_update(0.0).unwrap().bars;
    assert_eq!(bars, view.snapshot(0.0).shown.bars);
    assert_eq!(bars.len(), 4);
    assert!((bars[2].from - 100.501).abs() < 1e-9, "{}", bars[2].from);
    assert!((bars[2].to - 100.505).abs() < 1e-9 && bars[2].is_used);
    assert!((bars[3].to - 100.509).abs() < 1e-9 && !bars[3].is_used && bars[3].is_backup);
    let row = &view.workers.rows()[0];
    assert_eq!((row.pieces, row.leaf_ms), (2, Some(2.0)));
}

#[test]
fn what_a_worker_uses_is_a_rate_between_heartbeats() {
    let mut view = View::default();
    view.apply(10.0, &joined("a", 1));
    let used = |cpu_seconds| WorkerUsage {
        worker: "a".into(),
        incarnation: Incarnation(1),
        cpu_seconds,
        resident_bytes: 7,
        received_bytes: 8,
        sent_bytes: 9,
    };
    for (time, cpu_seconds) in [(11.0, 1.0), (13.0, 4.0)] {
        view.apply(time, &Event::WorkersUsage { workers: vec![used(cpu_seconds)], step: Step(0) });
    }
    let row = &view.workers.rows()[0];
    assert_eq!((row.cores, row.resident_bytes), (Some(1.5), 7));
}

#[test]
fn everything_is_bounded() {
    let mut view = View::default();
    view.apply(0.0, &Event::RunStarted(run(0)));
    for number in 0..3000 {
        view.apply(number as f64, &joined(&format!("w{number}"), number));
        view.apply(number as f64, &round(number, number));
        view.apply(number as f64, &dropped(&format!("w{number}"), number));
        let evaluation =
            Evaluation::new(Step(number), Epoch(number), 0.5, Confusion::new(2), &ClassNames::numbers(2));
        view.apply(number as f64, &Event::Test(evaluation));
    }
    steps(&mut view, 0..5000);
    assert!(view.take_update(0.0).is_none(), "more is new than an update holds");
    let snapshot = view.snapshot(0.0);
    assert_eq!(snapshot.shown.status.workers.len(), 512);
    assert_eq!(snapshot.shown.messages.len(), MESSAGES_MAX);
    assert_eq!(snapshot.shown.evaluations.len(), EVALUATIONS_MAX);
    assert_eq!(snapshot.shown.bars.len(), 4096);
    assert!(snapshot.shown.curve.step.len() <= curve::BUCKETS_MAX);
    assert!(serde_json::to_string(&snapshot).unwrap().len() < 2 << 20);
}
