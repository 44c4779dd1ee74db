use super::*;
use crate::reduce::precision::Precision;

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
    let mut optimizer = Optimizer::new(spec, Partition::whole(SIZE));
    for t in 0..100 {
        let noise = (0..SIZE as u64).map(|i| value(3 * t + 11 * i) as f32);
        let mut gradient: Vec<f32> = noise.zip(&params).map(|(g, p)| g + 0.1 * p).collect();
        let sum = sum(&mut gradient);
        assert!(optimizer.step(&mut params, sum, 1, clip, learning_rate, ONE).non_finite.is_none());
    }
    (params, optimizer)
}

fn sum(gradient: &mut [f32]) -> GradientSum<&mut [f32]> {
    GradientSum::new(gradient, Precision::F32)
}

fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> OptimizerSpec {
    OptimizerSpec::Sgd { momentum, nesterov, weight_decay }
}

/// RMSprop without and with momentum, and Lion, with weight decay.
fn further() -> [OptimizerSpec; 3] {
    let rmsprop = RmsProp { weight_decay: 0.1, ..RmsProp::default() };
    [
        OptimizerSpec::RmsProp(rmsprop),
        OptimizerSpec::RmsProp(RmsProp { momentum: 0.9, ..rmsprop }),
        OptimizerSpec::Lion(Lion { weight_decay: 0.1, ..Lion::default() }),
    ]
}

