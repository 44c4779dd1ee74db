use super::*;
use common::data::digits::SPEC;
use common::data::normalize::Channel;
use common::model::layer::Layer;
use common::model::params::{Init, Layout, Role};
use common::rng::Stream;

/// Results that PyTorch computed from the same formulas: loss and gradients of a training step, and the
/// logits of an evaluation.
pub(super) struct Reference {
    pub(super) layers: &'static str,
    pub(super) loss_sum: f64,
    pub(super) logits: &'static [f64],
    /// (name, largest magnitude, sum, 12 elements evenly spread from first to last).
    pub(super) gradients: &'static [(&'static str, f64, f64, &'static [f64])],
}

const SAMPLES: usize = 6;
/// Where the random choices of every leaf here come from.
const LEAF: LeafAddress = LeafAddress { seed: 1, step: 2, leaf: 3 };

/// The formula of reference.py: a hash of i in [-0.5, 0.5).
fn value(i: usize) -> f64 {
    let hash = (i as u64 * 2_654_435_761) % (1 << 32);
    (hash >> 8) as f64 / f64::from(1 << 24) - 0.5
}

fn formula_parameters(layout: &Layout) -> Vec<f32> {
    let mut parameters = Vec::new();
    for (tensor, range) in layout.iter() {
        let fan_in = if tensor.shape.len() > 1 { tensor.len() / tensor.shape[0] } else { 25 };
        // About 4 / sqrt(fan_in), as a power of two so that f32 and f64 hold the same values.
        let scale = 4.0 / f64::from(1 << (fan_in.ilog2() / 2));
        // A variance is positive.
        let is_variance = tensor.name.ends_with("running_var");
        let value = |i| if is_variance { value(i) + 1.0 } else { value(i) * scale };
        parameters.extend(range.map(|i| value(i) as f32));
    }
    parameters
}

fn formula_samples() -> Samples {
    let pixels =
        (0..SAMPLES * SPEC.image_bytes()).map(|i| ((value(7 + i) + 0.5) * 256.0).floor() as u8).collect();
    Samples::new(SPEC, pixels, (0..SAMPLES).map(|i| (i * 3 % 10) as u16).collect()).unwrap()
}

/// Errors stay below 1e-5 of the tensor's largest magnitude (for sums: times the square root of its size), or
/// five times that behind batch norms, which magnify rounding where they divide by a small deviation.
fn check_against_pytorch(reference: &Reference) {
    let model = model(reference.layers);
    let tolerance = if model.layers().as_slice().contains(&Layer::BatchNorm) { 5e-5 } else { 1e-5 };
    let close = |what: &str, got: f64, want: f64, scale: f64| {
        let place = || format!("{}, {what}", reference.layers);
        assert!((got - want).abs() <= tolerance * scale, "{}: {got} is not PyTorch's {want}", place());
    };
    let mut network = Network::new(&model).unwrap();
    let layout = model.layout();
    network.load(&formula_parameters(layout)).unwrap();
    let samples = formula_samples();
    let logits = network.logits(&samples).unwrap();
    let largest = reference.logits.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (got, want) in logits.iter().zip(reference.logits) {
        close("logit", (*got).into(), *want, largest);
    }
    let leaf = network.gradient(&samples, LEAF).unwrap();
    close("loss", leaf.loss_sum, reference.loss_sum, reference.loss_sum);
    assert_eq!(reference.gradients.len(), layout.iter().count());
    let of_all = reference.gradients.iter().fold(0.0f64, |most, (_, largest, ..)| most.max(*largest));
    for (name, largest, sum, picked) in reference.gradients {
        // A bias in front of a normalisation has no effect: in f64 its gradient is 0, or nearly.
        let largest = if *largest < 1e-9 { of_all } else { *largest };
        let (tensor, range) = layout.find(name).unwrap();
        let gradient = &leaf.gradient[range];
        let total: f64 = gradient.iter().map(|&v| f64::from(v)).sum();
        close(name, total, *sum, largest * (tensor.len() as f64).sqrt());
        for (i, want) in picked.iter().enumerate() {
            let at = i * (tensor.len() - 1) / (picked.len() - 1);
            close(name, gradient[at].into(), *want, largest);
        }
    }
}

