use super::*;

const LENGTH: Length = Length { epoch: 10, total: 100 };

fn schedule(shape: Shape, warmup_steps: u64) -> Schedule {
    Schedule { base: 0.1, shape, warmup_steps }
}

fn assert_near(got: f64, want: f64, what: &str) {
    assert!((got - want).abs() < 1e-14, "{what}: {got} is not {want}");
}

#[test]
fn the_polynomial_cosine_is_the_cosine() {
    for i in 0..=1000 {
        let x = f64::from(i) / 1000.0;
        #[allow(clippy::disallowed_methods, reason = "the comparison is the test")]
        let error = cos_pi(x) - (std::f64::consts::PI * x).cos();
        assert!(error.abs() < 1e-15, "cos(pi {x}) is off by {error}");
    }
}

#[test]
fn cosine_falls_from_base_to_nothing() {
    // torch.optim.lr_scheduler.CosineAnnealingLR(T_max=100, lr=0.1) at steps 0, 25, 50, 99.
    let torch = [0.1, 0.085_355_339_059_327_37, 0.05, 2.467_198_171_342_000_5e-5];
    for (step, want) in [0, 25, 50, 99].into_iter().zip(torch) {
        assert_near(schedule(Shape::Cosine, 0).rate(step, LENGTH, 0), want, &format!("step {step}"));
    }
}

#[test]
fn restarts_begin_anew_where_pytorchs_do() {
    const STEPS: [u64; 9] = [0, 5, 19, 20, 40, 59, 60, 79, 99];
    // torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(T_0=20, T_mult, lr=0.1) at those steps.
    let first = [0.1, 0.085_355_339_059_327_38, 0.000_615_582_970_243_117_1, 0.1];
    let later = [
        (
            1,
            [0.1, 0.000_615_582_970_243_117_1, 0.1, 0.000_615_582_970_243_117_1, 0.000_615_582_970_243_117_1],
        ),
        (2, [0.05, 0.000_154_133_313_343_601_8, 0.1, 0.086_716_125_471_784_28, 0.051_962_990_787_953_44]),
        (3, [0.075, 0.027_300_475_013_022_664, 0.025, 6.852_326_227_130_834e-5, 0.097_275_928_779_965_85]),
    ];
    for (factor, later) in later {
        let restarts = schedule(Shape::CosineRestarts { epochs: 2, factor }, 0);
        for (step, want) in STEPS.into_iter().zip(first.into_iter().chain(later)) {
            assert_near(restarts.rate(step, LENGTH, 0), want, &format!("factor {factor}, step {step}"));
        }
    }
    let huge = schedule(Shape::CosineRestarts { epochs: u64::MAX, factor: u64::MAX }, 0);
    assert!(huge.rate(u64::MAX, LENGTH, 0) >= 0.0);
}

#[test]
fn one_cycle_moves_rate_and_momentum_as_pytorchs_does() {
    // torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=100): step, rate, momentum.
    let defaults = [
        (0, 0.004, 0.95),
        (10, 0.029_516_394_846_410_082, 0.923_420_422_034_989_5),
        (29, 0.1, 0.85),
        (30, 0.099_949_653_528_452_43, 0.850_050_346_672_934_2),
        (60, 0.058_928_009_028_552_88, 0.891_072_155_260_068_1),
        (99, 4e-7, 0.95),
    ];
    // The same with 26 steps, pct_start=0.25, div_factor=10, final_div_factor=100, momentum 0.8 to 0.9.
    let other = [
        (0, 0.01, 0.9),
        (3, 0.061_404_167_722_297_83, 0.842_884_258_086_335_8),
        (12, 0.075_025, 0.825),
        (25, 0.0001, 0.9),
    ];
    let chosen = OneCycle {
        rise: 0.25,
        div: 10.0,
        final_div: 100.0,
        momentum: Momentum::Between { low: 0.8, high: 0.9 },
    };
    let few = [(0, 0.081_174_565_394_976_3, 0.868_825_509_907_063_3), (1, 4e-7, 0.95)];
    for (total, cycle, want) in [
        (100, OneCycle::default(), &defaults[..]),
        (26, chosen, &other),
        (2, OneCycle::default(), &few),
        (1, OneCycle::default(), &[(0, 4e-7, 0.95)]),
    ] {
        let length = Length { epoch: 1, total };
        let cycle = schedule(Shape::OneCycle(cycle), 0);
        for &(step, rate, momentum) in want {
            assert_near(cycle.rate(step, length, 0), rate, &format!("rate, {total} steps, {step}"));
            let got = cycle.momentum(step, length).unwrap();
            assert_near(got, momentum, &format!("momentum, {total} steps, {step}"));
        }
    }
    let still = OneCycle { momentum: Momentum::Constant, ..OneCycle::default() };
    assert_eq!(schedule(Shape::OneCycle(still), 0).momentum(3, LENGTH), None);
}

