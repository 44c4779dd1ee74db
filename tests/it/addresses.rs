//! Addresses as people write them are understood, or refused with the right spelling; those that a
//! coordinator prints can be dialled.

use nix::sys::signal::Signal::SIGKILL;
use std::net::SocketAddr;
use tests::golden::{Bench, assert_golden};
use tests::process::Process;
use tests::trusted::House;

/// Flags of a coordinator that would see next that there is no data.
const WITHOUT_DATA: [&str; 2] = ["--dataset", "/no/such/folder"];

fn without_data(flags: &[&str]) -> Process {
    Process::start("coordinator", &[&WITHOUT_DATA, flags].concat())
}

#[track_caller]
fn ends(process: Process, code: i32, words: &[&str]) {
    let outcome = process.wait();
    assert_eq!(outcome.code, Some(code), "{}", outcome.errors);
    for word in words {
        assert!(outcome.errors.contains(word), "{word:?} is not in: {}", outcome.errors);
    }
}

#[test]
fn another_spelling_of_an_address_is_refused_with_the_right_one() {
    for (address, spelling) in [
        ("::1:29400", "write [::1]:29400"),
        ("node7", "such as node7:29400"),
        ("https://node7:29400", "a token decides"),
        ("node7:29400/run", "HOST:PORT alone"),
        ("10.0.0.300:29400", "10.0.0.300 is not an IPv4 address"),
    ] {
        ends(without_data(&["--bind", address]), 2, &["--bind", spelling]);
        ends(Process::start("worker", &["--connect", address]), 2, &["--connect", spelling]);
    }
    for address in ["0.0.0.0:29400", "[::]:29400", ":29400"] {
        ends(
            Process::start("worker", &["--connect", address]),
            2,
            &["name the coordinator's host: HOST:29400"],
        );
    }
    ends(Process::start("worker", &["--connect", "127.0.0.1:0"]), 2, &["port 0"]);
}

#[test]
fn an_address_of_the_environment_or_a_file_is_refused_alike() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "bind = \"::1:29400\"").unwrap();
    ends(without_data(&["--config", file.path().to_str().unwrap()]), 2, &["--bind", "write [::1]:29400"]);
    let with = |variable| format!("export {variable}=::1:29400");
    let coordinator = Process::start_after(&with("LOCKSTEP_BIND"), "coordinator", &WITHOUT_DATA);
    ends(coordinator, 2, &["--bind", "write [::1]:29400"]);
    let worker = Process::start_after(&with("LOCKSTEP_CONNECT"), "worker", &[]);
    ends(worker, 2, &["--connect", "write [::1]:29400"]);
}

#[test]
fn a_name_that_nobody_knows_is_said_to_be_unknown() {
    let unknown = "no-such-host.invalid:29400";
    let worker = Process::start("worker", &["--connect", unknown, "--give-up", "1"]);
    // It can't be resolved, or was not in time.
    ends(worker, 1, &["the name no-such-host.invalid", "resolved"]);
    let bench = Bench::new();
    ends(Process::start("coordinator", &bench.flags(&["--bind", unknown])), 1, &[unknown, "--bind"]);
}

#[test]
fn an_address_with_a_scheme_and_a_slash_joins_a_run() {
    let bench = Bench::new();
    let (run, address) = bench.coordinator_on("tcp://127.0.0.1:0/", &[]);
    let worker = Process::worker(&format!("http://{address}/"), "guest");
    assert_golden(&run.wait());
    assert_eq!(worker.wait().code, Some(0));
}

#[test]
fn a_coordinator_on_all_addresses_prints_one_with_which_workers_join() {
    let bench = Bench::new();
    let house = House::new();
    let flags = bench.flags(&["--bind", "0.0.0.0:0", "--identity", house.folder()]);
    let mut run = Process::start("coordinator", &flags);
    let line = run.wait_for_line("workers join with: worker --connect ");
    let (_, invited) = line.split_once("--connect ").expect("it was waited for");
    assert!(!invited.contains("0.0.0.0"), "nobody can dial that: {line}");
    let words: Vec<&str> = invited.split([' ', '(', ',', ')']).collect();
    // The machine's name is among them too, but a test can't ask that it be known.
    let address = words.iter().find(|word| word.parse::<SocketAddr>().is_ok()).expect(&line);
    let worker = house.worker(address, "invited", "default");
    assert_golden(&run.wait());
    assert_eq!(worker.wait().code, Some(0));
}

#[test]
fn a_worker_follows_a_coordinator_that_comes_back_elsewhere() {
    let bench = Bench::new();
    let file = bench.folder().join("address");
    let list = format!("127.0.0.1:9,@{}", file.display());
    let mut worker = Process::worker(&list, "follower");
    worker.wait_for_line("no stream to the coordinator; dialling again");
    let put = |address: &str| {
        let beside = bench.folder().join("address.new");
        std::fs::write(&beside, format!("{address}\n")).unwrap();
        std::fs::rename(beside, &file).unwrap();
    };

    let (mut run, proxy) = bench.slowed(&["--workers", "1"]);
    put(&proxy.address());
    run.wait_for_checkpoint(bench.folder(), 10);
    run.signal(SIGKILL);
    let _ = run.wait();
    let (run, address) = bench.coordinator(&["--workers", "1"]);
    put(&address);
    assert_golden(&run.wait());
    assert_eq!(worker.wait().code, Some(0));
}