fn model(text: &str) -> Architecture {
    Architecture::parse(SPEC, text).unwrap()
}

#[test]
fn logits_losses_and_gradients_are_pytorchs() {
    reference::ALL.into_iter().for_each(check_against_pytorch);
}

/// Networks in which every layer appears fused, in each combination, and alone.
const NETWORKS: [&str; 15] = [
    "cnn",
    "mlp(32,16)",
    "linear",
    "maxpool(3) conv(4,3) flatten dense(8) gelu layernorm relu dense",
    "conv(4,3) gelu layernorm conv(4,3) maxpool(2) relu flatten dense",
    "conv(3,5) maxpool(2) layernorm maxpool(2) gelu flatten dense",
    "relu maxpool(2) flatten layernorm dense",
    "conv(4,3,stride=2,padding=1,bias=false) batchnorm relu conv(6,3,groups=2) batchnorm tanh flatten dense",
    "conv(6,5,stride=3) groupnorm(3) silu avgpool(3,stride=2) flatten groupnorm(2) dense(8) sigmoid dense",
    "conv(4,3,stride=2) residual conv(4,3,padding=1) batchnorm add relu globalavgpool dense",
    "conv(4,3,stride=2) relu residual conv(6,3,stride=2,padding=1) tanh conv(6,3,padding=1) \
     shortcut conv(6,1,stride=2) add gelu maxpool(3,stride=2) leaky_relu(0.2) flatten dense",
    "avgpool(2) conv(3,1) residual residual conv(3,3,padding=1) add shortcut conv(3,1) add tanh globalavgpool \
     dense",
    "flatten dense(20) batchnorm relu dropout(0.4) residual dense(20) silu dropout(0.2) add dense",
    "residual tanh shortcut avgpool(3,stride=1) conv(1,1) conv(1,3,padding=2) add conv(4,3,stride=3) leaky_relu \
     globalavgpool dense",
    "dropout(0.2) maxpool(2) conv(8,3,padding=1,groups=1) relu conv(8,3,padding=1,groups=8) batchnorm relu \
     conv(8,1) layernorm gelu globalavgpool dense",
];

#[test]
fn gradients_equal_finite_differences() {
    const H: f32 = 2e-4;
    for text in NETWORKS {
        let model = model(text);
        let layout = model.layout();
        let mut network = Network::new(&model).unwrap();
        let parameters = Init::He.draw(layout, 3);
        network.load(&parameters).unwrap();
        let samples = formula_samples();
        let gradient = network.gradient(&samples, LEAF).unwrap().gradient;
        let largest_of_all = gradient.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
        let mut pick = Stream::new(1, "model test", &[]);
        for (tensor, range) in layout.iter().filter(|(tensor, _)| tensor.role == Role::Trained) {
            let largest = gradient[range.clone()].iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
            let mut errors: Vec<f64> = Vec::new();
            for _ in 0..12 {
                let at = range.start + pick.below(tensor.len() as u32) as usize;
                let mut loss = |h: f32| {
                    let mut moved = parameters.clone();
                    moved[at] += h;
                    network.load(&moved).unwrap();
                    network.gradient(&samples, LEAF).unwrap().loss_sum
                };
                let numeric = (loss(H) - loss(-H)) / (2.0 * f64::from(H));
                // A bias in front of a normalisation has no effect, so its gradient is only rounding.
                let scale = if largest < 1e-4 * largest_of_all { largest_of_all } else { largest };
                errors.push((numeric - f64::from(gradient[at])).abs() / scale);
            }
            // Some elements lie next to a kink of ReLU or max; most must agree.
            errors.sort_by(f64::total_cmp);
            assert!(errors[8] < 0.02, "{text} {}: {errors:?}", tensor.name);
        }
    }
}

#[test]
fn a_leaf_has_the_same_bits_whatever_else_runs() {
    for text in NETWORKS {
        let model = model(text);
        let parameters = Init::He.draw(model.layout(), 3);
        let compute = || {
            let mut network = Network::new(&model).unwrap();
            network.load(&parameters).unwrap();
            network.gradient(&formula_samples(), LEAF).unwrap()
        };
        let alone = compute();
        let together: Vec<LeafGradient> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(compute)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(together.iter().all(|leaf| *leaf == alone), "{text}");
    }
}

