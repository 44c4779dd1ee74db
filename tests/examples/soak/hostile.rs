//! Hostile peers, which connect directly to the coordinator's address.

use crate::fault::Fault;
use crate::field::{Field, PATIENCE, TIMEOUT};
use common::rng::Stream;
use proto::message::{AnswerBody, WorkerMessage};
use std::sync::mpsc::channel;
use std::time::Duration;
use tests::flood::{Flood, Kind, Sent, WITHOUT_HELLO};
use tests::scripted;
use tests::threads::Stopped;

/// Number of connections of a flood.
const CONNECTIONS: usize = 4;
/// A finite number that is larger than any gradient.
const HUGE: f32 = 1e30;

/// Acts as a hostile or broken peer until it is over. Returns what exactly was done.
pub(crate) fn strike(fault: Fault, field: &Field, random: &mut Stream) -> String {
    match fault {
        Fault::HugeAnswer => huge_answer(field),
        Fault::HeartbeatFlood => flood(field, Kind::Heartbeats, CONNECTIONS, seconds(random, 0.5, 3.0)),
        Fault::HiddenCrowd => flood(field, Kind::HiddenCrowd, CONNECTIONS, seconds(random, 0.5, 3.0)),
        Fault::ReaderThatNeverReads => {
            flood(field, Kind::NeverReads, 1, TIMEOUT.mul_f32(random.between(1.2, 2.0)))
        }
        _ => {
            let kind = WITHOUT_HELLO[random.below(WITHOUT_HELLO.len() as u32) as usize];
            flood(field, kind, CONNECTIONS, seconds(random, 0.5, 3.0))
        }
    }
}

/// Stops a worker's compute threads for a while that may exceed its answer timeout. The worker goes on
/// sending heartbeats.
pub(crate) fn stop_compute_threads(field: &Field, victim: usize, random: &mut Stream) -> String {
    let slot = &field.slots[victim];
    let time = seconds(random, 0.5, 15.0);
    match Stopped::compute_threads(slot.worker.id()) {
        Ok(stopped) => {
            std::thread::sleep(time);
            drop(stopped);
            format!("{} for {time:.1?}", slot.name)
        }
        Err(why) => format!("nothing done: {why}"),
    }
}

fn seconds(random: &mut Stream, low: f32, high: f32) -> Duration {
    Duration::from_secs_f32(random.between(low, high))
}

fn flood(field: &Field, kind: Kind, connections: usize, time: Duration) -> String {
    let flood = Flood::start(kind, field.address(), connections);
    std::thread::sleep(time);
    let Sent { opened, closed, bytes } = flood.end();
    format!("{kind:?} for {time:.1?}: {opened} connections, {closed} of them closed, {bytes} bytes")
}

/// Lets a worker join that answers its first gradient with huge numbers, and waits until it is dropped.
fn huge_answer(field: &Field) -> String {
    let (tell, told) = channel();
    let address = field.address().to_owned();
    std::thread::spawn(move || {
        let ended = scripted::work(&address, scripted::hello("huge"), |mut answer| {
            if let AnswerBody::Gradient(gradient) = &mut answer.body {
                gradient.fill(HUGE);
            }
            vec![WorkerMessage::Answer(answer)]
        });
        // If this took too long, nobody waits any more.
        let _ = tell.send(ended.err().unwrap_or_else(|| "the run ended".to_owned()));
    });
    told.recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("it was not thrown out:\n{}", field.coordinator.errors()))
}
