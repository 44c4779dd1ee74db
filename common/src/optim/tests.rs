use super::*;

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
        if let Some(max) = clip {
            clip_norm(&mut gradient, max);
        }
        optimizer.step(&mut params, &gradient, learning_rate);
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
        whole.step(&mut params, &[0.5; SIZE], 0.01);
        restored.step(&mut copy, &[0.5; SIZE], 0.01);
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
    let mut gradient = [3.0, 4.0];
    assert_eq!(clip_norm(&mut gradient, 10.0), 5.0);
    assert_eq!(gradient, [3.0, 4.0]);
    assert_eq!(clip_norm(&mut gradient, 1.0), 5.0);
    assert!((gradient[0] - 0.6).abs() < 1e-6 && (gradient[1] - 0.8).abs() < 1e-6);
}
