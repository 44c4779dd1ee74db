use super::*;
use common::model::params::Init;
use common::rng::Stream;

/// What PyTorch computed from the same formulas.
pub(super) struct Reference {
    pub(super) loss_sum: f64,
    pub(super) logits: &'static [f64],
    /// (name, largest magnitude, sum, 12 elements evenly spread from first to last).
    pub(super) gradients: &'static [(&'static str, f64, f64, &'static [f64])],
}

const SAMPLES: usize = 6;

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
        let scale = 2f64.powi(2 - fan_in.ilog2() as i32 / 2);
        parameters.extend(range.map(|i| (value(i) * scale) as f32));
    }
    parameters
}

fn formula_samples() -> Samples {
    let pixels = (0..SAMPLES * PIXELS).map(|i| ((value(7 + i) + 0.5) * 256.0).floor() as u8).collect();
    Samples::new(pixels, (0..SAMPLES).map(|i| (i * 3 % 10) as u8).collect()).unwrap()
}

fn close(what: &str, got: f64, want: f64, scale: f64) {
    assert!((got - want).abs() <= 1e-5 * scale, "{what}: {got} is not PyTorch's {want} (scale {scale})");
}

/// Errors stay below 1e-5 of the tensor's largest magnitude (for sums: times the square root of its size).
fn check_against_pytorch(spec: &ModelSpec, reference: &Reference) {
    let mut network = Network::new(spec).unwrap();
    let layout = spec.layout();
    network.load(&formula_parameters(&layout)).unwrap();
    let samples = formula_samples();
    let logits = network.logits(&samples).unwrap();
    let largest = reference.logits.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (got, want) in logits.iter().zip(reference.logits) {
        close("logit", (*got).into(), *want, largest);
    }
    let leaf = network.gradient(&samples).unwrap();
    close("loss", leaf.loss_sum, reference.loss_sum, reference.loss_sum);
    assert_eq!(network.evaluate(&samples).unwrap().loss_sum, leaf.loss_sum);
    assert_eq!(reference.gradients.len(), layout.iter().count());
    for (name, largest, sum, picked) in reference.gradients {
        let (tensor, range) = layout.find(name).unwrap();
        let gradient = &leaf.gradient[range];
        let total: f64 = gradient.iter().map(|&v| f64::from(v)).sum();
        close(name, total, *sum, largest * (tensor.len() as f64).sqrt());
        for (i, want) in picked.iter().enumerate() {
            let at = i * (tensor.len() - 1) / (picked.len() - 1);
            close(name, gradient[at].into(), *want, *largest);
        }
    }
}

fn specs() -> [ModelSpec; 3] {
    [ModelSpec::Cnn, ModelSpec::Mlp { hidden: vec![32, 16] }, ModelSpec::Linear]
}

#[test]
fn logits_losses_and_gradients_are_pytorchs() {
    let [cnn, mlp, linear] = specs();
    check_against_pytorch(&cnn, &reference::CNN);
    check_against_pytorch(&mlp, &reference::MLP);
    check_against_pytorch(&linear, &reference::LINEAR);
}

#[test]
fn gradients_equal_finite_differences() {
    const H: f32 = 2e-4;
    for spec in specs() {
        let layout = spec.layout();
        let mut network = Network::new(&spec).unwrap();
        let parameters = Init::He.draw(&layout, 3);
        network.load(&parameters).unwrap();
        let samples = formula_samples();
        let gradient = network.gradient(&samples).unwrap().gradient;
        let mut pick = Stream::new(1, "model test", &[]);
        for (tensor, range) in layout.iter() {
            let largest = gradient[range.clone()].iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
            let mut errors: Vec<f64> = Vec::new();
            for _ in 0..12 {
                let at = range.start + pick.below(tensor.len() as u32) as usize;
                let mut loss = |h: f32| {
                    let mut moved = parameters.clone();
                    moved[at] += h;
                    network.load(&moved).unwrap();
                    network.evaluate(&samples).unwrap().loss_sum
                };
                let numeric = (loss(H) - loss(-H)) / (2.0 * f64::from(H));
                errors.push((numeric - f64::from(gradient[at])).abs() / largest);
            }
            // Some elements lie next to a kink of ReLU or max; most must agree.
            errors.sort_by(f64::total_cmp);
            assert!(errors[8] < 0.02, "{spec} {}: {errors:?}", tensor.name);
        }
    }
}

#[test]
fn a_leaf_has_the_same_bits_whatever_else_runs() {
    let parameters = Init::He.draw(&ModelSpec::Cnn.layout(), 3);
    let compute = || {
        let mut network = Network::new(&ModelSpec::Cnn).unwrap();
        network.load(&parameters).unwrap();
        network.gradient(&formula_samples()).unwrap()
    };
    let alone = compute();
    let together: Vec<LeafGradient> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(compute)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(together.iter().all(|leaf| *leaf == alone));
}

#[test]
fn parameters_of_another_model_and_empty_leaves_are_refused() {
    let mut network = Network::new(&ModelSpec::Linear).unwrap();
    assert!(matches!(network.load(&[0.0; 3]), Err(NetworkError::Parameters { expected: 7850, got: 3 })));
    assert!(matches!(network.gradient(&Samples::default()), Err(NetworkError::Empty)));
    assert!(Network::new(&ModelSpec::Mlp { hidden: vec![] }).is_err());
}
