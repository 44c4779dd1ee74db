//! Other processes and users of the machine get no data from a local run, and local runs open no port.

use common::event::Event;
use proto::message::{Sharing, WorkerMessage};
use proto::wire::answer::Body;
use proto::wire::chunk::Place;
use proto::wire::from_coordinator::Message;
use proto::wire::sharing::{Opened, Step};
use proto::wire::{Answer, Chunk, Dropped, Dtype, FromWorker, Piece, TensorHead, from_worker};
use rustix::fs::{CWD, FileType, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::DupFlags;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tests::other_user::{Neighbour, as_user, socket_of, wait_for};
use tests::process::{JSON, Process, with_argument};
use tests::told::{dropped, joined, left};

/// A user without any permissions here.
const NOBODY: u32 = 65534;
/// Number of parameters of the linear model, which travels in one chunk.
const ELEMENTS: usize = 784 * 10 + 10;
/// Number of connections of a peer that exchanges the memory it has offered: each may be looked at in the
/// wrong moment.
const EXCHANGES: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(120);

/// A local run that continues until it is dropped, with the name of its socket.
fn run(workers: &str, more: &[&str]) -> (Process, String, TempDir) {
    let checkpoints = tempfile::tempdir().expect("a folder");
    let folder = checkpoints.path().to_str().expect("a readable name");
    let own = ["--workers", workers, "--local", "--threads", "1", "--checkpoint-dir", folder];
    let long = ["--dataset", "digits", "--model", "linear", "--epochs", "1000000", "--schedule", "constant"];
    let mut run = Process::start("coordinator", &[&own, &long[..], JSON, more].concat());
    let _ = run.wait_for_event("lets its worker in", joined("local-0"));
    let name = socket_of(run.id()).expect("local workers have a socket");
    (run, name, checkpoints)
}

fn address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).expect("a short name")
}

/// Sends the first bytes of HTTP/2; returns how many bytes come back before the end.
fn bytes_after_greeting(name: &str) -> usize {
    let mut stream = UnixStream::connect_addr(&address(name)).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("more than no time");
    // The connection may be closed already.
    let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    stream.read(&mut [0; 64]).unwrap_or(0)
}

#[test]
fn another_users_process_is_closed_at_the_local_socket() {
    let (mut run, name, _folder) = run("1", &[]);
    assert_ne!(bytes_after_greeting(&name), 0, "this user is listened to");
    let began = Instant::now();
    let Some(answered) = as_user(NOBODY, || (0..200).map(|_| bytes_after_greeting(&name)).sum::<usize>())
    else {
        return host::report("this test becomes another user, which only root may");
    };
    assert_eq!(answered, 0, "bytes that another user was sent");
    let line = run.wait_for_line("closed connections to the local socket");
    assert!(line.contains(&format!("user {NOBODY}")), "{line}");
    let lines = run.lines_with("closed connections");
    let seconds = began.elapsed().as_secs() as usize;
    assert!(lines <= seconds + 2, "{lines} lines in {seconds} s");
}

#[test]
fn a_worker_tells_another_users_listener_nothing() {
    let name = format!("lockstep-squatted-{}", std::process::id());
    let listen = || UnixListener::bind_addr(&address(&name)).unwrap();
    let Some(listener) = as_user(NOBODY, listen) else {
        return host::report("this test becomes another user, which only root may");
    };
    let flags = ["--connect", &format!("unix:@{name}"), "--threads", "1", "--give-up", "600"];
    let mut worker = Process::start("worker", &flags);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = [0; 64];
    assert_eq!(stream.read(&mut said).unwrap(), 0, "{:?}", String::from_utf8_lossy(&said));
    let line = worker.wait_for_line("no coordinator of this user listens on");
    assert!(line.contains(&format!("user {NOBODY}")), "{line}");
}

/// TCP sockets in the listening state that the process has open.
fn listening_ports(process: u32) -> Vec<String> {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).expect("a process that runs");
    let links =
        files.filter_map(|file| Some(std::fs::read_link(file.ok()?.path()).ok()?.display().to_string()));
    let own: Vec<String> = links.collect();
    let tables = ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("/proc/net/{name}")));
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_own = |inode: &str| own.contains(&format!("socket:[{inode}]"));
    fields
        .filter(|fields| fields[3] == "0A" && is_own(fields[9]))
        .map(|fields| fields[1].to_owned())
        .collect()
}

