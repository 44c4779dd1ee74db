//! Stops the compute threads of a running worker from outside. Its network threads run on, so it sends
//! heartbeats and never answers.
//!
//! `ptrace` identifies threads by their ids and obeys only the thread that attached to them, so each
//! [`Stopped`] has its own tracer thread. Linux only.

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Prefix of the compute threads' names.
const COMPUTE: &str = "compute-";
/// Interval of the look for stopped threads that were killed: their process can't end before.
const LOOK: Duration = Duration::from_millis(10);

/// Stopped threads, which run on when this is dropped.
#[derive(Debug)]
pub struct Stopped {
    /// Ends the tracer when dropped.
    end: Option<SyncSender<()>>,
    tracer: Option<JoinHandle<()>>,
}

impl Stopped {
    /// Stops every thread of process `id` whose name begins with `compute-`. All of them stand still when
    /// this returns.
    ///
    /// # Errors
    /// When there is no such process or thread, or the system forbids `ptrace`, as some sandboxes do.
    pub fn compute_threads(id: u32) -> Result<Self, String> {
        let (end, ended) = sync_channel(0);
        let (tell, told) = sync_channel(1);
        let tracer = std::thread::Builder::new().name(format!("tracer of {id}")).spawn(move || {
            let held = hold(id);
            let told = held.as_ref().map(|_| ()).map_err(Clone::clone);
            let is_wanted = tell.send(told).is_ok();
            if let (Ok(held), true) = (held, is_wanted) {
                stand_by(held, &ended);
            }
        });
        let tracer = tracer.map_err(|error| format!("no thread for a tracer: {error}"))?;
        let stopped = Self { end: Some(end), tracer: Some(tracer) };
        told.recv().map_err(|_| "the tracer panicked".to_owned())??;
        Ok(stopped)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(tracer) = self.tracer.take() {
            // A panic of the tracer has been printed, and has released the threads.
            let _ = tracer.join();
        }
    }
}

/// Stopped threads, each with the signal that it was about to receive.
type Held = BTreeMap<i32, Option<Signal>>;

/// Attaches to the compute threads. If it fails, those that are attached run on when the calling thread ends.
fn hold(id: u32) -> Result<Held, String> {
    let mut held = Held::new();
    for thread in compute_threads(id)? {
        let refused = |error: Errno| format!("ptrace of thread {thread} of process {id}: {error}");
        let tid = Pid::from_raw(thread);
        ptrace::seize(tid, ptrace::Options::empty()).map_err(refused)?;
        ptrace::interrupt(tid).map_err(refused)?;
        // The thread stops at once, because an interrupt does not wait for a system call.
        match waitpid(tid, Some(WaitPidFlag::__WALL)).map_err(refused)? {
            WaitStatus::Stopped(_, signal) => held.insert(thread, Some(signal)),
            WaitStatus::PtraceEvent(..) => held.insert(thread, None),
            other => return Err(format!("thread {thread} of process {id} did not stop: {other:?}")),
        };
    }
    Ok(held)
}

fn compute_threads(id: u32) -> Result<Vec<i32>, String> {
    let folder = format!("/proc/{id}/task");
    let tasks = std::fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    let is_compute = |thread: &i32| {
        let name = std::fs::read_to_string(format!("{folder}/{thread}/comm")).unwrap_or_default();
        name.starts_with(COMPUTE)
    };
    let ids = tasks.flatten().filter_map(|task| task.file_name().to_str()?.parse().ok());
    let threads: Vec<i32> = ids.filter(is_compute).collect();
    match threads.is_empty() {
        true => Err(format!("process {id} has no thread {COMPUTE}*")),
        false => Ok(threads),
    }
}

/// Keeps the threads stopped until told, then lets them run on.
fn stand_by(mut held: Held, ended: &Receiver<()>) {
    let is_dead = |thread: i32| {
        let look = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
        let status = waitpid(Pid::from_raw(thread), Some(look));
        matches!(status, Err(_) | Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)))
    };
    while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        held.retain(|&thread, _| !is_dead(thread));
    }
    for (thread, signal) in held {
        // The thread may have been killed meanwhile.
        let _ = ptrace::detach(Pid::from_raw(thread), signal);
    }
}
