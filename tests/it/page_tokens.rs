//! Beyond loopback, pages are for those who have the token, by TLS; whoever has none keeps nobody out.

use nix::sys::signal::Signal::SIGKILL;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::golden::Bench;
use tests::http::{Heard, ask, connect, hear, send};
use tests::https::Client;
use tests::process::Process;

/// Connections that say nothing.
const SILENT: usize = 1000;
/// Connections, more than a page may have, after which a reader comes.
const CROWD: usize = 200;
/// Requests of the reader.
const ASKED: usize = 30;
/// Longest time until a reader is answered: less than a silent connection may take for its handshake.
const ANSWERED_WITHIN: Duration = Duration::from_secs(4);

/// A program with a page beyond loopback, which is asked on loopback.
struct Served {
    process: Process,
    address: String,
    identity: PathBuf,
    client: Client,
    token: String,
}

impl Served {
    /// Waits for the line in which the program says where its page is.
    fn new(mut process: Process, line: &str, identity: &Path) -> Self {
        let line = process.wait_for_line(line);
        let url = line.split("https://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        let port = url.rsplit_once(':').expect("a port").1;
        let token = std::fs::read_to_string(identity.join("page.token")).expect("a token").trim().to_owned();
        Self {
            process,
            address: format!("127.0.0.1:{port}"),
            identity: identity.to_owned(),
            client: Client::trusting(&identity.join("page.pem")),
            token,
        }
    }

    fn of_run(bench: &Bench, place: &TempDir) -> Self {
        let identity = place.path().join("identity");
        let more = ["--http", "0.0.0.0:0", "--identity", text(&identity)];
        Self::new(bench.coordinator(&more).0, "a page about the run is at https://", &identity)
    }

    fn get(&self, path: &str, headers: &[&str]) -> Heard {
        self.client.ask(&self.address, "GET", path, headers, &[])
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Ends the program. Returns its log, which must not have the token.
    #[track_caller]
    fn end(self) -> String {
        self.process.signal(SIGKILL);
        let outcome = self.process.wait();
        let secret = &self.token[4..];
        assert!(!outcome.errors.contains(secret), "the token is in the log");
        assert!(!outcome.errors.contains("panicked"), "{}", outcome.errors);
        outcome.errors
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a readable name")
}

/// A header's value in a head in lower case.
fn value<'a>(heard: &'a Heard, name: &str) -> &'a str {
    let value = heard.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {}", heard.head))
}

#[test]
fn every_route_but_the_probe_needs_the_token() {
    let bench = Bench::new();
    let place = tempfile::tempdir().unwrap();
    let run = Served::of_run(&bench, &place);
    let bearer = run.bearer();
    let wrong = format!("Authorization: Bearer lp1_{}", "a".repeat(55));
    let routes = ["/", "/app.js", "/api/run", "/metrics", "/nothing", "/healthz/", "//", "/api/events"];
    for path in routes {
        for headers in
            [&[][..], &[wrong.as_str()], &["Authorization: Basic eDp4"], &["Cookie: lockstep_page=1"]]
        {
            let heard = run.get(path, headers);
            assert_eq!(
                (heard.status, value(&heard, "www-authenticate")),
                (401, "bearer"),
                "{path} {headers:?}"
            );
            assert!(heard.body.contains("Authorization: Bearer TOKEN"), "{}", heard.body);
        }
    }
    assert_eq!(run.client.ask(&run.address, "POST", "/api/run", &[], b"{}").status, 401);
    let probe = run.get("/healthz", &[]);
    assert_eq!((probe.status, probe.body.as_str()), (200, "ok\n"));
    for (path, status) in routes[..5].iter().zip([200, 200, 200, 200, 404]) {
        let heard = run.get(path, &[&bearer]);
        assert_eq!(heard.status, status, "{path}");
        assert!(!heard.body.contains(&run.token[4..]), "{path} has the token");
    }
    assert_eq!(run.client.ask(&run.address, "POST", "/api/run", &[&bearer], b"{}").status, 405);
    let log = run.end();
    assert!(log.contains("page.token") && log.contains("sha256//"), "{log}");
    // At most one line a second, however many are wrong.
    let lines = log.lines().filter(|line| line.contains("wrong page token")).count();
    assert!((1..=10).contains(&lines), "{lines} lines");
}

#[test]
fn the_link_with_the_token_gives_a_browser_a_cookie() {
    let bench = Bench::new();
    let place = tempfile::tempdir().unwrap();
    let run = Served::of_run(&bench, &place);
    let heard = run.get("/", &["Accept: text/html,*/*;q=0.8"]);
    assert_eq!((heard.status, value(&heard, "content-type")), (401, "text/html; charset=utf-8"));
    assert!(heard.body.contains("Open the address that the program printed"), "{}", heard.body);
    let heard = run.get(&format!("/?token={}", run.token), &[]);
    assert_eq!((heard.status, value(&heard, "location")), (303, "/"));
    assert_eq!(value(&heard, "referrer-policy"), "no-referrer");
    assert_eq!(value(&heard, "cache-control"), "no-store");
    let (cookie, attributes) = value(&heard, "set-cookie").split_once("; ").expect("attributes");
    assert_eq!(attributes, "httponly; secure; samesite=strict; path=/");
    assert!(!cookie.contains(&run.token[4..]) && cookie.len() == "lockstep_page=".len() + 64, "{cookie}");
    let cookie = format!("Cookie: other=1; {cookie}");
    assert!(run.get("/", &[&cookie]).body.contains("</html>"));
    assert_eq!(run.get("/api/run", &[&cookie]).status, 200);
    let mut wrong = run.token.clone();
    wrong.replace_range(10..11, if &wrong[10..11] == "a" { "b" } else { "a" });
    assert_eq!(run.get(&format!("/?token={wrong}"), &[&cookie]).status, 401);
    let token = run.token.clone();
    let _ = run.end();

    // The next start of the same identity has the same token and certificate.
    let again = Served::of_run(&bench, &place);
    assert_eq!(again.token, token);
    assert_eq!(again.get("/api/run", &[&cookie]).status, 200);
    let _ = again.end();
}

/// The beginning of TLS 1.2: a client's greeting that knows no later version.
fn greeting_of_tls_1_2() -> Vec<u8> {
    let extensions: [&[u8]; 3] = [
        // Groups: X25519, P-256. Points: uncompressed. Signatures: ECDSA and RSA-PSS with SHA-256.
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],
        &[0, 11, 0, 2, 1, 0],
        &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
    ];
    let extensions = extensions.concat();
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    // No session, two cipher suites (ECDHE with AES-128-GCM), no compression.
    hello.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut record = vec![0x16, 3, 1];
    record.extend((hello.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((hello.len() as u16).to_be_bytes());
    record.extend(hello);
    record
}

#[test]
fn plain_http_old_tls_and_other_certificates_are_refused() {
    let bench = Bench::new();
    let place = tempfile::tempdir().unwrap();
    let run = Served::of_run(&bench, &place);
    let plain = ask(&run.address, "GET", "/metrics", &[]);
    assert_eq!(plain.status, 400, "{plain:?}");
    assert!(plain.body.contains("https://") && !plain.body.contains("lockstep_"), "{plain:?}");
    let mut old = connect(&run.address);
    send(&mut old, &greeting_of_tls_1_2());
    let mut alert = Vec::new();
    let _ = old.read_to_end(&mut alert);
    // An alert of TLS: fatal, protocol version.
    assert_eq!((alert.first(), alert.get(5..)), (Some(&0x15), Some(&[2, 70][..])), "{alert:?}");
    for noise in [&b"\0\0\0\0"[..], &[0x16; 400], b"\x16\x03\x01\xff\xff"] {
        let mut stream = connect(&run.address);
        send(&mut stream, noise);
        assert_eq!(hear(stream).status, 0);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let other = trust::identity::Identity::open(elsewhere.path()).unwrap();
    other.page_certificate(["localhost".to_owned()]).unwrap();
    let other = Client::trusting(&elsewhere.path().join("page.pem"));
    assert!(other.connect(&run.address, "localhost").is_err(), "another key");
    assert!(run.client.connect(&run.address, "evil.example").is_err(), "another name");
    for name in ["localhost", "127.0.0.1", "::1"] {
        run.client.connect(&run.address, name).unwrap();
    }
    let _ = run.end();
}

#[test]
fn a_token_that_others_can_read_ends_the_start_before_anything_is_done() {
    let bench = Bench::new();
    let place = tempfile::tempdir().unwrap();
    let identity = place.path();
    let token = identity.join("page.token");
    std::fs::write(&token, "lp1_").unwrap();
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o644)).unwrap();
    let flags = ["--http", "0.0.0.0:0", "--identity", text(identity), "--bind", "127.0.0.1:0"];
    let outcome = Process::start("coordinator", &bench.flags(&flags)).wait();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.errors.contains("page.token can be read by others (mode 0644)"), "{}", outcome.errors);
    assert!(outcome.errors.contains("chmod 600"), "{}", outcome.errors);
    let left = std::fs::read_dir(bench.folder()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["lock"]);
}

