//! The cost of the coordinator's rules in a round, by the number of workers: one leaf and one answer each.
//!
//! `cargo bench --workspace --bench rules`. A round is its beginning, an answer and a heartbeat of every
//! worker, and the ticks that the machine asks for meanwhile. The workers answer one after the other, so most
//! of the time some are idle while others compute, as in a real round.

use common::ids::{Incarnation, Instance, Round, SetupId};
use common::protocol::coordinator::{
    ANSWER_TIMEOUT_US_MIN, Action, Audit, Coordinator, Event, Limits, Numerics, Verdict,
};
use common::reduce::tree::Node;
use common::selftest::NumericsDigest;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;

const WORKERS: [u32; 8] = [8, 16, 32, 64, 128, 256, 512, 1000];
/// Time between two answers.
const PACE_US: u64 = 1;
/// Time of a round's first answer.
const LEAF_US: u64 = 2_000;

criterion_group! {
    name = rules;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = rounds
}
criterion_main!(rules);

fn rounds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("round");
    for workers in WORKERS {
        group.throughput(Throughput::Elements(workers.into()));
        let mut cluster = Cluster::new(workers);
        group.bench_function(BenchmarkId::from_parameter(workers), |b| b.iter(|| cluster.round()));
    }
    group.finish();
}

struct Cluster {
    machine: Coordinator,
    workers: u32,
    now_us: u64,
    rounds: u64,
}

impl Cluster {
    fn new(workers: u32) -> Self {
        let limits = Limits {
            start: workers,
            min: 1,
            max: workers,
            spares: 0,
            numerics: Numerics::Strict,
            promised: NumericsDigest::default(),
            audit: Audit::NONE,
            heartbeat_timeout_us: 10_000_000,
            answer_timeout_us: 120_000_000,
            answer_timeout_us_min: ANSWER_TIMEOUT_US_MIN,
            may_diverge: false,
        };
        let mut machine = Coordinator::new(limits, Incarnation(1));
        for worker in 0..workers {
            let connection = worker.into();
            let instance = Instance(u64::from(worker) + 1);
            let name = format!("worker-{worker}");
            let numerics = NumericsDigest(7);
            let join =
                Event::Join { connection, name, key: None, instance, address: None, threads: 1, numerics };
            machine.on_event(0, join);
        }
        Self { machine, workers, now_us: 0, rounds: 0 }
    }

    fn round(&mut self) {
        let round = Round(self.rounds);
        self.rounds += 1;
        let mut granted = grants(&self.on(Event::Begin { run: SetupId(0), round, leaves: self.workers }));
        self.now_us += LEAF_US;
        let mut is_complete = false;
        while let Some((from, node)) = granted.pop() {
            self.now_us += PACE_US;
            self.on(Event::Heard(from));
            if self.machine.next_deadline_us().is_some_and(|due_us| due_us <= self.now_us) {
                granted.extend(grants(&self.on(Event::Tick)));
            }
            let verdict = Verdict::Finite { checksum: 5 };
            let actions = self.on(Event::Result { from, round, node, verdict });
            granted.extend(grants(&actions));
            is_complete |= actions.contains(&Action::Complete(round));
        }
        assert!(is_complete, "every leaf has been answered");
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        self.machine.on_event(self.now_us, event)
    }
}

fn grants(actions: &[Action]) -> Vec<(Incarnation, Node)> {
    let pick = |action: &Action| match action {
        Action::Grant { to, node, .. } => Some((*to, *node)),
        _ => None,
    };
    actions.iter().filter_map(pick).collect()
}
