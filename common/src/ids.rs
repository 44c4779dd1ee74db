//! Newtypes for numbers that must not be confused: steps, leaves, ranks, keys, instances, incarnations. They
//! decide nothing.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// An optimizer step, counted from 0 over the whole run.
    Step(u64)
);
id!(
    /// A pass over the training samples, counted from 0.
    Epoch(u64)
);
id!(
    /// A leaf (micro-batch) of a round, counted from 0.
    Leaf(u32)
);
id!(
    /// A unit of distributed work (one optimizer step, or one evaluation pass), counted from 0 within one
    /// life of the coordinator.
    Round(u64)
);
id!(
    /// A worker's slot, from 0; free slots are filled lowest first. Nothing numeric depends on it.
    Rank(u32)
);
id!(
    /// The random number that a worker process draws at its start and keeps across connections. Any process
    /// can claim any number: see [`Process`].
    Instance(u64)
);
id!(
    /// The key that a worker has proved, as a short number. Workers that were started with the same token
    /// have the same key.
    KeyId(u64)
);
id!(
    /// Where a worker connects from, as a number that its driver makes of the address: machines with
    /// different numbers are different ones. It means nothing else here.
    Network(u128)
);
id!(
    /// The number that a worker gets each time it joins. A coordinator never gives the same number twice.
    Incarnation(u64)
);
id!(
    /// One of the descriptions of a run that a worker holds at a time: what is trained, and how its gradients
    /// travel. A new one of the same number takes an old one's place.
    SetupId(u32)
);
id!(
    /// One version of a run's parameters; a later one has a higher number.
    ParamsId(u64)
);

/// A worker's process, whatever its name and its connections. Who claims another process's instance without
/// its key is another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Process {
    /// Key of its connections; `None` where they prove none: loopback, Unix sockets, `--insecure`.
    pub key: Option<KeyId>,
    /// Number that the process has drawn.
    pub instance: Instance,
}
