//! Speed of one compute thread: every layer's forward and backward pass, whole leaves, and Candle's own
//! operators.
//!
//! `cargo bench -p worker`. Throughput is in samples a second. Images are the embedded digits, or MNIST's if
//! `MNIST_DIR` names a folder with its training files in gzip. The speed depends on the data, because closed
//! ReLUs cost nothing: `all open` is the worst case. Allocator and parameters are those that a real run
//! starts with.

use candle_core::{Device, Tensor, Var};
use common::data::digits::{Half, SPEC, draw};
use common::data::samples::Samples;
use common::model::architecture::Architecture;
use common::model::params::Init;
use common::rng::{LeafAddress, Stream};
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use std::hint::black_box;
use std::io::Read;
use std::time::Duration;
use worker::engine::network::Network;
use worker::engine::op::conv::{self, Backward, Forward, Geometry, Output};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Samples of the leaf on which single layers are measured.
const LEAF: usize = 32;

criterion_group! {
    name = operators;
    config = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500));
    targets = leaves, layers, other_layers, stock
}
criterion_main!(operators);

/// Gradients of whole leaves.
fn leaves(criterion: &mut Criterion) {
    let parameters = Init::He.draw(network("cnn").layout(), 1);
    let mut group = criterion.benchmark_group("cnn gradient");
    for leaf in [32, 64, 128] {
        gradient(&mut group, &format!("leaf {leaf}"), &network("cnn"), &parameters, leaf);
    }
    gradient(&mut group, "leaf 64, all open", &network("cnn"), &all_open(parameters), 64);
    group.finish();
    let mlp = network("mlp");
    let mut group = criterion.benchmark_group("mlp gradient");
    gradient(&mut group, "leaf 64", &mlp, &Init::He.draw(mlp.layout(), 1), 64);
    group.finish();
}

fn gradient(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    model: &Architecture,
    parameters: &[f32],
    leaf: usize,
) {
    let mut network = Network::new(model).expect("a valid model");
    network.load(parameters).expect("its own parameters");
    let samples = samples(leaf);
    group.throughput(Throughput::Elements(leaf as u64));
    group.bench_function(name, |b| {
        b.iter(|| network.gradient(&samples, LeafAddress::default()).expect("a gradient"))
    });
}

/// The same parameters, with biases so large that no ReLU closes.
fn all_open(mut parameters: Vec<f32>) -> Vec<f32> {
    for (tensor, range) in network("cnn").layout().iter().filter(|(tensor, _)| tensor.shape.len() == 1) {
        let bias = if tensor.name == "fc2.bias" { 0.0 } else { 1e3 };
        parameters[range].fill(bias);
    }
    parameters
}

/// The convolutions of the network, each on the output of the layers before it for real images.
fn layers(criterion: &mut Criterion) {
    let model = network("cnn");
    let layout = model.layout();
    let parameters = Init::He.draw(layout, 1);
    let parameter = |name: &str| &parameters[layout.find(name).expect("a parameter").1];
    let mut x = pixels(&samples(LEAF));
    let mut side = SPEC.height();
    let mut group = criterion.benchmark_group("layer");
    group.throughput(Throughput::Elements(LEAF as u64));
    for (name, inputs, outputs, pool) in
        [("conv1", 1, 32, true), ("conv2", 32, 64, true), ("conv3", 64, 64, false)]
    {
        let geometry = Geometry { pool, ..square(LEAF, side, [inputs, outputs], 3) };
        let w = parameter(&format!("{name}.weight"));
        let b = parameter(&format!("{name}.bias"));
        x = layer(&mut group, name, &geometry, [&x, w, b]);
        side = geometry.out().0;
    }
    group.finish();
}

/// Convolutions of other small networks, on random images: residual ones, lenet5's and depthwise ones.
fn other_layers(criterion: &mut Criterion) {
    const N: usize = 64;
    let alone = |side, channels, kernel| Geometry { relu: false, ..square(N, side, channels, kernel) };
    let padded = |side, channels, stride| Geometry { padding: 1, stride, ..alone(side, channels, 3) };
    let shortcut = |side, channels, stride| Geometry { stride, ..alone(side, channels, 1) };
    let depthwise = |stride| Geometry { groups: 32, ..padded(16, [32, 32], stride) };
    let pooled = |side, channels| Geometry { pool: true, ..square(N, side, channels, 5) };
    let mut group = criterion.benchmark_group("other layer");
    group.throughput(Throughput::Elements(N as u64));
    for (name, geometry) in [
        ("3x3 of 32x32, 3 to 16", padded(32, [3, 16], 1)),
        ("3x3 of 32x32, 16 to 16", padded(32, [16, 16], 1)),
        ("3x3 of 16x16, 32 to 32", padded(16, [32, 32], 1)),
        ("3x3 of 8x8, 64 to 64", padded(8, [64, 64], 1)),
        ("3x3 of 32x32, 16 to 32, stride 2", padded(32, [16, 32], 2)),
        ("3x3 of 16x16, 32 to 64, stride 2", padded(16, [32, 64], 2)),
        ("1x1 of 32x32, 16 to 32, stride 2", shortcut(32, [16, 32], 2)),
        ("1x1 of 16x16, 32 to 64, stride 2", shortcut(16, [32, 64], 2)),
        ("1x1 of 16x16, 32 to 32", shortcut(16, [32, 32], 1)),
        ("5x5 of 28x28, 1 to 6, pooled", pooled(28, [1, 6])),
        ("5x5 of 12x12, 6 to 16, pooled", pooled(12, [6, 16])),
        ("3x3 of 16x16, 32 channels alone", depthwise(1)),
        ("3x3 of 16x16, 32 channels alone, stride 2", depthwise(2)),
        ("3x3 of 16x16, 32 to 32, relu", Geometry { relu: true, ..padded(16, [32, 32], 1) }),
        ("3x3 of 14x14, 32 to 64, pooled", Geometry { relu: true, pool: true, ..padded(14, [32, 64], 1) }),
    ] {
        let Geometry { height, width, inputs, outputs, .. } = geometry;
        let noise = |stream: u64, len: usize| -> Vec<f32> {
            let mut stream = Stream::new(1, "benchmark", &[stream]);
            (0..len).map(|_| stream.between(-1.0, 1.0)).collect()
        };
        let x = noise(1, N * height * width * inputs);
        let w = noise(2, outputs * geometry.patch());
        layer(&mut group, name, &geometry, [&x, &w, &noise(3, outputs)]);
    }
    group.finish();
}

