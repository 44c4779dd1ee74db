//! The coordinator's work on a step's sum, on one core: the last addition, division, norm or clipping,
//! optimizer, search for non-finite values; the encoding of the new parameters for the workers; the copy for
//! a checkpoint.
//!
//! `cargo bench --workspace --bench update`. Throughput is in parameters per second, with the program's
//! allocator. The time does not include filling the gradient's buffer.

use common::data::classes::ClassNames;
use common::data::digits::{PIXELS, SPEC};
use common::data::samples::Samples;
use common::ids::{ParamsId, SetupId};
use common::model::architecture::Architecture;
use common::reduce::precision::Precision;
use common::rng::Stream;
use common::train::config::{DataIdentity, RunConfig, TrainingConfig};
use common::train::metrics::Totals;
use common::train::optim::{GradientSum, Moments, OptimizerSpec};
use common::train::schedule::{Schedule, Shape};
use coordinator::cluster::sum::SumBody;
use coordinator::run::trainer::Trainer;
use coordinator::run::work::Work;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use proto::parameters::EncodedParameters;
use proto::values::{Buffers, Values};
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Training samples, all in one step.
const SAMPLES: u8 = 128;

criterion_group! {
    name = update;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = updates
}
criterion_main!(update);

fn updates(criterion: &mut Criterion) {
    let adam = OptimizerSpec::Adam(Moments::new(0.0));
    let sgd = OptimizerSpec::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
    let mut group = criterion.benchmark_group("update");
    for model in ["cnn", "mlp(1319)", "mlp(4096,4096)"] {
        let elements = Architecture::parse(SPEC, model).expect("a network").layout().len();
        group.throughput(Throughput::Elements(elements as u64));
        for (name, optimizer, clip) in
            [("adam", adam, None), ("adam, clipped", adam, Some(1e-3)), ("sgd with momentum", sgd, None)]
        {
            let mut trainer = trainer(model, optimizer, clip);
            let source = values(elements);
            let buffers = Buffers::default();
            let fill = || -> [Values; 2] {
                [(); 2].map(|()| {
                    let mut gradient = buffers.take(elements);
                    gradient.copy_from_slice(&source);
                    gradient
                })
            };
            group.bench_function(BenchmarkId::new(name, elements), |b| {
                b.iter_batched(fill, |sides| finish(&mut trainer, sides), BatchSize::PerIteration);
            });
            if name == "adam" {
                group.bench_function(BenchmarkId::new("adam, then encode", elements), |b| {
                    let step = |sides| {
                        finish(&mut trainer, sides);
                        let encoded = Arc::new(EncodedParameters::new(
                            ParamsId(trainer.step().0),
                            SetupId(0),
                            trainer.params(),
                        ));
                        encoded.messages().for_each(drop);
                    };
                    b.iter_batched(fill, step, BatchSize::PerIteration);
                });
                group.bench_function(BenchmarkId::new("adam, checkpoint copy", elements), |b| {
                    b.iter(|| trainer.checkpoint());
                });
            }
        }
    }
    group.finish();
}

fn finish(trainer: &mut Trainer, [left, right]: [Values; 2]) {
    let totals = Totals { samples: SAMPLES.into(), correct: 1, loss_sum: 1.0 };
    let mut sum = GradientSum::new(left, Precision::F32);
    sum.add_last(GradientSum::new(right, Precision::F32));
    trainer.finish(Work::Train, totals, SumBody::Gradient(sum)).expect("finite numbers");
}

/// A run of single-step epochs, with a learning rate so small that the parameters keep their values.
fn trainer(model: &str, optimizer: OptimizerSpec, clip_grad_norm: Option<f64>) -> Trainer {
    let pixels = vec![0; usize::from(SAMPLES) * PIXELS];
    let samples = Samples::new(SPEC, pixels, vec![0; SAMPLES.into()]).expect("as many images as labels");
    let training = TrainingConfig {
        seed: 1,
        batch_size: SAMPLES.into(),
        micro_batch: 32,
        epochs: 1_000_000,
        optimizer,
        schedule: Schedule { base: 1e-9, shape: Shape::Constant, warmup_steps: 0 },
        clip_grad_norm,
        ..TrainingConfig::new(model.parse().expect("a network"))
    };
    let data = DataIdentity {
        name: "bench".into(),
        digest: "00".into(),
        samples: SAMPLES.into(),
        spec: SPEC,
        classes: ClassNames::numbers(SPEC.classes()),
    };
    let config = RunConfig::new(training, data).expect("a valid configuration");
    Trainer::start(config, samples.clone(), samples)
}

/// Random values in `[-1, 1)`.
fn values(size: usize) -> Vec<f32> {
    let mut stream = Stream::new(1, "update bench", &[]);
    (0..size).map(|_| stream.between(-1.0, 1.0)).collect()
}
