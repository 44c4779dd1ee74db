//! Cost of adding a step's gradients in tree order, on one core.
//!
//! `cargo bench --workspace --bench reduction`, on the programs' allocator. It takes the coordinator's own
//! path: `common`'s tree, the addition of [`GradientSum`], and buffers that return to their store. Four
//! leaves arrive in order (each is added as early as possible) or in reverse (only the waiting leaves
//! differ). Throughput is in bytes of the gradients that are put in. The time does not include filling them.

use common::reduce::precision::Precision;
use common::reduce::tree::{Node, Reduction, Tree};
use common::rng::Stream;
use common::train::optim::GradientSum;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use proto::values::{Buffers, Values};
use std::num::NonZeroUsize;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Numbers of parameters: the CNN's, and two sizes that no cache holds.
const SIZES: [usize; 3] = [93_322, 1_000_000, 25_000_000];
/// Number of leaves in a step of the default batch.
const LEAVES: u32 = 4;

criterion_group! {
    name = reduction;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = reductions
}
criterion_main!(reduction);

fn reductions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reduction of 4 leaves");
    for size in SIZES {
        let source = values(size);
        let buffers = Buffers::default();
        let fill = || {
            let gradient = || -> Values {
                let mut gradient = buffers.take(size);
                gradient.copy_from_slice(&source);
                gradient
            };
            (0..LEAVES).map(|_| gradient()).collect::<Vec<_>>()
        };
        group.throughput(Throughput::Bytes(u64::from(LEAVES) * size as u64 * 4));
        for (order, leaves) in [("in order", [0, 1, 2, 3]), ("in reverse", [3, 2, 1, 0])] {
            group.bench_function(BenchmarkId::new(order, size), |b| {
                b.iter_batched(fill, |gradients| reduce(leaves, gradients), BatchSize::PerIteration);
            });
        }
        let sum = reduce([2, 0, 3, 1], fill());
        let expected: Vec<f32> = source.iter().map(|value| 4.0 * value).collect();
        assert!(sum == GradientSum::new(expected.into(), Precision::F32), "leaves are missing");
    }
    group.finish();
}

fn reduce(order: [u32; LEAVES as usize], gradients: Vec<Values>) -> GradientSum<Values> {
    let tree = Tree::new(LEAVES);
    let mut reduction = Reduction::new(tree, tree.root());
    for (leaf, gradient) in order.into_iter().zip(gradients) {
        let gradient = GradientSum::new(gradient, Precision::F32);
        reduction.insert(Node::leaf(leaf), gradient, |_, left, right| left.add(&right, NonZeroUsize::MIN));
    }
    reduction.into_result().expect("all leaves are in")
}

/// Random values in `[-1, 1)`.
fn values(size: usize) -> Vec<f32> {
    let mut stream = Stream::new(1, "reduction bench", &[]);
    (0..size).map(|_| stream.between(-1.0, 1.0)).collect()
}
