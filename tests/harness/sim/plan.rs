//! Interpretation of a seed: the run, its machines, and the times of its faults. Decides nothing during the
//! run.

use super::network::Break;
use super::worker::SLOWED_TIMES;
use common::protocol::coordinator::{Audit, Limits, Numerics, SHARE_PARTS};
use common::protocol::worker::Pulse;
use common::rng::Stream;
use common::selftest::NumericsDigest;

/// Range of message delays, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    pub(crate) base_us_max: u32,
    pub(crate) jitter_us_max: u32,
}

/// How an answer is spoiled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spoiled {
    /// The bytes can't be decoded.
    Garbage,
    /// The piece was not asked for.
    Unasked,
    /// The numbers are not finite, with this worker's own bits.
    NonFinite,
    /// The numbers are not finite, with the bits of other workers that fail alike.
    NonFiniteAlike,
    /// The numbers are finite and huge, with this worker's own bits.
    Huge,
    /// The numbers are finite and huge, with the bits of other workers that fail alike.
    HugeAlike,
}

impl Spoiled {
    /// Whether two workers fail alike at the same time.
    pub(crate) fn is_alike(self) -> bool {
        matches!(self, Self::NonFiniteAlike | Self::HugeAlike)
    }
}

/// A fault. Workers are chosen by number, modulo those alive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A worker's process dies, and may be started again, under the same name or another.
    Crash { who: u32, how: Break, back: Option<(u64, bool)> },
    /// A worker freezes for a while.
    Freeze { who: u32, for_us: u64 },
    /// A worker's connection breaks.
    Cut { who: u32, how: Break },
    /// A number of a worker's next answers are bad; where workers fail alike, those of two workers.
    Spoil { who: u32, how: Spoiled, answers: u32 },
    /// An operator asks a worker to leave.
    Leave { who: u32 },
    /// One more worker starts.
    Newcomer,
    /// Another worker uses a live one's name or, where workers have keys, claims to be its process.
    Impostor { who: u32 },
    /// A worker's arithmetic breaks, for good.
    Miscompute { who: u32 },
    /// A worker computes 20 times slower for a while.
    Slow { who: u32, for_us: u64 },
    /// Workers stop computing, but send heartbeats and read: for a while, or until all faults end.
    Deafen { who: u32, workers: u32, for_us: Option<u64> },
    /// The network is slower for a while.
    Lag { by_us: u64, for_us: u64 },
    /// Messages arrive twice for a while.
    Repeat { for_us: u64 },
    /// Messages overtake each other for a while.
    Reorder { for_us: u64 },
    /// Some workers can't reach the coordinator for a while.
    Partition { workers: u32, loses: bool, for_us: u64 },
    /// The coordinator dies and is started again.
    CoordinatorCrash { how: Break, down_us: u64 },
}

/// When a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// As soon as the coordinator is there.
    AtOnce,
    /// A fixed time after that.
    After { us: u64 },
    /// When all runs before are over.
    AfterTheOthers,
}

/// One of the runs that share the workers.
#[derive(Clone, Debug)]
pub(crate) struct PlannedRun {
    /// Number of leaves of each step.
    pub(crate) steps: Vec<u32>,
    pub(crate) start: Start,
    /// How many times as long as [`Plan::leaf_us`] its leaves take.
    pub(crate) leaf_times: u64,
}

const FAULT_KINDS: u32 = 15;
/// Time without healing, in which a run with deaf workers may end in spite of them.
const DEAF_US: u64 = 60_000_000;

