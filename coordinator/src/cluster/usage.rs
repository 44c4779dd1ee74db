//! What members use, told to every run at each heartbeat. Nothing is decided by it.

use super::{Cluster, RoundValue, Rules};
use common::event::{Event, WorkerUsage};

/// Use of a connection, and of the process at its other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "field names say all")]
pub struct LinkUsage {
    /// CPU time of the process, in microseconds.
    pub cpu_us: u64,
    /// Memory of the process, in bytes.
    pub resident_bytes: u64,
    /// Bytes of gradients that have arrived.
    pub received_bytes: u64,
    /// Bytes of messages that were sent.
    pub sent_bytes: u64,
}

impl<V: RoundValue, R: Rules> Cluster<V, R> {
    /// Tells each run what the members use; `of` is what is known of a connection.
    pub fn tell_usage(&mut self, of: impl Fn(u64) -> Option<LinkUsage>) {
        let members = self.machine().members().filter_map(|(incarnation, _)| {
            let worker = self.connections.get(incarnation)?;
            let LinkUsage { cpu_us, resident_bytes, received_bytes, sent_bytes } = of(worker.connection)?;
            let cpu_seconds = cpu_us as f64 / 1e6;
            let worker = worker.name.clone();
            Some(WorkerUsage { worker, incarnation, cpu_seconds, resident_bytes, received_bytes, sent_bytes })
        });
        let workers: Vec<WorkerUsage> = members.collect();
        if !workers.is_empty() {
            self.tell_all(|step| Event::WorkersUsage { workers: workers.clone(), step });
        }
    }
}
