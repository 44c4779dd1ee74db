use super::*;
use common::event::{PieceTime, RoundKind, RoundRecord};
use common::ids::{Rank, Round, Step};
use common::reduce::tree::Node;
use std::io::{Read, Write};
use std::net::TcpListener;

/// A collector that takes so many requests; returns their bodies.
fn collector(requests: usize) -> (String, std::thread::JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    let bodies = std::thread::spawn(move || {
        let body = |_| {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut bytes, mut more) = (Vec::new(), [0; 4096]);
            loop {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head
                        .to_lowercase()
                        .lines()
                        .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
                    if body.len() >= length.unwrap() {
                        assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
                        let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
                        stream.write_all(answer.as_bytes()).unwrap();
                        return serde_json::from_str(body).unwrap();
                    }
                }
                let count = stream.read(&mut more).unwrap();
                bytes.extend(&more[..count]);
            }
        };
        (0..requests).map(body).collect()
    });
    (uri, bodies)
}

fn run(observer: &mut Otlp) {
    let run = RunRecord { run_id: "a1".into(), fingerprint: "ab".repeat(32), ..RunRecord::default() };
    observer.observe(&Event::RunStarted(run));
    let incarnation = Incarnation(7);
    let worker = "w".to_owned();
    observer.observe(&Event::WorkerJoined { worker, rank: Rank(0), incarnation, step: Step(0), workers: 1 });
    let piece = PieceTime {
        worker: incarnation,
        piece: Node::leaf(0),
        leaves: 3,
        is_backup: false,
        given_us: 10,
        answered_us: Some(30),
    };
    observer.observe(&Event::Round(RoundRecord {
        step: Step(4),
        round: Round(5),
        kind: RoundKind::Train,
        begun_us: 1000,
        summed_us: 40,
        done_us: 50,
        pieces: vec![piece],
    }));
    observer.observe(&Event::RunEnded { step: Step(4), steps_done: 5, outcome: RunOutcome::Complete });
}

#[test]
fn a_run_is_one_trace_of_rounds_and_pieces() {
    let (uri, bodies) = collector(1);
    let mut observer = Otlp::start(&uri).unwrap();
    run(&mut observer);
    drop(observer);
    let body = bodies.join().unwrap().remove(0);
    let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    let names: Vec<&str> = spans.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["train", "piece", "run"]);
    assert!(spans.iter().all(|span| span["traceId"] == "ab".repeat(16)), "{body}");
    assert_eq!(spans[0]["parentSpanId"], spans[2]["spanId"]);
    assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
    assert_eq!(spans[1]["attributes"][0]["value"]["stringValue"], "w");
    let at = |span: &Value, key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(at(&spans[1], "endTimeUnixNano") - at(&spans[1], "startTimeUnixNano"), 20_000);
    assert_eq!(at(&spans[0], "endTimeUnixNano") - at(&spans[0], "startTimeUnixNano"), 50_000);
}

#[test]
fn a_collector_that_is_away_or_silent_holds_nothing_up() {
    // It accepts, by the system's queue, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = "http://127.0.0.1:1".to_owned();
    for uri in [away, format!("http://{}", silent.local_addr().unwrap())] {
        let mut observer = Otlp::start(&uri).unwrap();
        (0..2 * WAITING_MAX).for_each(|_| run(&mut observer));
        assert!(observer.spans.len() <= BATCH);
        drop(observer);
    }
}
