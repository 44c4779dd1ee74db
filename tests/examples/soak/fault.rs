//! The faults: how each is injected, and what must happen before the next one.

use crate::field::{Field, TIMEOUT};
use crate::figures::Figures;
use crate::hostile;
use common::rng::Stream;
use nix::sys::signal::Signal::{SIGCONT, SIGKILL, SIGSTOP, SIGTERM};
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tests::process::{Process, checkpoints};
use tests::proxy::{Fate, Link, Way};
use tests::told::{dropped, no_checkpoint};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    WorkerKilled,
    WorkerTerminated,
    WorkerFrozenBriefly,
    WorkerFrozenTooLong,
    NewcomerKilledAtOnce,
    ConnectionReset,
    ConnectionCutAfterBytes,
    LinkOutBriefly,
    LinkOutTooLong,
    LinkHalfOpen,
    LinkSlow,
    CoordinatorKilled,
    CoordinatorKilledWhileSaving,
    CoordinatorTerminated,
    CoordinatorFrozen,
    CheckpointDamaged,
    CheckpointFolderAway,
    ComputeThreadsStopped,
    HugeAnswer,
    HttpFlood,
    HeartbeatFlood,
    HiddenCrowd,
    ReaderThatNeverReads,
}

/// All kinds of faults.
pub(crate) const KINDS: [Fault; 23] = [
    Fault::WorkerKilled,
    Fault::WorkerTerminated,
    Fault::WorkerFrozenBriefly,
    Fault::WorkerFrozenTooLong,
    Fault::NewcomerKilledAtOnce,
    Fault::ConnectionReset,
    Fault::ConnectionCutAfterBytes,
    Fault::LinkOutBriefly,
    Fault::LinkOutTooLong,
    Fault::LinkHalfOpen,
    Fault::LinkSlow,
    Fault::CoordinatorKilled,
    Fault::CoordinatorKilledWhileSaving,
    Fault::CoordinatorTerminated,
    Fault::CoordinatorFrozen,
    Fault::CheckpointDamaged,
    Fault::CheckpointFolderAway,
    Fault::ComputeThreadsStopped,
    Fault::HugeAnswer,
    Fault::HttpFlood,
    Fault::HeartbeatFlood,
    Fault::HiddenCrowd,
    Fault::ReaderThatNeverReads,
];

impl Fault {
    /// Injects the fault and undoes it. Returns what exactly was done.
    pub(crate) fn inflict(self, field: &mut Field, random: &mut Stream, figures: &mut Figures) -> String {
        let victim = random.below(field.slots.len() as u32) as usize;
        match self {
            Self::WorkerKilled => kill_worker(field, victim, figures),
            Self::WorkerTerminated => {
                let slot = &mut field.slots[victim];
                slot.worker.signal(SIGTERM);
                slot.worker.wait_for_end();
                slot.restart();
                slot.name.clone()
            }
            Self::WorkerFrozenBriefly => freeze(field, victim, TIMEOUT.mul_f32(random.between(0.1, 0.6))),
            Self::WorkerFrozenTooLong => freeze(field, victim, TIMEOUT.mul_f32(random.between(1.2, 1.6))),
            Self::NewcomerKilledAtOnce => {
                let newcomer = Process::worker(&field.slots[victim].proxy.address(), "newcomer");
                sleep(Duration::from_secs_f32(random.between(0.0, 1.0)));
                newcomer.signal(SIGKILL);
                "a newcomer".to_owned()
            }
            Self::ConnectionReset => {
                field.slots[victim].proxy.break_all(Fate::Reset);
                field.slots[victim].name.clone()
            }
            Self::ConnectionCutAfterBytes => {
                let way = if random.below(2) == 0 { Way::Up } else { Way::Down };
                let bytes = u64::from(random.below(800_000));
                link(field, victim, &[way], Link::after(bytes, Fate::Close), Duration::from_secs(1));
                format!("{} {way:?} after {bytes} bytes", field.slots[victim].name)
            }
            Self::LinkOutBriefly => out(field, victim, TIMEOUT.mul_f32(random.between(0.1, 0.6))),
            Self::LinkOutTooLong => out(field, victim, TIMEOUT.mul_f32(random.between(1.2, 1.6))),
            Self::LinkHalfOpen => {
                let way = if random.below(2) == 0 { Way::Up } else { Way::Down };
                let time = TIMEOUT.mul_f32(random.between(1.2, 1.6));
                link(field, victim, &[way], Link::after(0, Fate::Swallow), time);
                format!("{} {way:?} for {time:.1?}", field.slots[victim].name)
            }
            Self::LinkSlow => {
                let delay_ms = 10 + random.below(90);
                let rate = 1_000_000 + random.below(4_000_000);
                let slow =
                    Link { delay: Duration::from_millis(delay_ms.into()), rate: Some(rate), fate: None };
                link(field, victim, &[Way::Up, Way::Down], slow, Duration::from_secs(3));
                format!("{} by {delay_ms} ms and to {rate} bytes/s", field.slots[victim].name)
            }
            Self::CoordinatorFrozen => {
                let time = TIMEOUT.mul_f32(random.between(0.1, 1.6));
                field.coordinator.signal(SIGSTOP);
                sleep(time);
                field.coordinator.signal(SIGCONT);
                format!("for {time:.1?}")
            }
            Self::ComputeThreadsStopped => hostile::stop_compute_threads(field, victim, random),
            Self::HugeAnswer
            | Self::HttpFlood
            | Self::HeartbeatFlood
            | Self::HiddenCrowd
            | Self::ReaderThatNeverReads => hostile::strike(self, field, random),
            _ => self.strike_coordinator(field, random, figures),
        }
    }

