//! What a connection of a simulated worker says of it: its key, its instance, its address. Decides nothing.

use super::Sabotage;
use common::ids::{Instance, KeyId, Network, Process};

/// Workers with one token, and those of them that have none because they are local.
const WORKERS_PER_TOKEN: u64 = 8;
const LOCAL_PER_TOKEN: u64 = 2;
/// Keys from this one on are those of thieves.
const THIEF: u64 = 1 << 32;
/// Where thieves connect from.
const THIEFS: Network = Network(1 << 32);

/// A worker's process, and where it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Identity {
    pub(crate) process: Process,
    pub(crate) address: Option<Network>,
}

impl Identity {
    /// The identity of the started process with that number: each has another, and so another instance. Two
    /// successive ones are on one machine.
    pub(crate) fn new(id: usize, has_keys: bool) -> Self {
        let id = id as u64;
        let has_key = has_keys && id % WORKERS_PER_TOKEN < WORKERS_PER_TOKEN - LOCAL_PER_TOKEN;
        let host = Network(u128::from(1 + id / 2 % 3));
        Self {
            process: Process {
                key: has_key.then_some(KeyId(id / WORKERS_PER_TOKEN)),
                instance: Instance(id + 1),
            },
            address: has_key.then_some(host),
        }
    }

    /// A process with that number claims to be this one, whose key it does not have.
    pub(crate) fn stolen_by(self, id: usize) -> Self {
        let key = Some(KeyId(THIEF + id as u64));
        let process = Process { key, ..self.process };
        Self { process, address: Some(THIEFS) }
    }

    /// Whether the two have another key or another address.
    pub(crate) fn is_elsewhere(&self, than: &Self) -> bool {
        self.process.key != than.process.key || self.address != than.address
    }

    /// What the coordinator makes of it on that connection.
    pub(crate) fn as_seen(mut self, sabotage: Option<Sabotage>, connection: u64, name: &str) -> Self {
        match sabotage {
            Some(Sabotage::ForgetInstances) => self.process.instance = Instance(connection),
            Some(Sabotage::TrustNames) => {
                let number = name.bytes().fold(0, |number, byte| number << 8 | u64::from(byte));
                self.process = Process { key: None, instance: Instance(number) };
            }
            Some(Sabotage::ForgetKeys) => self.process.key = None,
            // Processes stay apart: their numbers differ by what their keys did.
            Some(Sabotage::ForgetOrigins) => {
                self.process.instance.0 |= self.process.key.map_or(0, |key| key.0 << 16);
                self.process.key = None;
                self.address = None;
            }
            _ => {}
        }
        self
    }
}