#[test]
fn a_dry_run_makes_no_token() {
    let bench = Bench::new();
    let place = tempfile::tempdir().unwrap();
    let identity = place.path().join("identity");
    let flags = ["--http", "0.0.0.0:0", "--identity", text(&identity), "--bind", "127.0.0.1:0", "--dry-run"];
    let outcome = Process::start("coordinator", &bench.flags(&flags)).wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(!identity.exists());
}

/// Reads until the text has `part`.
fn read_until(stream: &mut impl Read, part: &str) {
    let mut text = String::new();
    let mut more = [0; 1 << 16];
    while !text.contains(part) {
        let count = stream.read(&mut more).expect("more in time");
        assert!(count > 0, "the stream ended before {part}");
        text += &String::from_utf8_lossy(&more[..count]);
    }
}

#[test]
fn a_thousand_silent_connections_keep_no_reader_out() {
    host::open_files::raise_limit();
    let bench = Bench::new();
    let place = tempfile::tempdir().unwrap();
    let run = Served::of_run(&bench, &place);
    let mut reader = run.client.connect(&run.address, "localhost").unwrap();
    let head = format!("GET /api/events HTTP/1.1\r\nHost: localhost\r\n{}\r\n\r\n", run.bearer());
    reader.write_all(head.as_bytes()).unwrap();
    read_until(&mut reader, "event: snapshot");
    let opened = AtomicUsize::new(0);
    let begun = Instant::now();
    let slowest = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut silent, mut greeted): (Vec<TcpStream>, Vec<_>) = (Vec::new(), Vec::new());
            for number in 0..SILENT {
                // Later ones end their handshake, now and then, and say nothing after it. They may be closed
                // for another one meanwhile.
                if number > CROWD && number % 5 == 0 {
                    greeted.extend(run.client.connect(&run.address, "localhost").ok());
                } else {
                    silent.push(connect(&run.address));
                }
                opened.fetch_add(1, Ordering::SeqCst);
            }
        });
        while opened.load(Ordering::SeqCst) < CROWD {
            std::thread::sleep(Duration::from_millis(1));
        }
        let asked = (0..ASKED).map(|_| {
            let begun = Instant::now();
            // On a busy machine it may be closed for another one, as a browser's; it comes again.
            while !run.client.reads(&run.address, &run.bearer()) {
                assert!(begun.elapsed() < ANSWERED_WITHIN, "a reader is kept out");
            }
            begun.elapsed()
        });
        asked.max().expect("an answer")
    });
    assert!(slowest < ANSWERED_WITHIN, "a reader waited {slowest:?}");
    // Who has shown the token has kept its place.
    read_until(&mut reader, "event: update");
    host::report(&format!("{SILENT} connections took {:?}; the slowest answer {slowest:?}", begun.elapsed()));
    let _ = run.end();
}