#[test]
fn a_plateau_falls_where_pytorchs_does() {
    let plateau = Plateau { factor: 0.5, patience: 1, threshold: 0.01, min_lr: 0.02 };
    // torch.optim.lr_scheduler.ReduceLROnPlateau(lr=0.1) with these constants: loss; rate, best loss and
    // number of bad epochs after it.
    let torch = [
        (2.0, 0.1, 2.0, 0),
        (1.0, 0.1, 1.0, 0),
        (0.995, 0.1, 1.0, 1),
        (0.991, 0.05, 1.0, 0),
        (0.989, 0.05, 0.989, 0),
        (0.9, 0.05, 0.9, 0),
        (0.9, 0.05, 0.9, 1),
        (0.9, 0.025, 0.9, 0),
        (0.9, 0.025, 0.9, 1),
        (0.95, 0.02, 0.9, 0),
        (0.5, 0.02, 0.5, 0),
        (0.5, 0.02, 0.5, 1),
        (0.5, 0.02, 0.5, 0),
    ];
    let mut state = PlateauState::BEGINNING;
    for (at, (loss, rate, best_loss, epochs)) in torch.into_iter().enumerate() {
        state = plateau.after(state, loss);
        assert_eq!((state.best_loss, state.epochs), (best_loss, epochs), "validation {at}");
        assert_eq!(schedule(Shape::Plateau(plateau), 0).rate(50, LENGTH, state.falls), rate);
    }
    let worst = plateau.after(PlateauState { epochs: u64::MAX, falls: u64::MAX, ..state }, f64::NAN);
    assert_eq!(worst, PlateauState { best_loss: 0.5, epochs: 0, falls: u64::MAX });
    assert_eq!(schedule(Shape::Plateau(plateau), 0).rate(50, LENGTH, worst.falls), 0.02);
}

#[test]
fn warm_up_rises_to_base_and_then_the_shape_begins() {
    let restarts = Shape::CosineRestarts { epochs: 2, factor: 2 };
    for shape in [Shape::Constant, Shape::Cosine, restarts, Shape::Plateau(Plateau::default())] {
        let rates: Vec<f64> = (0..5).map(|step| schedule(shape, 4).rate(step, LENGTH, 0)).collect();
        assert_eq!(rates, [0.025, 0.05, 0.075_000_000_000_000_01, 0.1, 0.1]);
    }
}

#[test]
fn steps_fall_at_epoch_boundaries() {
    let stairs = schedule(Shape::Step { every_epochs: 2, factor: 0.5 }, 0);
    let rates: Vec<f64> = [0, 19, 20, 39, 40].map(|step| stairs.rate(step, LENGTH, 0)).to_vec();
    assert_eq!(rates, [0.1, 0.1, 0.05, 0.05, 0.025]);
}

#[test]
fn numbers_out_of_range_are_refused_by_their_flag() {
    let cycle = OneCycle::default();
    let plateau = Plateau::default();
    let between = |low, high| OneCycle { momentum: Momentum::Between { low, high }, ..cycle };
    for (flag, shape) in [
        ("restart-every", Shape::CosineRestarts { epochs: 0, factor: 1 }),
        ("restart-factor", Shape::CosineRestarts { epochs: 1, factor: 0 }),
        ("cycle-rise", Shape::OneCycle(OneCycle { rise: 1.0, ..cycle })),
        ("cycle-div", Shape::OneCycle(OneCycle { div: 0.5, ..cycle })),
        ("cycle-final-div", Shape::OneCycle(OneCycle { final_div: f64::NAN, ..cycle })),
        ("cycle-momentum", Shape::OneCycle(between(0.95, 0.85))),
        ("cycle-momentum", Shape::OneCycle(between(0.0, 0.85))),
        ("cycle-momentum", Shape::OneCycle(between(0.5, 1.0))),
        ("plateau-factor", Shape::Plateau(Plateau { factor: 1.0, ..plateau })),
        ("plateau-threshold", Shape::Plateau(Plateau { threshold: 1.0, ..plateau })),
        ("min-lr", Shape::Plateau(Plateau { min_lr: 0.2, ..plateau })),
    ] {
        let error = schedule(shape, 0).validate().unwrap_err();
        assert_eq!(error.name, flag, "{error}");
    }
    let warmed = schedule(Shape::OneCycle(cycle), 1).validate().unwrap_err().to_string();
    assert_eq!(warmed, "warmup-steps is 1; it must be 0: one-cycle has a rise of its own");
    for shape in [Shape::OneCycle(cycle), Shape::Plateau(plateau)] {
        assert_eq!(schedule(shape, 0).validate(), Ok(()));
    }
}
