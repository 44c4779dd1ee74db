//! The cost of one update on one core, by each optimizer, with the mean, its norm, and clipping.
//!
//! `cargo bench --workspace --bench optimizer`. Throughput is in parameters per second. The sum of the
//! gradients is the same in each step: this arithmetic takes the same time for any values.

use common::reduce::precision::Precision;
use common::rng::Stream;
use common::train::optim::{GradientSum, Lion, Moments, Optimizer, OptimizerSpec, Partition, RmsProp};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Parameters: the CNN's, and two sizes that no cache holds.
const SIZES: [usize; 3] = [93_322, 1_000_000, 25_000_000];
/// Learning rate, so small that the parameters keep their values however often it is applied.
const RATE: f64 = 1e-9;

/// One thread: what a second one gains depends on the memory.
const ONE: NonZeroUsize = NonZeroUsize::MIN;

criterion_group! {
    name = optimizer;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = updates
}
criterion_main!(optimizer);

fn updates(criterion: &mut Criterion) {
    let sgd = |momentum, nesterov| OptimizerSpec::Sgd { momentum, nesterov, weight_decay: 0.0 };
    let rmsprop = |momentum| OptimizerSpec::RmsProp(RmsProp { momentum, ..RmsProp::default() });
    let specs = [
        ("sgd", sgd(0.0, false)),
        ("sgd with momentum", sgd(0.9, false)),
        ("sgd with nesterov", sgd(0.9, true)),
        ("adam", OptimizerSpec::Adam(Moments::new(0.0))),
        ("adamw", OptimizerSpec::AdamW(Moments::new(0.01))),
        ("rmsprop", rmsprop(0.0)),
        ("rmsprop with momentum", rmsprop(0.9)),
        ("lion", OptimizerSpec::Lion(Lion::default())),
    ];
    for (name, spec) in specs {
        let mut group = criterion.benchmark_group(name);
        for (size, clip) in SIZES.into_iter().flat_map(|size| [(size, None), (size, Some(1.0))]) {
            let mut params = values(size, 1);
            let mut gradient = values(size, 2);
            let mut optimizer = Optimizer::new(spec, Partition::whole(size));
            group.throughput(Throughput::Elements(size as u64));
            let id = BenchmarkId::new(if clip.is_some() { "clipped" } else { "not clipped" }, size);
            group.bench_function(id, |b| {
                b.iter(|| {
                    let sum = GradientSum::new(black_box(&mut gradient[..]), Precision::F32);
                    optimizer.step(black_box(&mut params), sum, 1, clip, RATE, ONE)
                });
            });
            assert!(params.iter().all(|p| p.is_finite()), "{name} has left the numbers");
        }
        group.finish();
    }
}

/// Random values in `[-1, 1)`.
fn values(size: usize, seed: u64) -> Vec<f32> {
    let mut stream = Stream::new(seed, "optimizer bench", &[]);
    (0..size).map(|_| stream.between(-1.0, 1.0)).collect()
}