#[test]
fn data_of_any_form_is_trained_on() {
    for (height, width, channels, classes) in [(1, 1, 1, 2), (9, 14, 3, 300), (40, 5, 4, 7)] {
        let data = DataSpec::new(height, width, channels, classes).unwrap();
        let text = if height > 4 { "conv(5,3) relu flatten dense" } else { "flatten dense" };
        let model = Architecture::parse(data, text).unwrap();
        let mut network = Network::new(&model).unwrap();
        network.load(&Init::He.draw(model.layout(), 3)).unwrap();
        let pixels = (0..2 * data.image_bytes()).map(|i| i as u8).collect();
        let samples = Samples::new(data, pixels, vec![0, classes as u16 - 1]).unwrap();
        let leaf = network.gradient(&samples, LEAF).unwrap();
        assert_eq!(leaf.gradient.len(), model.layout().len());
        assert!(leaf.loss_sum > 0.0 && network.logits(&samples).unwrap().len() == 2 * classes);
    }
}

#[test]
fn a_normalization_is_what_the_first_layer_is_given() {
    let data = DataSpec::new(1, 1, 2, 2).unwrap();
    let model = Architecture::parse(data, "linear").unwrap();
    let channels = [(0.0, 0.5), (1.0, 0.25)].map(|(mean, by)| Channel::new(mean, by).unwrap());
    let standard = Normalization::Standard(channels.into());
    let mut network = Network::new(&model).unwrap();
    assert_eq!(*network.normalization(), Normalization::Unit);
    let samples = Samples::new(data, vec![255, 51], vec![0]).unwrap();
    let layout = model.layout();
    let (_, weights) = layout.find("fc1.weight").unwrap();
    let mut parameters = vec![0.0; layout.len()];
    parameters[weights].copy_from_slice(&[1.0, 0.0, 0.0, 1.0]);
    network.load(&parameters).unwrap();
    assert_eq!(network.logits(&samples).unwrap(), [1.0, 51.0 / 255.0]);
    let mut network = network.with_normalization(standard.clone());
    assert_eq!(*network.normalization(), standard);
    assert_eq!(network.logits(&samples).unwrap(), [2.0, -3.2]);
}

#[test]
fn parameters_and_samples_of_another_form_are_refused() {
    let mut network = Network::new(&model("linear")).unwrap();
    assert!(matches!(network.load(&[0.0; 3]), Err(NetworkError::Parameters { expected: 7850, got: 3 })));
    let none = Samples::new(SPEC, vec![], vec![]).unwrap();
    assert!(matches!(network.gradient(&none, LEAF), Err(NetworkError::Empty)));
    let other = DataSpec::new(1, 1, 1, 10).unwrap();
    let other = Samples::new(other, vec![0], vec![0]).unwrap();
    assert!(matches!(network.gradient(&other, LEAF), Err(NetworkError::Samples { .. })));
}

#[test]
fn a_guess_is_the_largest_softmax_and_no_labels_matter() {
    let model = model("conv(4,3) relu maxpool(2) flatten dropout(0.5) dense");
    let mut network = Network::new(&model).unwrap();
    network.load(&formula_parameters(model.layout())).unwrap();
    let samples = formula_samples();
    let LeafGuesses { loss_sum, guesses } = network.guess(&samples).unwrap();
    let mut losses = 0.0;
    for (row, guess) in network.logits(&samples).unwrap().chunks_exact(10).zip(&guesses) {
        let exps: Vec<f64> = row.iter().map(|&z| libm::exp(z.into())).collect();
        let largest = exps[usize::from(guess.class)];
        assert!(exps.iter().all(|&exp| exp <= largest));
        let probability = largest / exps.iter().sum::<f64>();
        assert!((f64::from(guess.confidence) / 65_535.0 - probability).abs() < 2e-5, "{probability}");
        losses -= libm::log(probability);
    }
    assert!((loss_sum - losses).abs() < 1e-9);
    let evaluation = network.evaluate(&samples).unwrap();
    assert_eq!(network.evaluate_each(&samples).unwrap(), (evaluation, guesses.clone()));
    let (pixels, labels) = samples.into_parts();
    let others = Samples::new(SPEC, pixels, vec![0; labels.len()]).unwrap();
    assert_eq!(network.guess(&others).unwrap(), LeafGuesses { loss_sum, guesses });
    network.load(&vec![f32::INFINITY; model.layout().len()]).unwrap();
    let LeafGuesses { loss_sum, guesses } = network.guess(&others).unwrap();
    assert!(!loss_sum.is_finite() && guesses.iter().all(|guess| guess.confidence == 0));
}