/// Everything that the seed decides before the run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// The runs, numbered by their setups.
    pub(crate) runs: Vec<PlannedRun>,
    pub(crate) limits: Limits,
    pub(crate) pulse: Pulse,
    pub(crate) join_timeout_us: u64,
    pub(crate) give_up_us: u64,
    /// Number of workers at the start.
    pub(crate) workers: u32,
    /// Whether a worker of another arithmetic leaves as soon as it is admitted; it may be the first.
    pub(crate) visitor: bool,
    /// Whether workers have keys and addresses. Otherwise all are of one origin.
    pub(crate) has_keys: bool,
    /// Whether gradients are announced before they are read, as large ones are.
    pub(crate) announces: bool,
    /// Approximate time for a leaf.
    pub(crate) leaf_us: u32,
    pub(crate) delays: Delays,
    /// Number of steps between checkpoints.
    pub(crate) checkpoint_every: u64,
    /// The faults and their times.
    pub(crate) faults: Vec<(u64, Fault)>,
    /// Time from which there are no more faults.
    pub(crate) heal_us: u64,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Stream::new(seed, "simulation plan", &[]);
        let runs = runs(seed, &mut random);
        let start = 1 + random.below(4);
        let workers = start + random.below(4);
        let leaf_us = spread(&mut random, 1_000, 100_000);
        let heartbeat_us = u64::from(50_000 + random.below(400_000));
        let timeout_us = heartbeat_us * u64::from(3 + random.below(4));
        let work = runs.iter().map(|run| run.leaf_times * u64::from(run.steps.iter().sum::<u32>()));
        let work_us = work.sum::<u64>() * u64::from(leaf_us) / u64::from(workers);
        let busy_us = work_us + 200_000;
        let share = [0, 0, SHARE_PARTS / 5, SHARE_PARTS][random.below(4) as usize];
        let audit = Audit { seed, share };
        let faults = faults(&mut random, audit, busy_us);
        let are_deaf = faults.iter().any(|(_, fault)| matches!(fault, Fault::Deafen { .. }));
        let longest = runs.iter().map(|run| run.leaf_times).max().unwrap_or(1);
        let answer_timeout_us_min = spread(&mut random, 1_000_000, 16_000_000).into();
        Self {
            seed,
            limits: Limits {
                start,
                min: 1 + random.below(start),
                max: start + random.below(4),
                spares: random.below(4),
                audit,
                promised: NumericsDigest::default(),
                numerics: if random.below(4) == 0 { Numerics::Relaxed } else { Numerics::Strict },
                heartbeat_timeout_us: timeout_us,
                // A slowed worker must not be dropped for its first leaf.
                answer_timeout_us: u64::from(leaf_us) * longest * 2 * SLOWED_TIMES + answer_timeout_us_min,
                answer_timeout_us_min,
                may_diverge: false,
            },
            pulse: Pulse { heartbeat_us, timeout_us },
            join_timeout_us: u64::from(500_000 + random.below(4_500_000)),
            give_up_us: u64::from(2_000_000 + random.below(20_000_000)),
            workers,
            visitor: random.below(4) == 0,
            has_keys: (seed / 8).is_multiple_of(2),
            announces: seed.is_multiple_of(2),
            leaf_us,
            delays: Delays {
                base_us_max: spread(&mut random, 50, 20_000),
                jitter_us_max: spread(&mut random, 50, 20_000),
            },
            checkpoint_every: u64::from(1 + random.below(4)),
            heal_us: busy_us + if are_deaf { DEAF_US } else { 0 },
            faults,
            runs,
        }
    }

    /// Longest time for a leaf of any run on a fast machine.
    pub(crate) fn leaf_us_max(&self) -> u64 {
        let times = self.runs.iter().map(|run| run.leaf_times).max().unwrap_or(1);
        u64::from(self.leaf_us) * times
    }

    /// Leaves of all steps of all runs.
    pub(crate) fn leaves(&self) -> u64 {
        self.runs.iter().flat_map(|run| &run.steps).map(|&leaves| u64::from(leaves)).sum()
    }
}