#[test]
fn a_hundred_steps_end_where_pytorchs_do() {
    let adam = |decay| OptimizerSpec::Adam(Moments::new(decay));
    let (rmsprop, lion) = (OptimizerSpec::RmsProp, OptimizerSpec::Lion);
    let with_momentum = rmsprop(RmsProp { momentum: 0.5, ..RmsProp::default() });
    for (name, spec, rate, clip, want) in [
        ("sgd", sgd(0.0, false, 0.0), 0.05, None, reference::SGD),
        ("sgd, decay", sgd(0.0, false, 0.1), 0.05, None, reference::SGD_DECAY),
        ("sgd, momentum", sgd(0.9, false, 0.0), 0.05, None, reference::SGD_MOMENTUM),
        ("sgd, nesterov", sgd(0.9, true, 0.01), 0.05, None, reference::SGD_NESTEROV),
        ("adam", adam(0.0), 0.01, None, reference::ADAM),
        ("adam, decay", adam(0.1), 0.01, None, reference::ADAM_DECAY),
        ("adamw", OptimizerSpec::AdamW(Moments::new(0.1)), 0.01, None, reference::ADAMW),
        ("rmsprop", rmsprop(RmsProp::default()), 0.01, None, reference::RMSPROP),
        (
            "rmsprop, decay",
            rmsprop(RmsProp { alpha: 0.9, eps: 1e-3, weight_decay: 0.1, ..RmsProp::default() }),
            0.01,
            None,
            reference::RMSPROP_DECAY,
        ),
        ("rmsprop, momentum", with_momentum, 0.01, None, reference::RMSPROP_MOMENTUM),
        ("lion", lion(Lion::default()), 0.01, None, reference::LION),
        (
            "lion, decay",
            lion(Lion { beta1: 0.95, beta2: 0.98, weight_decay: 0.1 }),
            0.005,
            None,
            reference::LION_DECAY,
        ),
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
    let adam = OptimizerSpec::Adam(Moments::new(0.0));
    for spec in [sgd(0.9, true, 0.01), sgd(0.0, false, 0.0), adam].into_iter().chain(further()) {
        let (mut params, mut whole) = run(spec, 0.01, None);
        let saved = whole.slots().map(|(name, values)| (name.to_owned(), values.to_vec())).collect();
        let mut restored = Optimizer::restore(spec, Partition::whole(SIZE), whole.steps(), saved).unwrap();
        assert_eq!(restored, whole);
        let mut copy = params.clone();
        for (optimizer, params) in [(&mut whole, &mut params), (&mut restored, &mut copy)] {
            assert!(optimizer.step(params, sum(&mut [0.5; SIZE]), 1, None, 0.01, ONE).non_finite.is_none());
        }
        assert_eq!(params, copy);
    }
}

#[test]
fn a_state_of_another_optimizer_or_size_is_refused() {
    let adam = OptimizerSpec::Adam(Moments::new(0.0));
    let slot = |name: &str, len| (name.to_owned(), vec![0.0; len]);
    let error =
        Optimizer::restore(adam, Partition::whole(3), 1, vec![slot("momentum_buffer", 3)]).unwrap_err();
    assert!(error.to_string().contains("exp_avg [3], exp_avg_sq [3]"), "{error}");
    assert!(
        Optimizer::restore(adam, Partition::whole(3), 1, vec![slot("exp_avg", 3), slot("exp_avg_sq", 2)])
            .is_err()
    );
    assert!(
        Optimizer::restore(adam, Partition::whole(3), 1, vec![slot("exp_avg", 3), slot("exp_avg_sq", 3)])
            .is_ok()
    );
}

#[test]
fn constants_out_of_range_are_refused() {
    for bad in [sgd(1.0, false, 0.0), sgd(-0.1, false, 0.0), sgd(0.0, true, 0.0), sgd(0.5, true, f64::NAN)] {
        assert!(bad.validate().is_err(), "{bad}");
    }
    let moments = Moments::new(0.0);
    assert!(OptimizerSpec::Adam(Moments { eps: 0.0, ..moments }).validate().is_err());
    assert!(OptimizerSpec::AdamW(Moments { beta2: 1.0, ..moments }).validate().is_err());
    let rmsprop = RmsProp::default();
    for bad in [
        RmsProp { alpha: 1.0, ..rmsprop },
        RmsProp { eps: f64::INFINITY, ..rmsprop },
        RmsProp { momentum: -0.1, ..rmsprop },
        RmsProp { weight_decay: f64::NAN, ..rmsprop },
    ] {
        assert!(OptimizerSpec::RmsProp(bad).validate().is_err(), "{bad:?}");
    }
    let lion = Lion::default();
    for bad in
        [Lion { beta1: 1.0, ..lion }, Lion { beta2: f64::NAN, ..lion }, Lion { weight_decay: -1.0, ..lion }]
    {
        assert!(OptimizerSpec::Lion(bad).validate().is_err(), "{bad:?}");
    }
}

#[test]
fn clipping_keeps_the_direction_and_leaves_short_gradients_alone() {
    assert_eq!(mean::clip_scale(5.0, 10.0), 1.0);
    assert!((mean::clip_scale(5.0, 1.0) - 0.2).abs() < 1e-6);
}

#[test]
fn the_mean_is_divided_once_and_its_norm_is_that_of_all_elements() {
    let mut gradient: Vec<f32> = (0..19).map(|i| 4.0 * i as f32).collect();
    let norm = Mean::of(&mut sum(&mut gradient), 4).average(ONE);
    assert!(gradient.iter().enumerate().all(|(i, &g)| g == i as f32));
    let want = (0..19).map(|i| f64::from(i * i)).sum::<f64>().sqrt();
    assert!((norm - want).abs() < 1e-12 * want, "{norm} is not {want}");
}

#[test]
fn blocks_do_not_show_in_the_parameters_and_none_is_overlooked() {
    let n = 2 * BLOCK + 5;
    let gradient: Vec<f32> = (0..n as u64).map(|i| value(i) as f32).collect();
    let start: Vec<f32> = (0..n as u64).map(|i| value(7 * i) as f32).collect();
    let step = |optimizer: &mut Optimizer, params: &mut [f32], gradient: &[f32]| {
        optimizer.step(params, sum(&mut gradient.to_vec()), 2, None, 0.01, ONE).non_finite.is_none()
    };
    let adamw = OptimizerSpec::AdamW(Moments::new(0.1));
    for spec in [sgd(0.0, false, 0.1), sgd(0.9, true, 0.0), adamw].into_iter().chain(further()) {
        let mut whole = start.clone();
        let mut optimizer = Optimizer::new(spec, Partition::whole(n));
        assert!((0..2).all(|_| step(&mut optimizer, &mut whole, &gradient)));
        for at in [0, BLOCK - 1, BLOCK, n - 1] {
            let mut one = [start[at]];
            let mut alone = Optimizer::new(spec, Partition::whole(1));
            assert!((0..2).all(|_| step(&mut alone, &mut one, &gradient[at..=at])));
            assert_eq!(one[0].to_bits(), whole[at].to_bits(), "{spec}, parameter {at}");
            let mut broken = whole.clone();
            broken[at] = f32::INFINITY;
            assert!(!step(&mut optimizer.clone(), &mut broken, &gradient), "{spec}, parameter {at}");
        }
    }
}

/// Values that are not finite after a step from this state, in which one element has a huge gradient.
fn after_huge(spec: OptimizerSpec, at: usize, slot: f32, gradient: f32, rate: f64) -> Option<NonFinite> {
    let n = 2 * BLOCK + 5;
    let saved = spec.slots().iter().map(|&name| {
        let mut values = vec![0.0; n];
        values[at] = slot;
        (name.to_owned(), values)
    });
    let mut optimizer = Optimizer::restore(spec, Partition::whole(n), 1, saved.collect()).unwrap();
    let mut huge = vec![0.0; n];
    huge[at] = gradient;
    optimizer.step(&mut vec![0.0; n], sum(&mut huge), 1, None, rate, ONE).non_finite
}

#[test]
fn state_that_is_no_longer_finite_is_seen_at_every_place() {
    use NonFinite::{Gradient, Parameters, Slot};
    let adam = OptimizerSpec::Adam(Moments::new(0.1));
    let adamw = OptimizerSpec::AdamW(Moments::new(0.1));
    for at in [0, BLOCK - 1, BLOCK, 2 * BLOCK + 4] {
        for spec in [sgd(0.9, false, 0.0), sgd(0.9, true, 0.1)] {
            assert_eq!(after_huge(spec, at, 3e38, 3e38, 1e-9), Some(Slot("momentum_buffer")), "{spec}, {at}");
            assert_eq!(after_huge(spec, at, 1e37, 1e37, 1e-9), None, "{spec}, {at}");
        }
        for spec in [adam, adamw] {
            // Its square is beyond f32, and every later update of this parameter would be 0.
            assert_eq!(after_huge(spec, at, 0.0, 1e30, 1e-3), Some(Slot("exp_avg_sq")), "{spec}, {at}");
            assert_eq!(after_huge(spec, at, 3e38, -3e38, 1e-3), Some(Slot("exp_avg")), "{spec}, {at}");
            assert_eq!(after_huge(spec, at, 1e18, 1e18, 1e-3), None, "{spec}, {at}");
        }
        let [rmsprop, with_momentum, lion] = further();
        for spec in [rmsprop, with_momentum] {
            assert_eq!(after_huge(spec, at, 0.0, 1e30, 1e-3), Some(Slot("square_avg")), "{spec}, {at}");
            assert_eq!(after_huge(spec, at, 1e18, 1e18, 1e-3), None, "{spec}, {at}");
        }
        // Its momentum lies between finite numbers.
        assert_eq!(after_huge(lion, at, f32::MAX, f32::MAX, 1e-3), None, "{lion}, {at}");
        assert_eq!(after_huge(lion, at, 0.0, f32::NAN, 1e-3), Some(Gradient), "{lion}, {at}");
        assert_eq!(after_huge(sgd(0.0, false, 0.0), at, 0.0, 1e30, 1e30), Some(Parameters), "{at}");
        assert_eq!(after_huge(adam, at, 0.0, f32::NAN, 1e-3), Some(Gradient), "{at}");
    }
    // Their exponents' bits, taken together, are those of an infinity.
    let saved = [("exp_avg", vec![0.0; 2]), ("exp_avg_sq", vec![1.5, 3.0])];
    let saved = saved.map(|(name, values)| (name.to_owned(), values));
    let mut optimizer = Optimizer::restore(adam, Partition::whole(2), 1, saved.into()).unwrap();
    assert_eq!(optimizer.step(&mut [0.0; 2], sum(&mut [0.0; 2]), 1, None, 1e-3, ONE).non_finite, None);
}

/// Norm, parameters and state after a step, in which the last addition is made beforehand or not.
fn after_step(
    n: usize,
    threads: usize,
    precision: Precision,
    clip: Option<f64>,
    early: bool,
) -> impl PartialEq {
    let threads = NonZeroUsize::new(threads).unwrap();
    let left: Vec<f32> = (0..n as u64).map(|i| value(i) as f32).collect();
    let right: Vec<f32> = (0..n as u64).map(|i| value(5 * i) as f32).collect();
    let mut params = left.clone();
    let mut sum = GradientSum::new(left, precision);
    let right = GradientSum::new(right, precision);
    if early {
        sum.add(&right, threads);
    } else {
        sum.add_last(right);
    }
    let mut optimizer = Optimizer::new(OptimizerSpec::Adam(Moments::new(0.1)), Partition::whole(n));
    let stepped = optimizer.step(&mut params, sum, 3, clip, 0.01, threads);
    assert!(stepped.non_finite.is_none() && stepped.grad_norm > 1.0);
    (stepped, params, optimizer)
}

#[test]
fn threads_do_not_show_in_the_norm_or_the_parameters() {
    let n = 600_001;
    for clip in [None, Some(0.5)] {
        let run = |threads| after_step(n, threads, Precision::F32, clip, false);
        let one = run(1);
        assert!(run(3) == one && run(4) == one);
    }
}

#[test]
fn it_does_not_show_when_the_last_addition_is_made() {
    for (clip, precision) in [(None, Precision::F32), (Some(0.5), Precision::F32), (None, Precision::Bf16)] {
        let run = |early| after_step(3 * BLOCK + 7, 1, precision, clip, early);
        assert!(run(true) == run(false), "{clip:?} {precision}");
    }
}

#[test]
fn clipping_shortens_the_step() {
    let run = |clip| after_step(100, 1, Precision::F32, clip, false);
    assert!(run(Some(0.5)) != run(None) && run(Some(1e9)) == run(None));
}

/// Parameters and norm after three steps. The layout is that of "flatten dense" on a single pixel: 2 biases,
/// then 2 weights.
fn grouped(groups: &str, spec: OptimizerSpec, clip: Option<f64>) -> (Vec<f32>, f64) {
    let data = crate::data::spec::DataSpec::new(1, 1, 1, 2).unwrap();
    let model = crate::model::architecture::Architecture::parse(data, "linear").unwrap();
    let partition = groups.parse::<Groups>().unwrap().partition(model.layout(), Decayed::All).unwrap();
    let mut optimizer = Optimizer::new(spec, partition);
    let mut params = vec![1.0, -2.0, 3.0, -4.0];
    let mut norm = 0.0;
    for _ in 0..3 {
        let [mut left, mut right] = [[3.0, 4.0, 0.0, 24.0], [0.0, 0.0, 8.0, 8.0]];
        let mut both = sum(&mut left);
        both.add_last(sum(&mut right));
        norm = optimizer.step(&mut params, both, 2, clip, 0.1, ONE).grad_norm;
    }
    (params, norm)
}

#[test]
fn a_group_is_trained_as_an_optimizer_of_its_own_would() {
    let adam = OptimizerSpec::Adam(Moments::new(0.1));
    for spec in [sgd(0.9, true, 0.1), adam, sgd(0.0, false, 0.1)].into_iter().chain(further()) {
        let (plain, _) = grouped("none", spec, None);
        let (frozen, norm) = grouped("*.bias(frozen)", spec, None);
        assert_eq!(frozen, [1.0, -2.0, plain[2], plain[3]]);
        assert!((norm - (4.0f64 * 4.0 + 16.0 * 16.0).sqrt()).abs() < 1e-6, "{norm}");
        let (no_decay, _) = grouped("*.bias(weight_decay=0)", spec, None);
        let (other, _) = grouped("none", spec.with_weight_decay(0.0), None);
        assert_eq!(no_decay, [other[0], other[1], plain[2], plain[3]]);
        let (still, _) = grouped("*.weight(lr_factor=0)", spec, None);
        assert_eq!(still, [plain[0], plain[1], 3.0, -4.0]);
    }
}

#[test]
fn clipping_is_by_the_norm_of_what_is_trained() {
    let (params, norm) = grouped("*.weight(frozen)", sgd(0.0, false, 0.0), Some(1.25));
    assert!((norm - 2.5).abs() < 1e-9, "{norm}");
    // Mean gradient (1.5, 2) of norm 2.5, halved, three steps of rate 0.1.
    for (got, want) in params.iter().zip([1.0 - 0.225, -2.0 - 0.3, 3.0, -4.0]) {
        assert!((got - want).abs() < 1e-5, "{params:?}");
    }
}