#[test]
fn rounded_weights_are_computed_with_and_their_gradient_goes_straight_through() {
    let model = model("conv(4,3) batchnorm relu maxpool(2) flatten dense");
    let parameters = formula_parameters(model.layout());
    let rounded = quantise::rounded(model.layout(), &parameters);
    assert_ne!(parameters, rounded);
    let samples = formula_samples();
    let network = |rounds, parameters: &[f32]| {
        let mut network = Network::new(&model).unwrap().with_rounded_weights(rounds);
        network.load(parameters).unwrap();
        (network.gradient(&samples, LEAF).unwrap(), network.logits(&samples).unwrap())
    };
    assert_eq!(network(true, &parameters), network(false, &rounded));
    assert_ne!(network(true, &parameters), network(false, &parameters));
}

#[test]
fn a_network_that_is_its_own_teacher_sees_the_same_images_and_learns_nothing() {
    let model = model("conv(4,3) relu maxpool(2) flatten dense");
    let params = formula_parameters(model.layout());
    let normalization = Normalization::Standard(vec![Channel::new(0.25, 0.5).unwrap()]);
    let own = Teacher { architecture: model.clone(), params, normalization: normalization.clone() };
    let mut other = own.clone();
    other.params[0] += 0.5;
    let gradient = |teacher: &Teacher| {
        let blend = Blend { weight: 1.0, temperature: 2.0 };
        let teacher = (Arc::new(teacher.clone()), blend);
        let augment = "rotate(20) shift(0.2) mixup(0.4)".parse().unwrap();
        let network = Network::new(&model).unwrap().with_normalization(normalization.clone());
        let network = network.with_objective(augment, Objective::default());
        let mut network = network.with_teacher(Some(&teacher)).unwrap();
        assert!(network.learns_from(Some(&teacher)) && !network.learns_from(None));
        network.load(&own.params).unwrap();
        let LeafGradient { gradient, loss_sum, .. } = network.gradient(&formula_samples(), LEAF).unwrap();
        (gradient.iter().any(|&value| value != 0.0), loss_sum)
    };
    assert_eq!(gradient(&own), (false, 0.0));
    let (learns, loss) = gradient(&other);
    assert!(learns && loss > 0.0, "{loss}");
}

#[test]
fn a_teacher_has_no_dropout_and_its_running_statistics() {
    let architecture = model("conv(4,3) batchnorm relu dropout(0.5) flatten dense");
    let params = formula_parameters(architecture.layout());
    let teacher = Teacher { architecture, params, normalization: Normalization::Unit };
    let samples = formula_samples();
    let mut alone = Network::new(&teacher.architecture).unwrap();
    alone.load(&teacher.params).unwrap();
    let taught = Taught::new(alone.logits(&samples).unwrap(), Blend::default());
    let student = model("flatten dense");
    let mut network = Network::new(&student).unwrap();
    let parameters = formula_parameters(student.layout());
    network.load(&parameters).unwrap();
    let logits = Tensor::from_vec(network.logits(&samples).unwrap(), (SAMPLES, 10), &Device::Cpu).unwrap();
    let loss = loss::CrossEntropy::new(samples.labels()).with_teacher(taught);
    let (expected, _) = loss.with_gradient(&logits, 1.0).unwrap();
    let mut network = network.with_teacher(Some(&(Arc::new(teacher), Blend::default()))).unwrap();
    for leaf in [LEAF, LeafAddress { step: 3, ..LEAF }] {
        assert_eq!(network.gradient(&samples, leaf).unwrap().loss_sum, expected);
    }
    let before = network.evaluate(&samples).unwrap();
    let mut plain = Network::new(&student).unwrap();
    plain.load(&parameters).unwrap();
    assert_eq!(before, plain.evaluate(&samples).unwrap(), "an evaluation has no teacher");
}