    fn strike_coordinator(self, field: &mut Field, random: &mut Stream, figures: &mut Figures) -> String {
        match self {
            Self::CheckpointFolderAway => {
                let away = field.folder().with_extension("away");
                let alarms = |field: &Field| field.coordinator.events_with(no_checkpoint);
                let before = alarms(field);
                fs::rename(field.folder(), &away).expect("it is there");
                field.wait_for("an alarm", |field| alarms(field) > before);
                fs::rename(&away, field.folder()).expect("it can go back");
                return "until an alarm".to_owned();
            }
            Self::CoordinatorTerminated => {
                field.coordinator.signal(SIGTERM);
                field.coordinator.wait_for_end();
            }
            Self::CoordinatorKilledWhileSaving => {
                let folder = field.folder().to_owned();
                let is_writing = move || {
                    let names = fs::read_dir(&folder).into_iter().flatten().flatten();
                    names.map(|entry| entry.file_name()).any(|n| n.to_string_lossy().starts_with(".writing-"))
                };
                field.wait_for("a checkpoint to be written", |_| is_writing());
                kill_coordinator(field);
            }
            _ => kill_coordinator(field),
        }
        let mut what = String::new();
        if self == Self::CheckpointDamaged {
            what = damage(field, random).map_or("there was none; ".to_owned(), |file| format!("{file}; "));
        }
        let took = field.restart();
        figures.coordinator_restarted(took);
        format!("{what}a new step after {took:.2?}")
    }
}

fn kill_coordinator(field: &mut Field) {
    field.coordinator.signal(SIGKILL);
    field.coordinator.wait_for_end();
}

fn kill_worker(field: &mut Field, victim: usize, figures: &mut Figures) -> String {
    let name = field.slots[victim].name.clone();
    let drops = |field: &Field| field.coordinator.events_with(dropped(&name));
    let before = drops(field);
    let began = Instant::now();
    field.slots[victim].worker.signal(SIGKILL);
    // The worker may be no member just now: then nothing is measured.
    let mut noticed = None;
    while noticed.is_none() && began.elapsed() < 2 * TIMEOUT {
        noticed = (drops(field) > before).then(|| began.elapsed());
        sleep(Duration::from_millis(1));
    }
    if let Some(noticed) = noticed
        && field.slots.len() > 1
    {
        field.wait_for_next_step();
        figures.worker_died(noticed, began.elapsed());
    }
    field.slots[victim].worker.wait_for_end();
    field.slots[victim].restart();
    name
}

fn freeze(field: &mut Field, victim: usize, time: Duration) -> String {
    field.slots[victim].worker.signal(SIGSTOP);
    sleep(time);
    field.slots[victim].worker.signal(SIGCONT);
    format!("{} for {time:.1?}", field.slots[victim].name)
}

fn out(field: &mut Field, victim: usize, time: Duration) -> String {
    link(field, victim, &[Way::Up, Way::Down], Link::after(0, Fate::Hold), time);
    format!("{} for {time:.1?}", field.slots[victim].name)
}

fn link(field: &mut Field, victim: usize, ways: &[Way], link: Link, time: Duration) {
    let proxy = &field.slots[victim].proxy;
    ways.iter().for_each(|&way| proxy.set(way, link));
    sleep(time);
    proxy.heal();
}

/// Flips a byte of, empties or removes a file of the newest checkpoint, if an older one exists to resume
/// from.
fn damage(field: &Field, random: &mut Stream) -> Option<String> {
    let steps = checkpoints(field.folder());
    let [.., _, newest] = steps[..] else { return None };
    let file = ["model.safetensors", "optimizer.safetensors", "manifest.json"][random.below(3) as usize];
    let path: PathBuf = field.folder().join(format!("step-{newest:012}")).join(file);
    let mut bytes = fs::read(&path).ok()?;
    let how = match random.below(3) {
        0 => {
            let at = random.below(bytes.len() as u32) as usize;
            bytes[at] ^= 1 << random.below(8);
            fs::write(&path, bytes).map(|()| "flipped a bit of")
        }
        1 => fs::write(&path, "").map(|()| "emptied"),
        _ => fs::remove_file(&path).map(|()| "removed"),
    };
    how.ok().map(|how| format!("{how} {file} of step {newest}"))
}
