use super::*;

const ONE: NonZeroUsize = NonZeroUsize::MIN;

const SIZE: usize = 5;

/// The formula of reference.py.
fn value(i: u64) -> f64 {
    let hash = (i * 2_654_435_761) % (1 << 32);
    (hash >> 8) as f64 / f64::from(1 << 24) - 0.5
}

fn run(spec: OptimizerSpec, learning_rate: f64, clip: Option<f64>) -> (Vec<f32>, Optimizer) {
    spec.validate().unwrap();
    let mut params: Vec<f32> = (0..SIZE as u64).map(|i| (4.0 * value(i)) as f32).collect();
    let mut optimizer = Optimizer::new(spec, SIZE);
    for t in 0..100 {
        let noise = (0..SIZE as u64).map(|i| value(3 * t + 11 * i) as f32);
        let mut gradient: Vec<f32> = noise.zip(&params).map(|(g, p)| g + 0.1 * p).collect();
        let norm = average(&mut gradient, 1.0, ONE);
        let scale = clip.map_or(1.0, |max| clip_scale(norm, max));
        assert!(optimizer.step(&mut params, &gradient, scale, learning_rate, ONE));
    }
    (params, optimizer)
}

fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> OptimizerSpec {
    OptimizerSpec::Sgd { momentum, nesterov, weight_decay }
}

#[test]
fn a_hundred_steps_end_where_pytorchs_do() {
    let adam = |decay| OptimizerSpec::Adam(Moments::new(decay));
    for (name, spec, rate, clip, want) in [
        ("sgd", sgd(0.0, false, 0.0), 0.05, None, reference::SGD),
        ("sgd, decay", sgd(0.0, false, 0.1), 0.05, None, reference::SGD_DECAY),
        ("sgd, momentum", sgd(0.9, false, 0.0), 0.05, None, reference::SGD_MOMENTUM),
        ("sgd, nesterov", sgd(0.9, true, 0.01), 0.05, None, reference::SGD_NESTEROV),
        ("adam", adam(0.0), 0.01, None, reference::ADAM),
        ("adam, decay", adam(0.1), 0.01, None, reference::ADAM_DECAY),
        ("adamw", OptimizerSpec::AdamW(Moments::new(0.1)), 0.01, None, reference::ADAMW),
        ("sgd, clipped", sgd(0.0, false, 0.0), 0.05, Some(0.4), reference::SGD_CLIPPED),
    ] {
        let (got, _) = run(spec, rate, clip);
        let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for (got, want) in got.iter().zip(want) {
            // f32 against f64: 1e-6 of the largest parameter.
            assert!((f64::from(*got) - want).abs() < 1e-6 * largest, "{name}: {got} is not {want}");
        }
    }
}

#[test]
fn a_restored_optimizer_goes_on_as_if_nothing_had_happened() {
    for spec in [sgd(0.9, true, 0.01), sgd(0.0, false, 0.0), OptimizerSpec::Adam(Moments::new(0.0))] {
        let (mut params, mut whole) = run(spec, 0.01, None);
        let saved = whole.slots().map(|(name, values)| (name.to_owned(), values.to_vec())).collect();
        let mut restored = Optimizer::restore(spec, SIZE, whole.steps(), saved).unwrap();
        assert_eq!(restored, whole);
        let mut copy = params.clone();
        assert!(whole.step(&mut params, &[0.5; SIZE], 1.0, 0.01, ONE));
        assert!(restored.step(&mut copy, &[0.5; SIZE], 1.0, 0.01, ONE));
        assert_eq!(params, copy);
    }
}