/// A convolution of square images and a square kernel, with ReLU.
fn square(n: usize, side: usize, [inputs, outputs]: [usize; 2], kernel: usize) -> Geometry {
    Geometry {
        n,
        height: side,
        width: side,
        inputs,
        outputs,
        kernel_h: kernel,
        kernel_w: kernel,
        stride: 1,
        padding: 0,
        groups: 1,
        relu: true,
        pool: false,
    }
}

/// Both passes of a layer. Images get a gradient unless they have one or three channels. Returns the output.
fn layer(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    geometry: &Geometry,
    [x, w, b]: [&[f32]; 3],
) -> Vec<f32> {
    let pass = Forward { geometry, x, w, b };
    let Output { y, codes } = conv::forward(pass);
    let grad: Vec<f32> = y.iter().map(|v| v - 0.5).collect();
    let forward = || conv::forward(black_box(pass));
    let pass = Backward { geometry, x, w, codes: &codes, grad: &grad, input_gradient: geometry.inputs > 3 };
    let backward = || conv::backward(black_box(pass));
    group.bench_function(format!("{name} forward"), |b| b.iter(forward));
    group.bench_function(format!("{name} backward"), |b| b.iter(backward));
    y
}

/// The same network of Candle's own operators, whose max-pool gradient is wrong: a comparison of speed only.
fn stock(criterion: &mut Criterion) {
    let model = network("cnn");
    let layout = model.layout();
    let parameters = Init::He.draw(layout, 1);
    let variable = |name: &str| {
        let (tensor, range) = layout.find(name).expect("a parameter");
        let values = Tensor::from_slice(&parameters[range], tensor.shape.as_slice(), &Device::Cpu);
        Var::from_tensor(&values.expect("values of that shape")).expect("a variable")
    };
    let names = ["conv1", "conv2", "conv3", "fc1", "fc2"];
    let layers = names.map(|name| (variable(&format!("{name}.weight")), variable(&format!("{name}.bias"))));
    let samples = samples(LEAF);
    let x = Tensor::from_vec(pixels(&samples), (LEAF, 1, SPEC.height(), SPEC.width()), &Device::Cpu)
        .expect("a batch");
    let labels: Vec<u32> = samples.labels().iter().map(|&label| label.into()).collect();
    let labels = Tensor::new(labels, &Device::Cpu).expect("labels");
    let mut group = criterion.benchmark_group("stock candle");
    group.throughput(Throughput::Elements(LEAF as u64));
    group.sample_size(10);
    let gradient = || {
        let loss = candle_nn::loss::cross_entropy(&stock_logits(&layers, &x)?, &labels)?;
        loss.backward()
    };
    group.bench_function("leaf 32", |b| b.iter(|| gradient().expect("a gradient")));
    group.finish();
}

fn stock_logits(layers: &[(Var, Var); 5], x: &Tensor) -> candle_core::Result<Tensor> {
    let [conv1, conv2, conv3, fc1, fc2] = layers;
    let conv = |x: &Tensor, (w, b): &(Var, Var)| {
        x.conv2d(w, 0, 1, 1, 1)?.broadcast_add(&b.reshape((1, b.elem_count(), 1, 1))?)?.relu()
    };
    let x = conv(x, conv1)?.max_pool2d(2)?;
    let x = conv(&x, conv2)?.max_pool2d(2)?;
    let x = conv(&x, conv3)?.flatten_from(1)?;
    let x = x.matmul(&fc1.0.t()?)?.broadcast_add(&fc1.1)?.relu()?;
    x.matmul(&fc2.0.t()?)?.broadcast_add(&fc2.1)
}

fn network(text: &str) -> Architecture {
    Architecture::parse(SPEC, text).expect("a network that fits the images")
}

fn pixels(samples: &Samples) -> Vec<f32> {
    samples.pixels().iter().map(|&p| f32::from(p) / 255.0).collect()
}

fn samples(n: usize) -> Samples {
    if let Ok(folder) = std::env::var("MNIST_DIR") {
        return mnist(&folder, n);
    }
    let drawn = (0..n as u32).map(|index| draw(Half::Train, index));
    let (images, labels): (Vec<_>, Vec<_>) = drawn.map(|(image, label)| (image, u16::from(label))).unzip();
    Samples::new(SPEC, images.concat(), labels).expect("digits are samples")
}

fn mnist(folder: &str, n: usize) -> Samples {
    let read = |name: &str| {
        let file = std::fs::File::open(format!("{folder}/{name}.gz")).expect("a file of MNIST_DIR");
        let mut content = Vec::new();
        flate2::read::GzDecoder::new(file).read_to_end(&mut content).expect("gzip data");
        content
    };
    let all = common::data::idx::parse(
        read("train-images-idx3-ubyte"),
        common::data::idx::labels(&read("train-labels-idx1-ubyte")).expect("labels"),
        SPEC.classes(),
    );
    all.expect("IDX files").first(n)
}
