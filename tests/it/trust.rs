//! Workers and coordinator prove who they are: whoever has the token joins, and nobody else is heard.

use common::event::Event;
use common::protocol::coordinator::Cause;
use nix::sys::signal::Signal;
use rustls::version::{TLS12, TLS13};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;
use tests::attacked_run::AttackedRun;
use tests::golden::{Bench, REFUSED, assert_golden};
use tests::preload::Preload;
use tests::process::Process;
use tests::proxy::{Link, Proxy};
use tests::told::{dropped, joined};
use tests::trusted::{House, relay, without_key};

/// Characters of a token that no log may have: from its secret.
const SECRET: std::ops::Range<usize> = 60..80;

/// A worker that has given up, or was refused: its code and what it said.
fn worker_without_place(args: &[&str]) -> (Option<i32>, String) {
    let outcome = Process::start("worker", &[&["--give-up", "2s", "--threads", "1"], args].concat()).wait();
    (outcome.code, outcome.errors)
}

#[test]
fn whoever_has_the_token_joins_and_the_same_token_holds_after_a_restart() {
    let bench = Bench::new();
    let house = House::new();
    let flags = ["--workers", "2", "--identity", house.folder()];
    let (mut run, address) = bench.coordinator(&flags);
    let proxy = Proxy::start(&address);
    proxy.set_both(tests::golden::SLOW);
    let workers = ["left", "right"].map(|name| house.worker(&proxy.address(), name, "default"));
    run.wait_for_checkpoint(bench.folder(), 5);
    run.signal(Signal::SIGKILL);
    run.wait_for_end();
    let (run, _) = bench.coordinator_on(&address, &flags);
    proxy.heal();
    assert_golden(&run.wait());
    workers.into_iter().for_each(|worker| assert_eq!(worker.wait().code, Some(0)));
}