#[test]
fn a_state_of_another_optimizer_or_size_is_refused() {
    let adam = OptimizerSpec::Adam(Moments::new(0.0));
    let slot = |name: &str, len| (name.to_owned(), vec![0.0; len]);
    let error = Optimizer::restore(adam, 3, 1, vec![slot("momentum_buffer", 3)]).unwrap_err();
    assert!(error.to_string().contains("exp_avg [3], exp_avg_sq [3]"), "{error}");
    assert!(Optimizer::restore(adam, 3, 1, vec![slot("exp_avg", 3), slot("exp_avg_sq", 2)]).is_err());
    assert!(Optimizer::restore(adam, 3, 1, vec![slot("exp_avg", 3), slot("exp_avg_sq", 3)]).is_ok());
}

#[test]
fn constants_out_of_range_are_refused() {
    for bad in [sgd(1.0, false, 0.0), sgd(-0.1, false, 0.0), sgd(0.0, true, 0.0), sgd(0.5, true, f64::NAN)] {
        assert!(bad.validate().is_err(), "{bad}");
    }
    let moments = Moments::new(0.0);
    assert!(OptimizerSpec::Adam(Moments { eps: 0.0, ..moments }).validate().is_err());
    assert!(OptimizerSpec::AdamW(Moments { beta2: 1.0, ..moments }).validate().is_err());
}

#[test]
fn clipping_keeps_the_direction_and_leaves_short_gradients_alone() {
    assert_eq!(clip_scale(5.0, 10.0), 1.0);
    assert!((clip_scale(5.0, 1.0) - 0.2).abs() < 1e-6);
}

#[test]
fn the_mean_is_divided_once_and_its_norm_is_that_of_all_elements() {
    let mut sum: Vec<f32> = (0..19).map(|i| 4.0 * i as f32).collect();
    let norm = average(&mut sum, 4.0, ONE);
    assert!(sum.iter().enumerate().all(|(i, &g)| g == i as f32));
    let want = (0..19).map(|i| f64::from(i * i)).sum::<f64>().sqrt();
    assert!((norm - want).abs() < 1e-12 * want, "{norm} is not {want}");
}

#[test]
fn blocks_do_not_show_in_the_parameters_and_none_is_overlooked() {
    let n = 2 * BLOCK + 5;
    let gradient: Vec<f32> = (0..n as u64).map(|i| value(i) as f32).collect();
    let start: Vec<f32> = (0..n as u64).map(|i| value(7 * i) as f32).collect();
    for spec in [sgd(0.0, false, 0.1), sgd(0.9, true, 0.0), OptimizerSpec::AdamW(Moments::new(0.1))] {
        let (mut whole, mut optimizer) = (start.clone(), Optimizer::new(spec, n));
        for _ in 0..2 {
            assert!(optimizer.step(&mut whole, &gradient, 0.5, 0.01, ONE));
        }
        for at in [0, BLOCK - 1, BLOCK, n - 1] {
            let (mut one, mut alone) = ([start[at]], Optimizer::new(spec, 1));
            for _ in 0..2 {
                assert!(alone.step(&mut one, &gradient[at..=at], 0.5, 0.01, ONE));
            }
            assert_eq!(one[0].to_bits(), whole[at].to_bits(), "{spec}, parameter {at}");
            let mut broken = gradient.clone();
            broken[at] = f32::INFINITY;
            assert!(
                !optimizer.clone().step(&mut whole.clone(), &broken, 1.0, 0.01, ONE),
                "{spec}, parameter {at}"
            );
        }
    }
}

#[test]
fn threads_do_not_show_in_the_mean_or_the_parameters() {
    let n = 600_001;
    let sum: Vec<f32> = (0..n as u64).map(|i| value(i) as f32).collect();
    let run = |threads: usize| {
        let threads = NonZeroUsize::new(threads).unwrap();
        let (mut gradient, mut params) = (sum.clone(), sum.clone());
        let norm = average(&mut gradient, 3.0, threads);
        let mut optimizer = Optimizer::new(OptimizerSpec::Adam(Moments::new(0.1)), n);
        assert!(optimizer.step(&mut params, &gradient, 0.5, 0.01, threads));
        (norm.to_bits(), params, optimizer)
    };
    let one = run(1);
    assert!(run(3) == one && run(4) == one);
}
