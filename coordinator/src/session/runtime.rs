//! The driver's thread: a runtime of one thread for the driver and for the pipes of local workers.
//!
//! Whatever the driver has queued for a local worker is written when it waits the next time. What arrives on
//! a pipe wakes this thread and no other.

use super::driver::Driver;
use crate::RunError;
use crate::mailbox::Input;
use crate::net::pipes::PipeTasks;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::Sleep;

/// For the last words on pipes to be written.
const PIPES_GRACE: Duration = Duration::from_secs(2);
/// Turns that the other tasks have before a deadline counts: in one it is found out which pipes can be read,
/// in one they are read, and in one what was read is handed on.
const TURNS: usize = 3;

/// The runtime of the driver's thread.
pub(super) struct DriverRuntime {
    /// `None` once it is dropped.
    runtime: Option<Runtime>,
    pipes: PipeTasks,
}

impl DriverRuntime {
    /// A new runtime, which does nothing until [`run`](Self::run).
    ///
    /// # Errors
    /// When the system has no files left for it.
    pub(super) fn new() -> Result<Self, RunError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| RunError::Thread { name: "driver", source })?;
        let pipes = PipeTasks::new(runtime.handle().clone());
        Ok(Self { runtime: Some(runtime), pipes })
    }

    /// For the tasks of pipes.
    pub(super) fn pipes(&self) -> PipeTasks {
        self.pipes.clone()
    }

    /// Runs the driver on this thread until the session is closed and the last words are written.
    pub(super) fn run(self, driver: Driver, inbox: mpsc::Receiver<Input>) {
        let Some(runtime) = &self.runtime else { return };
        runtime.block_on(async {
            // A task of its own, because another task wakes it more cheaply than what the thread blocks on.
            // If it panics it is dropped, which those notice who wait for it.
            let _ = tokio::spawn(driver.run(inbox)).await;
            if tokio::time::timeout(PIPES_GRACE, self.pipes.ended()).await.is_err() {
                tracing::debug!("a local worker does not read its last message");
            }
        });
    }
}

impl Drop for DriverRuntime {
    fn drop(&mut self) {
        // It may be dropped within another runtime, where its threads must not be waited for. It has none.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Has what is queued written to pipes.
pub(super) async fn write_pipes() {
    // In the first turn, but for a worker that would take this thread's core.
    for _ in 0..2 {
        tokio::task::yield_now().await;
    }
}

/// Has what has arrived on pipes read and handed on.
pub(super) async fn read_pipes() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

/// A deadline that moves. To set a timer costs a system call, so it is set anew only to ring earlier.
pub(super) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    pub(super) fn set(at: Instant) -> Self {
        Self(Box::pin(tokio::time::sleep_until(at.into())))
    }

    /// It is to ring at that time or before.
    pub(super) fn ring_at(&mut self, at: Instant) {
        if self.0.is_elapsed() || at < self.0.deadline().into_std() {
            self.0.as_mut().reset(at.into());
        }
    }

    /// Waits until it rings.
    pub(super) async fn rings(&mut self) {
        self.0.as_mut().await;
    }
}
