use super::*;
use crate::observe::login::Login;
use common::event::{PieceTime, RoundKind, RoundRecord};
use common::ids::{Rank, Round, Step};
use common::reduce::tree::Node;
use std::io::{Read, Write};
use std::net::TcpListener;

const TAKEN: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";

/// A collector that gives this answer to so many requests; returns their heads and bodies.
fn collector(
    requests: usize,
    answer: &'static str,
) -> (String, std::thread::JoinHandle<Vec<(String, Value)>>) {
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
                        stream.write_all(answer.as_bytes()).unwrap();
                        return (head.to_owned(), serde_json::from_str(body).unwrap());
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

fn start(uri: &str, login: Login) -> Otlp {
    Otlp::start(&Server::new(uri.parse().unwrap(), login)).unwrap()
}

/// A login of two headers.
fn login() -> Login {
    let list = "Authorization=Basic%20YTpi,x-key=k";
    Login::of_otlp(&|name| (name == "OTEL_EXPORTER_OTLP_HEADERS").then(|| list.into())).unwrap()
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
    let (uri, requests) = collector(1, TAKEN);
    let mut observer = start(&uri, Login::default());
    run(&mut observer);
    drop(observer);
    let (_, body) = requests.join().unwrap().remove(0);
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
        let mut observer = start(&uri, Login::default());
        (0..2 * WAITING_MAX).for_each(|_| run(&mut observer));
        assert!(observer.spans.len() <= BATCH);
        drop(observer);
    }
}

#[test]
fn a_collector_gets_the_login_with_each_request() {
    let (uri, requests) = collector(2, TAKEN);
    let mut observer = start(&uri, login());
    (0..2).for_each(|_| run(&mut observer));
    drop(observer);
    for (head, _) in requests.join().unwrap() {
        let lines: Vec<&str> = head.lines().collect();
        for line in ["authorization: Basic YTpi", "x-key: k", "content-type: application/json"] {
            assert_eq!(lines.iter().filter(|has| **has == line).count(), 1, "{line}: {head}");
        }
    }
}

#[test]
fn a_login_is_not_taken_along_to_another_server() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        other.local_addr().unwrap()
    );
    let (uri, requests) = collector(1, answer.leak());
    let mut observer = start(&uri, login());
    run(&mut observer);
    drop(observer);
    assert_eq!(requests.join().unwrap().len(), 1);
    assert!(other.accept().is_err(), "it was asked");
}