#[test]
fn with_insecure_the_page_is_open_and_every_start_warns() {
    let bench = Bench::new();
    let (mut run, _) = bench.coordinator(&["--http", "0.0.0.0:0", "--insecure"]);
    let line = run.wait_for_line("a page about the run is at http://0.0.0.0:");
    let port = line.split("http://0.0.0.0:").nth(1).and_then(|rest| rest.split('"').next()).expect("a port");
    let _ = run.wait_for_line("there is no password and no encryption");
    let mut stream = connect(&format!("127.0.0.1:{port}"));
    send(&mut stream, b"GET /api/run HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(hear(stream).status, 200);
    run.signal(SIGKILL);
    let _ = run.wait();
}

#[test]
fn on_loopback_an_identity_changes_nothing_for_the_page() {
    let bench = Bench::new();
    let place = tempfile::tempdir().unwrap();
    let more = ["--http", "127.0.0.1:0", "--identity", text(place.path())];
    let (mut run, _) = bench.coordinator(&more);
    let line = run.wait_for_line("a page about the run is at http://127.0.0.1:");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split('"').next()).expect("an address");
    let mut stream = connect(address);
    send(&mut stream, b"GET /api/run HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(hear(stream).status, 200);
    assert!(!place.path().join("page.token").exists());
    run.signal(SIGKILL);
    let _ = run.wait();
}

#[test]
fn a_served_model_needs_the_same_token_beyond_loopback() {
    let bench = Bench::new();
    let place = tempfile::tempdir().unwrap();
    let train = bench.flags(&["--local", "--max-steps", "0"]);
    let outcome = Process::start("coordinator", &train).wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let identity = place.path().join("identity");
    let flags = ["serve", "--checkpoint", text(bench.folder()), "--http", "0.0.0.0:0", "--threads", "1"];
    let guarded = [&flags[..], &["--identity", text(&identity)]].concat();
    let server = Served::new(Process::start("lockstep", &guarded), "listening on https://", &identity);
    let bearer = server.bearer();
    for (method, path) in [("GET", "/"), ("GET", "/model"), ("GET", "/metrics"), ("POST", "/predict")] {
        assert_eq!(server.client.ask(&server.address, method, path, &[], b"x").status, 401, "{path}");
    }
    assert_eq!(server.get("/healthz", &[]).body, "ok\n");
    assert_eq!(server.get("/model", &[&bearer]).status, 200);
    let mut picture = std::io::Cursor::new(Vec::new());
    image::GrayImage::from_pixel(64, 64, image::Luma([230]))
        .write_to(&mut picture, image::ImageFormat::Png)
        .unwrap();
    let picture = picture.into_inner();
    let answer = server.client.ask(&server.address, "POST", "/predict", &[&bearer], &picture);
    assert_eq!(answer.status, 200, "{answer:?}");
    let metrics = server.get("/metrics", &[&bearer]).body;
    assert!(metrics.contains("lockstep_serve_connections ") && !metrics.contains(&server.token[4..]));
    assert!(server.identity.join("coordinator.key").exists());
    let _ = server.end();

    let mut open = Process::start("lockstep", &[&flags[..], &["--insecure"]].concat());
    let line = open.wait_for_line("listening on http://0.0.0.0:");
    let port = line.split("http://0.0.0.0:").nth(1).and_then(|rest| rest.split(';').next()).expect("a port");
    let _ = open.wait_for_line("there is no password and no encryption");
    assert_eq!(ask(&format!("127.0.0.1:{port}"), "GET", "/model", &[]).status, 200);
    open.signal(SIGKILL);
    let _ = open.wait();
}