#[test]
fn who_has_no_key_or_another_one_is_refused_and_told_which_side_is_wrong() {
    let (house, other) = (House::new(), House::new());
    let mut visited = AttackedRun::with_tokens(&house, &[]);
    let address = visited.address.clone();
    let (_, errors) = worker_without_place(&["--connect", &address]);
    assert!(errors.contains("takes workers with a token only"), "{errors}");
    visited.run.wait_for_line("it does not speak TLS");

    let foreign = other.file("default");
    let (_, errors) =
        worker_without_place(&["--connect", &address, "--token-file", foreign.to_str().unwrap()]);
    assert!(errors.contains("this is not the coordinator that made the token"), "{errors}");
    visited.run.wait_for_line("its token was made by another coordinator");

    // A token of this coordinator that it does not have any more.
    house.token(&["new", "gone"]);
    let gone = house.text("gone");
    house.token(&["revoke", "gone"]);
    let (code, errors) = worker_without_place(&["--connect", &address, "--token", &gone, "--give-up", "20s"]);
    assert_eq!(code, Some(REFUSED));
    assert!(errors.contains("this coordinator does not know the token"), "{errors}");
    visited.run.wait_for_line("its key belongs to no token here");

    // Any peer can cause such lines, so there is one a second after the first ten.
    for (version, told, line) in [
        (&TLS12, "ProtocolVersion", "it speaks no TLS 1.3"),
        (&TLS13, "CertificateRequired", "it has no key"),
    ] {
        for _ in 0..60 {
            let refused = without_key(&address, version);
            assert!(refused.contains(told), "{refused}");
            if visited.run.lines_with(line) > 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        visited.run.wait_for_line(line);
    }
    visited.ends_golden_and_undisturbed();
}

#[test]
fn a_worker_with_a_token_joins_no_coordinator_that_speaks_plainly() {
    let bench = Bench::new();
    let house = House::new();
    let (run, address) = bench.coordinator(&["--workers", "1"]);
    let file = house.file("default");
    let (code, errors) =
        worker_without_place(&["--connect", &address, "--token-file", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("the coordinator answers without TLS"), "{errors}");
    let worker = Process::worker(&address, "plain");
    assert_golden(&run.wait());
    assert_eq!(worker.wait().code, Some(0));
}

#[test]
fn beyond_loopback_a_token_is_needed_unless_the_operator_says_otherwise() {
    let bench = Bench::new();
    let house = House::new();
    let flags = |more: &[&'static str]| {
        let all = bench.flags(&["--bind", "0.0.0.0:0", "--log-format", "json", "--workers", "1"]);
        let line = all.iter().copied().chain(more.iter().copied()).map(str::to_owned);
        line.collect::<Vec<String>>()
    };
    let text = |flags: &[String]| flags.iter().map(|flag| format!("'{flag}'")).collect::<Vec<_>>().join(" ");
    // The user's own folder is somewhere else.
    let home = format!("export XDG_CONFIG_HOME='{}'", house.folder());
    let flags_on = flags(&[]);
    let mut run =
        Process::start_after(&home, "coordinator", &flags_on.iter().map(String::as_str).collect::<Vec<_>>());
    let port = run.address().rsplit(':').next().unwrap().to_owned();
    let own = Path::new(house.folder()).join("lockstep/identity/tokens/default");
    let (_, errors) = worker_without_place(&["--connect", &format!("127.0.0.1:{port}")]);
    assert!(errors.contains("takes workers with a token only"), "{errors}");
    let token_file = run.wait_for_event("says where a token lies", |event| {
        matches!(event, Event::Listening { token_file: Some(_), .. })
    });
    assert!(format!("{token_file:?}").contains(own.to_str().unwrap()), "{token_file:?}");
    assert_eq!(fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o600);
    drop(run);

    let insecure = flags(&["--insecure"]);
    let mut run = Process::start("coordinator", &insecure.iter().map(String::as_str).collect::<Vec<_>>());
    let port = run.address().rsplit(':').next().unwrap().to_owned();
    run.wait_for_line("--insecure: whoever reaches the port can join");
    let worker = Process::worker(&format!("127.0.0.1:{port}"), "plain");
    assert_golden(&run.wait());
    assert_eq!(worker.wait().code, Some(0), "{}", text(&insecure));
}

/// A C library with which a program's wall clock is years off.
fn clock_off_by(years: i64) -> Preload {
    Preload::build(&format!(
        "
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {{
    int result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += {};
    return result;
}}
",
        years * 365 * 24 * 3600
    ))
}

#[test]
fn clocks_that_are_ten_years_off_either_way_keep_nobody_out() {
    let bench = Bench::new();
    let house = House::new();
    let (early, late) = (clock_off_by(-10), clock_off_by(10));
    let flags = bench.flags(&["--bind", "127.0.0.1:0", "--workers", "2", "--identity", house.folder()]);
    let mut run = Process::start_after(&early.line(), "coordinator", &flags);
    let line = run.wait_for_line("listening on ");
    let address = line.split(' ').nth(2).unwrap().trim_end_matches(';').to_owned();
    let file = house.file("default");
    let args = ["--connect", &address, "--threads", "1", "--token-file", file.to_str().unwrap()];
    let off = Process::start_after(&late.line(), "worker", &args);
    let right = house.worker(&address, "right", "default");
    let outcome = run.wait();
    assert_golden(&outcome);
    let said = off.wait();
    assert_eq!((said.code, right.wait().code), (Some(0), Some(0)));
    // Log lines begin with the year.
    let years: BTreeSet<i64> = [&outcome.errors, &said.errors]
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| line.get(..4)?.parse().ok())
        .collect();
    assert!(years.last().unwrap() - years.first().unwrap() >= 19, "the clocks were not off: {years:?}");
}

#[test]
fn who_is_revoked_is_disconnected_and_does_not_come_back() {
    let bench = Bench::new();
    let house = House::new();
    house.token(&["new", "lab"]);
    let (mut run, address) = bench.coordinator(&["--workers", "1:2", "--identity", house.folder()]);
    let proxy = Proxy::start(&address);
    // Programs are started meanwhile, one after the other.
    proxy.set_both(Link { delay: Duration::from_millis(200), ..Link::default() });
    let stays = house.worker(&proxy.address(), "stays", "default");
    let goes = house.worker(&proxy.address(), "goes", "lab");
    run.wait_for_event("lets it in", joined("goes"));
    run.wait_for_event("lets the other in", joined("stays"));
    let told = house.token(&["revoke", "lab"]);
    assert_eq!(told.code, Some(0), "{}", told.errors);
    let lost = run.wait_for_event("drops it", dropped("goes"));
    assert!(lost.to_string().contains("its token was revoked"), "{lost}");
    let gone = goes.wait();
    assert_eq!(gone.code, Some(REFUSED));
    assert!(gone.errors.contains("this coordinator does not know the token"), "{}", gone.errors);
    // A token that is made meanwhile is good.
    house.token(&["new", "lab"]);
    let returns = house.worker(&proxy.address(), "returns", "lab");
    run.wait_for_event("lets the new one in", joined("returns"));
    proxy.heal();
    let outcome = run.wait();
    assert_golden(&outcome);
    assert!(!outcome.events.iter().any(dropped("stays")), "{}", outcome.errors);
    [stays, returns].into_iter().for_each(|worker| assert_eq!(worker.wait().code, Some(0)));
}

#[test]
fn a_token_for_one_worker_lets_in_one_worker_however_often() {
    let bench = Bench::new();
    let house = House::new();
    house.token(&["new", "one", "--uses", "1"]);
    let (mut run, address) = bench.coordinator(&["--workers", "1:2", "--identity", house.folder()]);
    let proxy = Proxy::start(&address);
    proxy.set_both(tests::golden::SLOW);
    let first = house.worker(&proxy.address(), "first", "one");
    run.wait_for_event("lets it in", joined("first"));
    let second = house.worker(&address, "second", "one").wait();
    assert_eq!(second.code, Some(REFUSED));
    assert!(second.errors.contains("is for 1 workers, and as many have joined"), "{}", second.errors);
    proxy.break_all(tests::proxy::Fate::Reset);
    run.wait_for_events(2, "lets it in again", joined("first"));
    proxy.heal();
    assert_golden(&run.wait());
    assert_eq!(first.wait().code, Some(0));
}

#[test]
fn a_name_belongs_to_the_key_that_has_it() {
    let bench = Bench::new();
    let house = House::new();
    house.token(&["new", "lab"]);
    let (mut run, address) = bench.coordinator(&["--workers", "1:2", "--identity", house.folder()]);
    let proxy = Proxy::start(&address);
    proxy.set_both(tests::golden::SLOW);
    let first = house.worker(&proxy.address(), "twin", "default");
    run.wait_for_event("lets the first in", joined("twin"));
    let mut second = house.worker(&proxy.address(), "twin", "lab");
    second.wait_for_lines(2, "another worker is connected under the name twin");
    drop(first);
    run.wait_for_events(2, "lets the second in", joined("twin"));
    proxy.heal();
    let outcome = run.wait();
    assert_golden(&outcome);
    let is_replaced = |event: &Event| matches!(event, Event::WorkerDropped { cause: Cause::Replaced, .. });
    assert!(!outcome.events.iter().any(is_replaced), "{}", outcome.errors);
    assert_eq!(second.wait().code, Some(0));
}

#[test]
fn an_identity_that_others_can_read_is_refused_and_a_mounted_token_is_not() {
    let bench = Bench::new();
    let house = House::new();
    let key = Path::new(house.folder()).join("coordinator.key");
    let flags = ["--bind", "127.0.0.1:0", "--workers", "1", "--identity", house.folder()];
    let refused = |what: &str| {
        let outcome = Process::start("coordinator", &bench.flags(&flags)).wait();
        assert_eq!(outcome.code, Some(1));
        assert!(outcome.errors.contains(what), "{}", outcome.errors);
    };
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    refused("can be read by others (mode 0644)");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let kept = key.with_extension("kept");
    fs::rename(&key, &kept).unwrap();
    symlink(&kept, &key).unwrap();
    refused("a symbolic link");
    fs::rename(&kept, &key).unwrap();
    // Kubernetes and systemd hand out secrets like this.
    let mounted = tempfile::tempdir().unwrap();
    let file = mounted.path().join("token");
    fs::write(&file, house.text("default")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let link = mounted.path().join("link");
    symlink(&file, &link).unwrap();
    let (run, address) = bench.coordinator(&["--workers", "1", "--identity", house.folder()]);
    let worker = Process::start("worker", &["--connect", &address, "--token-file", link.to_str().unwrap()]);
    assert_golden(&run.wait());
    assert_eq!(worker.wait().code, Some(0));
}

#[test]
fn a_token_is_in_no_log_record_or_command_line_and_no_core_is_dumped() {
    let bench = Bench::new();
    let house = House::new();
    let records = tempfile::tempdir().unwrap();
    let folder = records.path().join("run");
    let more = [
        "--workers",
        "2",
        "--local",
        "--threads",
        "1",
        "--bind",
        "127.0.0.1:0",
        "--identity",
        house.folder(),
    ];
    let flags: Vec<&str> = bench.flags(&more).into_iter().chain(["--log-format", "json"]).collect();
    let flags: Vec<&str> =
        without_checkpoint_folder(flags).chain(["--run-dir", folder.to_str().unwrap()]).collect();
    let mut run = Process::start_after("ulimit -c unlimited; export RUST_LOG=trace", "coordinator", &flags);
    let address = run.address();
    let variable = format!("export RUST_LOG=trace LOCKSTEP_TOKEN={}", house.text("default"));
    let spare = Process::start_after(&variable, "worker", &["--connect", &address, "--threads", "1"]);
    run.wait_for_checkpoint(&folder.join("checkpoints"), 1);
    let secret = house.text("default")[SECRET].to_owned();
    for process in [&run, &spare] {
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap_or_default();
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap_or_default();
        assert!(limits.is_empty() || line.split_whitespace().nth(4) == Some("1"), "{line}");
    }
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let is_ours = line.contains("coordinator") || line.contains("worker");
        assert!(!is_ours || !line.contains(&secret), "{line}");
    }
    let outcome = run.wait();
    let said = spare.wait();
    assert_eq!((outcome.code, said.code), (Some(0), Some(0)), "{}{}", outcome.errors, said.errors);
    for (what, text) in
        [("coordinator", &outcome.errors), ("summary", &outcome.output), ("worker", &said.errors)]
    {
        assert!(!text.contains(&secret), "the log of the {what} has the token");
    }
    for (path, bytes) in tests::folder::content(&folder) {
        let has = bytes.is_some_and(|bytes| String::from_utf8_lossy(&bytes).contains(&secret));
        assert!(!has, "{} has the token", path.display());
    }
}

/// The flags without the checkpoint folder: a run's folder has its own.
fn without_checkpoint_folder(flags: Vec<&str>) -> impl Iterator<Item = &str> {
    let at = flags.iter().position(|flag| *flag == "--checkpoint-dir").expect("the flag");
    flags
        .into_iter()
        .enumerate()
        .filter(move |(index, _)| *index != at && *index != at + 1)
        .map(|(_, flag)| flag)
}

#[test]
fn a_mistyped_token_is_noticed_before_dialling_and_not_shown() {
    let house = House::new();
    let text = house.text("default");
    let mistyped = text.replace('a', "b");
    let (code, errors) = worker_without_place(&["--connect", "127.0.0.1:9", "--token", &mistyped]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("typing error") && !errors.contains(&mistyped[SECRET]), "{errors}");
}

#[test]
fn somebody_in_between_is_noticed_and_hears_nothing() {
    let house = House::new();
    let visited = AttackedRun::with_tokens(&house, &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let upstream = visited.address.clone();
    let between = std::thread::spawn(move || relay(&listener, &upstream));
    let file = house.file("default");
    let (code, errors) =
        worker_without_place(&["--connect", &address, "--token-file", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("this is not the coordinator that made the token"), "{errors}");
    assert_eq!(between.join().unwrap(), 0, "bytes that somebody in between could read");
    visited.ends_golden_and_undisturbed();
}
