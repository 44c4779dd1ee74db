//! A worker of the same machine goes on in pipes, and what it sends there is checked as on its stream.

use super::other_users::{memory, run_with_a_place};
use host::pipes::{Address, Addresses};
use host::shared_memory;
use proto::frame::{Reader, Writer};
use proto::message::{Sharing, Usage, WorkerMessage};
use proto::wire::from_coordinator::Message;
use proto::wire::sharing::{Pipe, Pipes, Step};
use proto::wire::{Dropped, FromCoordinator, FromWorker};
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::time::Duration;
use tests::other_user::Neighbour;
use tests::told::{dropped, left};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

const PATIENCE: Duration = Duration::from_secs(120);
/// Token of the memory that is offered.
const TOKEN: u64 = 7;

/// A worker that has switched to pipes and been given a piece there.
struct Piped {
    stream: Neighbour,
    heard: Reader<pipe::Receiver>,
    said: pipe::Sender,
}

async fn say(to: &Neighbour, message: WorkerMessage) {
    for wire in proto::outbound::from_worker(message, |_, _| None) {
        to.say(wire).await;
    }
}

impl Piped {
    /// Joins the run of `coordinator`.
    async fn join(coordinator: u32, socket: &str, name: &str) -> Self {
        let own = memory(TOKEN);
        let mut stream = Neighbour::dial(socket).await;
        say(&stream, WorkerMessage::Hello(tests::scripted::hello(name))).await;
        let descriptor = own.as_raw_fd().unsigned_abs();
        say(&stream, WorkerMessage::Sharing(Sharing::Offer { descriptor, token: TOKEN })).await;
        let coordinator = NonZeroU32::new(coordinator).expect("a process");
        let mut ends = None;
        loop {
            match stream.hear().await.and_then(|wire| wire.message).expect("the stream goes on") {
                Message::Sharing(sharing) => match sharing.step.expect("a step") {
                    Step::Offer(offer) => {
                        let address =
                            shared_memory::Address { descriptor: offer.descriptor, token: offer.token };
                        shared_memory::View::open(coordinator, address).expect("the coordinator's memory");
                        say(&stream, WorkerMessage::Sharing(Sharing::Opened)).await;
                    }
                    Step::Pipes(Pipes { reads, writes }) => {
                        let [reads, writes] = [reads, writes].map(address_of);
                        ends =
                            Some(host::pipes::open(coordinator, Addresses { reads, writes }).expect("pipes"));
                        say(&stream, WorkerMessage::Sharing(Sharing::Switched)).await;
                    }
                    Step::Switched(_) => break,
                    Step::Opened(_) | Step::Released(_) => {}
                },
                // Whatever comes from a worker that has been admitted, pipes are offered then.
                Message::Welcome(_) => say(&stream, WorkerMessage::Heartbeat(Usage::default())).await,
                Message::Dropped(Dropped { reason }) => panic!("{name} is dropped: {reason}"),
                _ => {}
            }
        }
        let ends = ends.expect("pipes are offered before the switch");
        let heard = Reader::new(pipe::Receiver::from_owned_fd(ends.reads).expect("a pipe"));
        Self { stream, heard, said: pipe::Sender::from_owned_fd(ends.writes).expect("a pipe") }
    }

    /// The next message on the pipe; `None` at its end.
    async fn hear(&mut self) -> Option<Message> {
        let heard = tokio::time::timeout(PATIENCE, self.heard.next::<FromCoordinator>()).await;
        heard.expect("a word or an end").expect("messages").and_then(|wire| wire.message)
    }

    /// Why the coordinator drops it.
    async fn told(mut self) -> String {
        loop {
            match self.hear().await {
                Some(Message::Dropped(Dropped { reason })) => return reason,
                Some(_) => {}
                None => panic!("it was told nothing"),
            }
        }
    }
}

fn address_of(pipe: Option<Pipe>) -> Address {
    let Pipe { descriptor, inode } = pipe.expect("both pipes");
    Address { descriptor, inode }
}

#[test]
fn what_comes_on_a_pipe_is_checked_and_costs_one_worker_only() {
    let (mut run, socket, folder) = run_with_a_place();
    let coordinator = run.id();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut silent = Piped::join(coordinator, &socket, "silent").await;
        while !matches!(silent.hear().await, Some(Message::Piece(_))) {}
        // It closes its pipe and keeps its stream.
        drop(silent.said);
        let _ = run.wait_for_event("drops it", |event| dropped("silent")(event) || left("silent")(event));
        while silent.heard.next::<FromCoordinator>().await.is_ok_and(|wire| wire.is_some()) {}
        assert!(silent.stream.hear().await.is_none(), "the stream ends with the pipes");

        let mut long = Piped::join(coordinator, &socket, "long").await;
        long.said.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
        let told = long.told().await;
        assert!(told.contains("bytes of a message is 4294967295"), "{told}");

        let mut garbage = Piped::join(coordinator, &socket, "garbage").await;
        garbage.said.write_all(&[3, 0, 0, 0, 0xff, 0xff, 0xff]).await.unwrap();
        let told = garbage.told().await;
        assert!(told.contains("bytes that are no message"), "{told}");

        let beside = Piped::join(coordinator, &socket, "beside").await;
        say(&beside.stream, WorkerMessage::Heartbeat(Usage::default())).await;
        let told = beside.told().await;
        assert!(told.contains("a message on the stream after the switch to pipes"), "{told}");

        let flood = Piped::join(coordinator, &socket, "flood").await;
        let mut writer = Writer::new(flood.said);
        let heartbeats =
            proto::outbound::from_worker(WorkerMessage::Heartbeat(Usage::default()), |_, _| None);
        let heartbeat: Vec<FromWorker> = heartbeats.collect();
        // It fails when the coordinator has closed the pipe.
        while writer.flush(|_| {}).await.is_ok() {
            heartbeat.iter().cycle().take(1000).for_each(|message| _ = writer.append(message));
        }
        let _ = run.wait_for_event("drops it", dropped("flood"));
    });
    let step = tests::process::checkpoints(folder.path()).last().copied().unwrap_or(0);
    run.wait_for_checkpoint(folder.path(), step + 20);
    assert_eq!(run.events_with(dropped("local-0")), 0, "{}", run.errors());
}
