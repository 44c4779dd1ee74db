use super::*;
use crate::data::classes::ClassNames;
use crate::protocol::coordinator::{AnswerKind, Disconnect, ProtocolError};
use crate::selftest::NumericsDigest;
use crate::train::metrics::Confusion;

const NODE: Node = Node { level: 1, index: 3 };

fn departure(rank: Option<Rank>, pieces: Vec<Node>) -> Departure {
    let incarnation = Incarnation(u64::MAX);
    Departure { worker: "w".into(), rank, incarnation, pieces, has_helped: true, step: Step(7), workers: 1 }
}

fn dropped(cause: Cause) -> Event {
    Event::WorkerDropped { cause, departure: departure(Some(Rank(2)), vec![NODE, Node::leaf(0)]) }
}

/// Every kind of cause and refusal, and the events whose form is not plain.
fn events() -> Vec<Event> {
    let round = Round(4);
    let differs = OtherArithmetic { promised: NumericsDigest(1), own: NumericsDigest(2) };
    let refused = |reason| Event::WorkerRefused { worker: "w".into(), reason, step: Step(0) };
    let evaluation =
        Evaluation::new(Step(9), crate::ids::Epoch(1), 0.5, Confusion::new(10), &ClassNames::numbers(10));
    let run = RunRecord {
        run_id: "r".into(),
        config: [("seed".into(), "1".into())].into(),
        ..RunRecord::default()
    };
    vec![
        dropped(Cause::Silent { silent_us: 2_000_000 }),
        dropped(Cause::NoAnswer { round, node: NODE, waited_us: 5 }),
        dropped(Cause::Invalid(ProtocolError::SecondHello)),
        dropped(Cause::Invalid(ProtocolError::Malformed { what: "a message without x".into() })),
        dropped(Cause::Invalid(ProtocolError::AnswerKind { node: NODE, expected: AnswerKind::Gradient })),
        dropped(Cause::NonFinite { round, node: NODE }),
        dropped(Cause::Gone(Disconnect::Broken { what: "reset".into() })),
        dropped(Cause::Gone(Disconnect::Closed)),
        dropped(Cause::Stalled { node: NODE, bytes: 3, took_us: 4 }),
        refused(Refusal::Full { max: 1, spares: 2 }),
        refused(Refusal::Numerics(differs)),
        refused(Refusal::Miscomputes),
        refused(Refusal::KeyQuarantined),
        refused(Refusal::NameTaken { name: "w".into() }),
        Event::WorkerLeft(departure(None, vec![])),
        Event::RunStarted(run.clone()),
        Event::RunRolledBack { from: Step(9), checkpoint: None, run },
        Event::RunEnded {
            step: Step(1),
            steps_done: 2,
            outcome: RunOutcome::Failed { problem: "disk".into() },
        },
        Event::Validation(ValidationRecord {
            evaluation,
            best: true,
            train_loss: None,
            train_accuracy: Some(0.5),
        }),
        Event::GradientDoubted { worker: "w".into(), piece: NODE, peak: 1e30, usual: 0.1, step: Step(3) },
        Event::Listening { address: None, connect: vec![], token_file: None },
        Event::Round(RoundRecord {
            step: Step(3),
            round,
            kind: RoundKind::PseudoLabels,
            begun_us: 1,
            summed_us: 2,
            done_us: 3,
            pieces: vec![PieceTime {
                worker: Incarnation(u64::MAX),
                piece: NODE,
                leaves: 2,
                is_backup: true,
                given_us: 0,
                answered_us: None,
            }],
        }),
        Event::WorkersUsage {
            workers: vec![WorkerUsage {
                worker: "w".into(),
                incarnation: Incarnation(1),
                cpu_seconds: 1.5,
                resident_bytes: 7,
                received_bytes: 8,
                sent_bytes: 9,
            }],
            step: Step(3),
        },
    ]
}

#[test]
fn every_event_reads_back_from_json() {
    for event in events() {
        let json = serde_json::to_string(&event).unwrap();
        assert!(json.starts_with("{\"event\":\""), "{json}");
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event, "{json}");
    }
}

#[test]
fn an_evaluation_of_an_earlier_program_reads_back() {
    let evaluation =
        Evaluation::new(Step(9), crate::ids::Epoch(1), 0.5, Confusion::new(2), &ClassNames::numbers(2));
    let mut json = serde_json::to_value(Event::Test(evaluation.clone())).unwrap();
    let fields = json.as_object_mut().unwrap();
    for name in ["weighted_precision", "weighted_recall", "weighted_f1"] {
        assert_eq!(fields.remove(name), Some(0.0.into()));
    }
    let without =
        Evaluation { weighted_precision: None, weighted_recall: None, weighted_f1: None, ..evaluation };
    assert_eq!(serde_json::from_value::<Event>(json).unwrap(), Event::Test(without));
}

#[test]
fn a_reason_is_a_value_under_a_name() {
    let json = serde_json::to_value(dropped(Cause::Gone(Disconnect::Closed))).unwrap();
    assert_eq!(json["event"], "worker_dropped");
    assert_eq!(json["cause"], serde_json::json!({"gone": "closed"}));
    assert_eq!(json["rank"], 2);
    assert_eq!(json["pieces"][0], serde_json::json!({"level": 1, "index": 3}));
}

#[test]
fn a_line_has_fields_of_which_none_can_pass_for_two() {
    let left = Event::WorkerLeft(Departure { worker: "a rank=9".into(), ..departure(None, vec![]) });
    let fields = r#"rank=spare incarnation=18446744073709551615 step=7 pieces="""#;
    assert_eq!(left.to_string(), format!("worker left worker=\"a rank=9\" {fields}"));
    let line = dropped(Cause::Silent { silent_us: 2_000_000 }).to_string();
    assert!(line.ends_with(r#"step=7 pieces=1:3,0:0 cause="nothing heard for 2000 ms""#), "{line}");
}
