//! The page about a run (`--http`): it shows what happens and what has happened, to whom it is meant for, and
//! changes no bit whatever its readers do.

use common::event::Event;
use nix::sys::signal::Signal::SIGKILL;
use serde_json::Value;
use std::io::Read;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;
use tests::golden::{Bench, SLOW, STEPS, assert_golden};
use tests::http::{Heard, ask, connect, hear, send};
use tests::process::Process;
use tests::proxy::Proxy;

/// A request that keeps its connection.
fn request(path: &str, host: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

fn get(address: &str, path: &str, host: &str) -> Heard {
    let mut stream = connect(address);
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    send(&mut stream, head.as_bytes());
    hear(stream)
}

/// The address of a run's page.
fn page(run: &mut Process) -> String {
    let line = run.wait_for_line("a page about the run is at http://");
    let rest = line.split("http://").nth(1).expect("an address");
    rest.split(['"', ' ']).next().expect("an address").to_owned()
}

/// Reads a stream until its text has `part`.
fn read_until(stream: &mut TcpStream, part: &str) -> String {
    let mut bytes = Vec::new();
    let mut more = [0; 1 << 16];
    while !String::from_utf8_lossy(&bytes).contains(part) {
        let count = stream.read(&mut more).expect("more in time");
        assert!(count > 0, "the stream ended before {part}");
        bytes.extend(&more[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the page shows, once it is that.
fn shown(at: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let run = get(at, "/api/run", at).json();
        if is_it(&run) {
            return run;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the page does not show it");
}

fn is_gone(row: &Value) -> bool {
    row["state"] == "gone"
}

#[test]
fn the_page_shows_what_happens_and_what_was_before_a_crash() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--http", "127.0.0.1:0"]);
    let at = page(&mut run);
    let before = shown(&at, |run| !run["run"]["steps_total"].is_null());
    assert_eq!((&before["status"]["steps_done"], &before["run"]["steps_total"]), (&0.into(), &STEPS.into()));
    let proxy = Proxy::start(&address);
    proxy.set_both(SLOW);
    let worker = Process::worker(&proxy.address(), "first \"one\"");
    let mut stream = connect(&at);
    send(&mut stream, &request("/api/events", "127.0.0.1"));
    let head = read_until(&mut stream, "event: snapshot");
    assert!(head.to_lowercase().contains("content-type: text/event-stream"), "{head}");
    let _ = read_until(&mut stream, "\"name\":\"first \\\"one\\\"\"");
    run.wait_for_checkpoint(bench.folder(), 20);
    run.signal(SIGKILL);
    let _ = run.wait();
    drop(worker);

    let (mut run, address) = bench.coordinator(&["--http", "127.0.0.1:0"]);
    let at = page(&mut run);
    let _ = run.wait_for_event("resumes", |event| matches!(event, Event::RunResumed(_)));
    let after = shown(&at, |run| run["marks"].to_string().contains("restart"));
    let resumed = after["status"]["steps_done"].as_u64().expect("steps");
    assert!(resumed >= 20);
    let steps: Vec<u64> = serde_json::from_value(after["curve"]["step"].clone()).unwrap();
    assert_eq!(steps, (0..resumed).collect::<Vec<_>>(), "each once");
    let compute: Vec<f64> = serde_json::from_value(after["curve"]["phases"][0].clone()).unwrap();
    assert!(compute.iter().all(|ms| *ms > 0.0), "{compute:?}");
    let workers = after["status"]["workers"].as_array().expect("rows");
    assert!(workers.len() == 1 && workers.iter().all(is_gone), "{workers:?}");
    let kinds = after["marks"].as_array().expect("marks").iter().map(|mark| mark["kind"].as_str().unwrap());
    let kinds: Vec<&str> = kinds.filter(|kind| *kind != "checkpoint").collect();
    assert_eq!(kinds, ["start", "restart"]);
    let mut stream = connect(&at);
    send(&mut stream, &request("/api/events", "127.0.0.1"));
    let _worker = Process::worker(&address, "second");
    let _ = read_until(&mut stream, "\"picture\":\"data:image/png;base64,");
    assert_golden(&run.wait());
}

#[test]
fn only_own_names_are_answered_and_nothing_can_be_changed() {
    let bench = Bench::new();
    let (mut run, _) = bench.coordinator(&["--http", "127.0.0.1:0"]);
    let at = page(&mut run);
    for (path, kind) in [("/", "text/html"), ("/app.js", "text/javascript"), ("/healthz", "text/plain")] {
        let heard = get(&at, path, "localhost");
        assert_eq!(heard.status, 200, "{path}");
        assert!(heard.head.contains(&format!("content-type: {kind}")), "{}", heard.head);
        assert!(heard.head.contains("content-security-policy: default-src 'none'"), "{}", heard.head);
    }
    assert_eq!(get(&at, "/", "evil.example").status, 421, "a name that was rebound to this machine");
    assert_eq!(get(&at, "/api/run", "evil.example:80").status, 421);
    assert_eq!(get(&at, "/../../etc/passwd", "localhost").status, 404);
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(ask(&at, method, "/api/run", b"{}").status, 421, "the test's own name is none");
        let mut stream = connect(&at);
        let head = format!("{method} /api/run HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        send(&mut stream, head.as_bytes());
        assert_eq!(hear(stream).status, 405, "{method}");
    }
    let metrics = get(&at, "/metrics", "localhost");
    assert!(metrics.body.contains("\n# TYPE lockstep_steps_total counter\n"), "{}", metrics.body);
    run.signal(SIGKILL);
    let _ = run.wait();
}

#[test]
fn a_hundred_slow_and_broken_readers_change_no_bit() {
    let bench = Bench::new();
    let (mut run, address) = bench.coordinator(&["--http", "127.0.0.1:0", "--workers", "2"]);
    let at = page(&mut run);
    let mut readers = Vec::new();
    for number in 0..100 {
        let mut stream = connect(&at);
        match number % 4 {
            // It never reads what it has asked for.
            0 => send(&mut stream, &request("/api/events", "localhost")),
            // Half a request.
            1 => send(&mut stream, b"GET /api/ev"),
            // Bytes that are none.
            2 => send(&mut stream, &[0xff; 100]),
            // Everything again and again, unread.
            _ => (0..50).for_each(|_| send(&mut stream, &request("/api/run", "localhost"))),
        }
        readers.push(stream);
    }
    let _workers = ["a", "b"].map(|name| Process::worker(&address, name));
    assert_golden(&run.wait());
}

#[test]
fn a_page_that_cannot_be_served_is_named_before_anything_is_done() {
    let bench = Bench::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (run, _folder): (_, &Path) = (bench.flags(&["--http", &address]), bench.folder());
    let outcome = Process::start("coordinator", &run).wait();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.errors.contains("choose another --http"), "{}", outcome.errors);
}