#[test]
fn local_runs_open_a_port_only_where_bind_asks_for_it() {
    let (closed, _, _folder) = run("1", &[]);
    assert_eq!(listening_ports(closed.id()), [""; 0]);
    assert_eq!(closed.events_with(|event| matches!(event, Event::Listening { address: None, .. })), 1);
    let (open, _, _folder) = run("1", &["--bind", "127.0.0.1:0"]);
    assert_eq!(listening_ports(open.id()).len(), 1);
    let own = ["--dataset", "digits", "--bind", "127.0.0.1:0", "--checkpoint-dir"];
    let folder = tempfile::tempdir().unwrap();
    let mut distributed =
        Process::start("coordinator", &[&own[..], &[folder.path().to_str().unwrap()], JSON].concat());
    let _ = distributed.address();
    assert_eq!(socket_of(distributed.id()), None, "nobody is expected there");
}

/// A run with a free place, beside a local worker.
pub(super) fn run_with_a_place() -> (Process, String, TempDir) {
    let (mut run, name, folder) = run("2", &[]);
    let _ = run.wait_for_event("lets its worker in", joined("local-1"));
    let own = format!("unix:@{name}");
    let is_doomed = |id: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.split('\0').any(|word| word == "local-1")
    };
    let doomed = with_argument(&own).into_iter().find(is_doomed).expect("a local worker");
    let pid = nix::unistd::Pid::from_raw(doomed as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("a process that runs");
    // It ends as it should, and so it is not started again. It may not know yet that it is a member, and then
    // it closes its stream without a goodbye.
    let is_gone = |event: &Event| left("local-1")(event) || dropped("local-1")(event);
    let _ = run.wait_for_event("is left", is_gone);
    (run, name, folder)
}

/// Beginning of what is told to the sender of an answer without samples.
const NO_SAMPLES: &str = "sent something invalid: 0 samples for piece ";

/// Result of offering a descriptor and answering the first piece with bytes that are said to lie there.
#[derive(Debug)]
struct Outcome {
    /// Whether the coordinator reported that it has opened the memory.
    opened: bool,
    /// Last message of the coordinator.
    told: String,
}

fn say(message: from_worker::Message) -> FromWorker {
    FromWorker { message: Some(message) }
}

async fn offer(socket: &str, name: &str, descriptor: i32, token: u64) -> Outcome {
    let mut neighbour = Neighbour::dial(socket).await;
    let offer = Sharing::Offer { descriptor: descriptor.unsigned_abs(), token };
    let hello = [WorkerMessage::Hello(tests::scripted::hello(name)), WorkerMessage::Sharing(offer)];
    for message in hello.into_iter().flat_map(|message| proto::outbound::from_worker(message, |_, _| None)) {
        neighbour.say(message).await;
    }
    let mut opened = false;
    let mut incarnation = 0;
    loop {
        match neighbour.hear().await.and_then(|message| message.message) {
            Some(Message::Sharing(sharing)) => {
                opened |= sharing.step == Some(Step::Opened(Opened {}));
            }
            Some(Message::Welcome(welcome)) => incarnation = welcome.incarnation,
            Some(Message::Piece(Piece { round, node, .. })) => {
                let head = TensorHead { elements: ELEMENTS as u64, dtype: Dtype::F32.into() };
                let body = Some(Body::Gradient(head));
                let answer = Answer { incarnation, round, node, body, ..Answer::default() };
                neighbour.say(say(from_worker::Message::Answer(answer))).await;
                let chunk = Chunk { place: Some(Place::At(0)), crc32: 1 };
                neighbour.say(say(from_worker::Message::Chunk(chunk))).await;
            }
            Some(Message::Dropped(Dropped { reason })) => return Outcome { opened, told: reason },
            Some(Message::Refused(refused)) => panic!("{name} is not let in: {}", refused.reason),
            Some(_) => {}
            None => panic!("{name} is told nothing"),
        }
    }
}

