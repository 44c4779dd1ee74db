//! Random networks: their gradients are the slopes of their losses, tensor by tensor.

use super::*;
use common::model::params::{Init, Role};
use common::rng::Stream;

/// Layers to choose from; whatever does not fit where it would come is not taken.
const LAYERS: [&str; 33] = [
    "conv(6,3,padding=1)",
    "conv(6,3)",
    "conv(8,3,stride=2,padding=1)",
    "conv(16,3,padding=1,bias=false)",
    "conv(6,5,padding=2,groups=2)",
    "conv(16,3,padding=1,groups=16)",
    "conv(12,1)",
    "conv(8,1,stride=2)",
    "conv(5,2)",
    "maxpool(2)",
    "maxpool(3,stride=1)",
    "avgpool(2)",
    "avgpool(3,stride=2)",
    "globalavgpool",
    "flatten",
    "dense(14)",
    "dense(9)",
    "relu",
    "relu",
    "leaky_relu(0.2)",
    "gelu",
    "silu",
    "tanh",
    "sigmoid",
    "dropout(0.2)",
    "batchnorm",
    "batchnorm",
    "groupnorm(2)",
    "layernorm",
    "residual tanh add",
    "residual conv(6,3,padding=1) batchnorm relu conv(6,3,padding=1) add relu",
    "residual conv(8,3,stride=2,padding=1) silu shortcut conv(8,1,stride=2) add",
    "residual dense(9) relu shortcut dense(9) add",
];
/// Layers after the first, at most.
const LENGTH: u32 = 8;
/// Length of the step along a tensor's gradient.
const STEP: f64 = 2e-3;

/// A network of random layers that fit each other, for these samples.
fn draw(data: DataSpec, random: &mut Stream) -> Architecture {
    let finished = |text: &str| {
        let ends = [" flatten dense", " dense"];
        ends.iter().find_map(|end| Architecture::parse(data, &(text.to_owned() + end)).ok())
    };
    let mut text = "conv(6,3)".to_owned();
    for _ in 0..2 + random.below(LENGTH - 1) {
        let longer = format!("{text} {}", LAYERS[random.below(LAYERS.len() as u32) as usize]);
        if finished(&longer).is_some() {
            text = longer;
        }
    }
    finished(&text).expect("what fits was kept")
}

fn samples(data: DataSpec, random: &mut Stream) -> Samples {
    const COUNT: usize = 7;
    let pixels = (0..COUNT * data.image_bytes()).map(|_| random.below(256) as u8).collect();
    let labels = (0..COUNT).map(|_| random.below(data.classes() as u32) as u16).collect();
    Samples::new(data, pixels, labels).unwrap()
}

#[test]
fn gradients_of_random_networks_are_the_slopes_of_their_losses() {
    let mut random = Stream::new(5, "random networks", &[]);
    for number in 0..60 {
        let data = DataSpec::new(9 + random.below(5) as usize, 12, 1 + random.below(3) as usize, 5).unwrap();
        let model = draw(data, &mut random);
        let samples = samples(data, &mut random);
        let leaf = LeafAddress { seed: 1, step: number, leaf: 2 };
        let mut network = Network::new(&model).unwrap();
        let parameters = Init::He.draw(model.layout(), number);
        network.load(&parameters).unwrap();
        let gradient = network.gradient(&samples, leaf).unwrap().gradient;
        let norm = |values: &[f32]| values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        let trained = model.layout().iter().filter(|(tensor, _)| tensor.role == Role::Trained);
        let trained: Vec<_> = trained.map(|(tensor, range)| (tensor.name.clone(), range)).collect();
        let largest = trained.iter().map(|(_, range)| norm(&gradient[range.clone()])).fold(0.0, f64::max);
        for (name, range) in trained {
            let slope = norm(&gradient[range.clone()]);
            // What is in front of a normalisation may have no effect, and a gradient of rounding alone.
            if slope < 1e-3 * largest {
                continue;
            }
            let mut loss = |step: f64| {
                let mut moved = parameters.clone();
                for at in range.clone() {
                    moved[at] += (step / slope * f64::from(gradient[at])) as f32;
                }
                network.load(&moved).unwrap();
                network.gradient(&samples, leaf).unwrap().loss_sum
            };
            let measured = (loss(STEP) - loss(-STEP)) / (2.0 * STEP);
            let error = (measured - slope).abs() / slope.max(0.02 * largest);
            // A step may cross kinks of ReLU and max.
            assert!(error < 0.1, "{model} on {data}: {name} has the slope {measured}, not {slope}");
        }
    }
}