/// One run for half of all seeds, else two or three, of unlike networks.
fn runs(seed: u64, random: &mut Stream) -> Vec<PlannedRun> {
    // Whether gradients are announced depends on the lowest bit.
    let count = if seed / 2 % 4 < 2 { 1 } else { seed / 2 % 4 };
    let run = |at: u64, random: &mut Stream| PlannedRun {
        steps: (0..2 + random.below(7)).map(|_| leaves(random)).collect(),
        start: match random.below(3) {
            _ if at == 0 => Start::AtOnce,
            0 => Start::AtOnce,
            1 => Start::After { us: spread(random, 1_000, 2_000_000).into() },
            _ => Start::AfterTheOthers,
        },
        leaf_times: if at == 0 { 1 } else { 1 << random.below(4) },
    };
    (0..count).map(|at| run(at, random)).collect()
}

/// Number of leaves of a step: one, a power of two, more than a piece may hold, or any.
fn leaves(random: &mut Stream) -> u32 {
    match random.below(8) {
        0 => 1,
        1 => 1 << random.below(6),
        2 => 65 + random.below(40),
        _ => 1 + random.below(40),
    }
}

/// A number of `low..=high`, roughly uniform in its logarithm.
pub(crate) fn spread(random: &mut Stream, low: u32, high: u32) -> u32 {
    let scale = 1 << random.below((high / low).max(1).ilog2() + 1);
    (low * scale + random.below(low * scale)).clamp(low, high)
}

/// Each seed allows only some kinds, so that no kind is always hidden by a mixture of all.
fn faults(random: &mut Stream, audit: Audit, busy_us: u64) -> Vec<(u64, Fault)> {
    let allowed: Vec<u32> = (0..FAULT_KINDS).filter(|_| random.below(2) == 0).collect();
    if allowed.is_empty() {
        return Vec::new();
    }
    let count = random.below(16);
    (0..count)
        .map(|_| {
            let kind = allowed[random.below(allowed.len() as u32) as usize];
            (u64::from(random.below(busy_us as u32)), fault(random, audit, kind))
        })
        .collect()
}

fn fault(random: &mut Stream, audit: Audit, kind: u32) -> Fault {
    let who = random.bits32();
    let for_us = u64::from(spread(random, 10_000, 4_000_000));
    let how = [Break::Reset, Break::Silent, Break::SilentUp, Break::SilentDown][random.below(4) as usize];
    let crash = [Break::Reset, Break::Silent][random.below(2) as usize];
    match kind {
        0 => {
            let back = (random.below(4) > 0).then(|| (for_us, random.below(2) == 0));
            Fault::Crash { who, how: crash, back }
        }
        1 => Fault::Freeze { who, for_us },
        2 => Fault::Cut { who, how },
        3 => {
            let kinds = [
                Spoiled::Garbage,
                Spoiled::Unasked,
                Spoiled::NonFinite,
                Spoiled::NonFiniteAlike,
                Spoiled::Huge,
                Spoiled::HugeAlike,
            ];
            let how = kinds[random.below(kinds.len() as u32) as usize];
            let answers = match how {
                // To be believed, the answer must be given again.
                Spoiled::Huge | Spoiled::HugeAlike | Spoiled::NonFiniteAlike => 1 + random.below(8),
                _ if random.below(4) == 0 => 2 + random.below(4),
                _ => 1,
            };
            Fault::Spoil { who, how, answers }
        }
        4 => Fault::Leave { who },
        5 => Fault::Newcomer,
        6 => Fault::Slow { who, for_us },
        // Unless every piece is audited, a wrong one is found only by chance.
        8 if audit.share == SHARE_PARTS => Fault::Miscompute { who },
        7 | 8 => Fault::Lag { by_us: u64::from(spread(random, 1_000, 1_000_000)), for_us },
        9 => Fault::Repeat { for_us },
        10 => Fault::Reorder { for_us },
        11 => Fault::Partition { workers: random.bits32(), loses: random.below(2) == 0, for_us },
        12 => Fault::CoordinatorCrash { how: crash, down_us: for_us },
        13 => {
            let for_us = (random.below(2) == 0).then_some(for_us);
            Fault::Deafen { who, workers: 1 + random.below(3), for_us }
        }
        _ => Fault::Impostor { who },
    }
}