/// Memory that looks like a worker's, as long as a gradient.
pub(super) fn memory(token: u64) -> OwnedFd {
    let name = format!("lockstep-tensors-{token:016x}");
    let file =
        rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memory");
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK).expect("its seals are open");
    rustix::fs::ftruncate(&file, 4 * ELEMENTS as u64).expect("memory");
    file
}

#[test]
fn a_neighbour_learns_nothing_of_files_that_it_offers() {
    let (mut run, socket, _folder) = run_with_a_place();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = || File::options().read(true).write(true).create_new(true).mode(0o600).clone();
    let secret = options().open(folder.path().join("secret")).unwrap();
    let bytes: Vec<u8> =
        (0..4 * ELEMENTS as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    secret.write_all_at(&bytes, 0).unwrap();
    let path = folder.path().join("pipe");
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let pipe = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    // The number of one of the coordinator's own memories, which this process does not have.
    let foreign = wait_for("a memory", || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", run.id())).ok()?;
        let is_memory = |path: &std::path::Path| {
            std::fs::read_link(path).is_ok_and(|link| link.to_string_lossy().contains("memfd:lockstep"))
        };
        let memory = files.filter_map(|file| Some(file.ok()?.path())).find(|path| is_memory(path))?;
        memory.file_name()?.to_str()?.parse::<i32>().ok()
    });
    let offered = [("file", secret.as_raw_fd()), ("pipe", pipe.as_raw_fd()), ("foreign", foreign)];
    for (name, descriptor) in offered {
        let outcome = runtime.block_on(offer(&socket, name, descriptor, 7));
        assert!(!outcome.opened, "{name}: {outcome:?}");
        assert!(outcome.told.contains("is not in the sender's shared memory"), "{name}: {outcome:?}");
    }
    let honest = memory(7);
    let outcome = runtime.block_on(offer(&socket, "memory", honest.as_raw_fd(), 7));
    // Its bytes were taken for a gradient, which is refused for another reason.
    assert!(outcome.opened && outcome.told.contains(NO_SAMPLES), "{outcome:?}");

    // Programs that other tests start meanwhile must not inherit it.
    let mut slot = rustix::io::fcntl_dupfd_cloexec(&honest, 0).unwrap();
    let descriptor = slot.as_raw_fd();
    let is_over = AtomicBool::new(false);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                rustix::io::dup3(&secret, &mut slot, DupFlags::CLOEXEC).unwrap();
                rustix::io::dup3(&honest, &mut slot, DupFlags::CLOEXEC).unwrap();
            }
        });
        let one = |index| runtime.block_on(offer(&socket, &format!("exchange-{index}"), descriptor, 7));
        let outcomes = (0..EXCHANGES).map(one).collect();
        is_over.store(true, Ordering::Relaxed);
        outcomes
    });
    let computed = format!("{:08x}", crc32fast::hash(&bytes));
    let leaked = outcomes.iter().filter(|outcome| outcome.told.contains(&computed)).count();
    assert_eq!(leaked, 0, "of {EXCHANGES} answers tell the checksum of a foreign file");
    let told_more = |outcome: &&Outcome| {
        let is_unread =
            outcome.told.ends_with("a chunk at offset 0 of a tensor is not in the sender's shared memory");
        // What follows names the piece and the samples that it has.
        let is_refused = outcome.told.strip_prefix(NO_SAMPLES).is_some_and(|rest| rest.len() < 32);
        !is_unread && !is_refused
    };
    assert!(!outcomes.iter().any(|outcome| told_more(&outcome)), "{outcomes:?}");
    assert!(run.is_running(), "{}", run.errors());
}

#[test]
fn a_worker_of_another_process_namespace_keeps_to_the_stream() {
    let (mut run, socket, folder) = run_with_a_place();
    let connect = format!("unix:@{socket}");
    let flags = ["--connect", &connect, "--name", "contained", "--threads", "1"];
    let Some(mut worker) = Process::start_contained("worker", &flags) else {
        return host::report("this test needs a process namespace, which is not permitted here");
    };
    let _ = run.wait_for_event("lets it in", joined("contained"));
    let step = tests::process::checkpoints(folder.path()).last().copied().unwrap_or(0);
    run.wait_for_checkpoint(folder.path(), step + 200);
    assert!(worker.is_running(), "{}", worker.errors());
    assert_eq!(run.events_with(dropped("contained")), 0, "{}", run.errors());
}
