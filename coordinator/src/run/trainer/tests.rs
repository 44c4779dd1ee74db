mod guesses;

use super::*;
use common::checkpoint::{Checkpoint, MANIFEST_FILE, MODEL_FILE, Manifest, OPTIMIZER_FILE, Verified};
use common::data::classes::ClassNames;
use common::data::digits::{PIXELS, SPEC};
use common::model::params::Layout;
use common::reduce::precision::Precision;
use common::train::average::Averaging;
use common::train::config::{DataIdentity, TrainingConfig};
use common::train::optim::{Moments, OptimizerSpec};
use common::train::pseudo::Guess;
use common::train::schedule::{OneCycle, Plateau, PlateauState, Schedule, Shape};

/// Sample `i` has the pixel value `i` everywhere.
fn samples(n: u8) -> Samples {
    let pixels = (0..n).flat_map(|i| [i; PIXELS]).collect();
    Samples::new(SPEC, pixels, (0..n).map(|i| u16::from(i % 10)).collect()).unwrap()
}

fn config(samples: u32, val_split: u32) -> RunConfig {
    let sgd = OptimizerSpec::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 };
    config_with(samples, val_split, sgd)
}

fn config_with(samples: u32, val_split: u32, optimizer: OptimizerSpec) -> RunConfig {
    config_of(samples, val_split, |training| training.optimizer = optimizer)
}

fn config_of(samples: u32, val_split: u32, change: impl FnOnce(&mut TrainingConfig)) -> RunConfig {
    let mut training = TrainingConfig {
        val_split,
        seed: 3,
        batch_size: 7,
        micro_batch: 3,
        epochs: 2,
        optimizer: OptimizerSpec::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 },
        schedule: Schedule { base: 0.5, shape: Shape::Constant, warmup_steps: 0 },
        clip_grad_norm: None,
        ..TrainingConfig::new("linear".parse().unwrap())
    };
    change(&mut training);
    let data = DataIdentity {
        name: "test".into(),
        digest: "00".into(),
        samples,
        spec: SPEC,
        classes: ClassNames::numbers(SPEC.classes()),
    };
    RunConfig::new(training, data).unwrap()
}

fn trainer() -> Trainer {
    Trainer::start(config(20, 4), samples(20), samples(5))
}

/// A sum of gradients in which each element has this value.
fn sum(trainer: &Trainer, value: f32) -> GradientSum<Values> {
    GradientSum::new(vec![value; trainer.layout().len()].into(), Precision::F32)
}

fn gradient(trainer: &Trainer, value: f32) -> SumBody {
    SumBody::Gradient(sum(trainer, value))
}

/// What weights take samples with these pixels for: as it were by chance, but always the same.
fn guesses(trainer: &Trainer, weights: Weights, pixels: &[u8]) -> Vec<Guess> {
    let weight = trainer.version(weights)[0].to_bits();
    let guess = |&pixel: &u8| {
        let hash = weight.wrapping_add(pixel.into()).wrapping_mul(0x9e37_79b1) >> 16;
        Guess { class: (hash % 10) as u16, confidence: if hash % 3 == 0 { u16::MAX } else { 30_000 } }
    };
    pixels.iter().map(guess).collect()
}

/// Completes the next round with a gradient that depends on the step and the labels; returns the round's
/// samples.
fn advance(trainer: &mut Trainer) -> Option<(Work, Vec<u8>)> {
    let work = trainer.next()?;
    let leaves = trainer.tree(work).leaves();
    let round: Vec<Samples> = (0..leaves).map(|leaf| trainer.leaf(work, Leaf(leaf))).collect();
    let seen: Vec<u8> = round.iter().flat_map(|leaf| leaf.pixels().iter().step_by(PIXELS)).copied().collect();
    let labels: u16 = round.iter().flat_map(Samples::labels).sum();
    let counted: u64 = (0..leaves).map(|l| trainer.leaf_samples(work, Leaf(l))).sum();
    assert_eq!(counted, seen.len() as u64);
    let totals = Totals { samples: seen.len() as u64, correct: trainer.step().0.min(3), loss_sum: 1.5 };
    let body = match work {
        Work::Train => gradient(trainer, trainer.step().0 as f32 + 1.0 + f32::from(labels) / 64.0),
        Work::Validate(_) | Work::TestViews(_) => SumBody::Confusion(Box::new(Confusion::new(10))),
        Work::Test(weights) | Work::Guess(weights) => SumBody::Guesses(guesses(trainer, weights, &seen)),
    };
    trainer.finish(work, totals, body).unwrap();
    Some((work, seen))
}

#[test]
fn an_epoch_has_every_training_sample_once_then_its_validation() {
    let mut trainer = trainer();
    let rounds: Vec<_> = std::iter::from_fn(|| advance(&mut trainer)).collect();
    let works: Vec<Work> = rounds.iter().map(|(work, _)| *work).collect();
    use Weights::Last;
    use Work::{Test, Train, Validate};
    assert_eq!(works, [Train, Train, Train, Validate(Last), Train, Train, Train, Validate(Last), Test(Last)]);
    let held = &rounds[3].1;
    for epoch in [0..3, 4..7] {
        let mut seen: Vec<u8> =
            rounds[epoch].iter().flat_map(|(_, seen)| seen.clone()).chain(held.clone()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<u8>>());
    }
    assert_eq!((held, &rounds[8].1), (&rounds[7].1, &(0..5).collect()));
}

#[test]
fn a_test_counts_what_the_guesses_say_and_has_the_worst_mistakes_of_the_last_weights() {
    let mut trainer = trainer();
    while !matches!(trainer.next(), Some(Work::Test(_))) {
        advance(&mut trainer).unwrap();
    }
    // The labels are 0 to 4.
    let guesses = [0, 1, 7, 3, 7].map(|class| Guess { class, confidence: 9 }).to_vec();
    let claimed = Totals { samples: 5, correct: 5, loss_sum: 1.5 };
    let outcome = trainer.finish(Work::Test(Weights::Last), claimed, SumBody::Guesses(guesses));
    let Ok(Outcome::Tested(evaluated, Some(mistakes))) = outcome else { panic!("{outcome:?}") };
    assert_eq!(evaluated.totals, Totals { correct: 3, ..claimed });
    assert_eq!((evaluated.confusion.get(2, 7), evaluated.confusion.correct()), (1, 3));
    let worst: Vec<usize> = mistakes.worst.iter().map(|mistake| mistake.index).collect();
    assert_eq!((mistakes.step, mistakes.count, worst), (evaluated.step, 2, vec![2, 4]));
    assert_eq!(trainer.next(), None);
}

#[test]
fn what_was_gathered_ahead_is_what_would_have_been_gathered() {
    let mut ahead = trainer();
    let mut behind = trainer();
    let mut gathered = 0;
    while behind.next().is_some() {
        let leaves = |trainer: &mut Trainer| -> Option<Vec<Samples>> {
            let work = trainer.next()?;
            let leaves = trainer.tree(work).leaves();
            Some((0..leaves).map(|leaf| trainer.leaf(work, Leaf(leaf))).collect())
        };
        assert_eq!(leaves(&mut ahead), leaves(&mut behind));
        // Two of a step's leaves, not all of them.
        for _ in 0..2 {
            gathered += u32::from(ahead.can_prefetch());
            ahead.prefetch();
        }
        assert_eq!(leaves(&mut ahead), leaves(&mut behind));
        assert_eq!(advance(&mut ahead), advance(&mut behind));
    }
    assert_eq!(gathered, 6, "two of the second step, the only one of the third, in both epochs");
}

/// What a run has saved after some rounds.
fn saved_after(mut run: Trainer, rounds: usize) -> Verified {
    (0..rounds).for_each(|_| {
        advance(&mut run);
    });
    verified(&run.checkpoint(), run.layout())
}

/// A checkpoint as it is read.
fn verified(checkpoint: &Checkpoint, layout: &Layout) -> Verified {
    let files = checkpoint.encode(layout).files;
    let file = |name: &str| files.iter().find(|(file, _)| *file == name).unwrap().1.clone();
    let manifest = Manifest::parse(&file(MANIFEST_FILE)).unwrap();
    let more = manifest.more_files().map(|name| (name, file(name))).collect();
    manifest.verify(file(MODEL_FILE), file(OPTIMIZER_FILE), more).unwrap()
}

#[test]
fn a_run_that_is_resumed_after_any_round_ends_in_the_same_checkpoint() {
    let plateau = Plateau { patience: 1, ..Plateau::default() };
    let versions = |average: Averaging| {
        config_of(20, 4, |training| {
            (training.average, training.patience, training.epochs) = (average, Some(2), 5);
        })
    };
    for config in [
        config(20, 4),
        with_shape(Shape::Plateau(plateau)),
        with_cycle(),
        versions(Averaging::Ema { decay: 0.7 }),
        versions(Averaging::Swa { from: 2 }),
    ] {
        let mut whole = Trainer::start(config.clone(), samples(20), samples(5));
        let rounds = std::iter::from_fn(|| advance(&mut whole)).count();
        for rounds in 0..rounds {
            let saved = saved_after(Trainer::start(config.clone(), samples(20), samples(5)), rounds);
            let mut second = Trainer::resume(config.clone(), samples(20), samples(5), saved).unwrap();
            while advance(&mut second).is_some() {}
            assert_eq!(second.checkpoint(), whole.checkpoint(), "resumed after {rounds} rounds");
        }
    }
}

#[test]
fn a_run_without_a_better_validation_ends_early_and_tests_all_versions() {
    let config = config_of(20, 4, |training| {
        training.average = Averaging::Swa { from: 2 };
        training.patience = Some(2);
        training.epochs = 9;
    });
    let mut trainer = Trainer::start(config, samples(20), samples(5));
    let works: Vec<Work> = std::iter::from_fn(|| advance(&mut trainer)).map(|(work, _)| work).collect();
    use Weights::{Averaged, Best, Last};
    use Work::{Test, Train, Validate};
    // The first validation is the best: later ones have as many correct answers.
    let first = [Train, Train, Train, Validate(Last)];
    let other = [Train, Train, Train, Validate(Last), Validate(Averaged)];
    let tests = [Test(Last), Test(Averaged), Test(Best)];
    assert_eq!(works, [&first[..], &other, &other, &tests].concat());
    assert_eq!((trainer.step(), trainer.waited_in_vain()), (Step(9), Some(2)));
    let versions = [Last, Averaged, Best].map(|weights| trainer.version(weights));
    assert!(versions[0] != versions[1] && versions[1] != versions[2] && versions[2] != versions[0]);
}

/// A run of five epochs with that schedule.
fn with_shape(shape: Shape) -> RunConfig {
    config_of(20, 4, |training| {
        training.schedule.shape = shape;
        training.epochs = 5;
    })
}

/// A run whose rate and momentum go up and down.
fn with_cycle() -> RunConfig {
    config_of(20, 4, |training| {
        training.schedule.shape = Shape::OneCycle(OneCycle::default());
        training.optimizer = OptimizerSpec::Adam(Moments { beta1: 0.95, ..Moments::new(0.0) });
    })
}

/// Learning rates of a run's steps.
fn rates(config: &RunConfig) -> Vec<f64> {
    let mut trainer = Trainer::start(config.clone(), samples(20), samples(5));
    let mut rates = Vec::new();
    while let Some(work) = trainer.next() {
        let totals = Totals { samples: 4, correct: 1, loss_sum: 1.5 };
        let body = match work {
            Work::Train => gradient(&trainer, 1.0),
            Work::Test(_) | Work::Guess(_) => SumBody::Guesses(vec![Guess::default(); 5]),
            Work::Validate(_) | Work::TestViews(_) => SumBody::Confusion(Box::new(Confusion::new(10))),
        };
        if let Outcome::Stepped(stepped) = trainer.finish(work, totals, body).unwrap() {
            rates.push(stepped.learning_rate);
        }
    }
    rates
}

#[test]
fn the_rate_falls_after_the_validation_that_was_one_too_many() {
    let plateau = Plateau { patience: 1, factor: 0.5, ..Plateau::default() };
    let rates = rates(&with_shape(Shape::Plateau(plateau)));
    // The first of five epochs is the best one, and after the third the patience is over.
    assert_eq!(rates, [[0.5; 9].as_slice(), &[0.25; 6]].concat());
}

#[test]
fn a_cycle_moves_the_momentum_too() {
    let still = config_of(20, 4, |training| {
        let cycle = OneCycle { momentum: common::train::schedule::Momentum::Constant, ..OneCycle::default() };
        training.schedule.shape = Shape::OneCycle(cycle);
        training.optimizer = OptimizerSpec::Adam(Moments { beta1: 0.95, ..Moments::new(0.0) });
    });
    assert_eq!(rates(&still), rates(&with_cycle()));
    let params = |config: &RunConfig| {
        let mut trainer = Trainer::start(config.clone(), samples(20), samples(5));
        while advance(&mut trainer).is_some() {}
        trainer.params()
    };
    assert_ne!(params(&still), params(&with_cycle()));
}

#[test]
fn a_plateaus_state_is_neither_missing_nor_anothers() {
    let plateau = with_shape(Shape::Plateau(Plateau::default()));
    let others = [
        (&plateau, with_shape(Shape::Constant), "has a"),
        (&with_shape(Shape::Constant), plateau.clone(), "has no"),
    ];
    for (saved_by, resumed_as, expected) in others {
        let saved = saved_after(Trainer::start(saved_by.clone(), samples(20), samples(5)), 4);
        assert_eq!(saved.manifest.position.plateau.is_some(), expected == "has a");
        let error = Trainer::resume(resumed_as, samples(20), samples(5), saved).unwrap_err().to_string();
        assert!(error.contains(&format!("the checkpoint {expected} plateau's state")), "{error}");
    }
    let run = Trainer::start(plateau, samples(20), samples(5));
    let state = saved_after(run, 4).manifest.position.plateau;
    assert_eq!(state, Some(PlateauState { best_loss: 0.375, epochs: 0, falls: 0 }));
}

#[test]
fn the_best_validation_is_the_earliest_with_most_right_answers() {
    let mut trainer = trainer();
    while advance(&mut trainer).is_some() {}
    assert_eq!(trainer.best(), Some(Best { step: Step(3), correct: 3, samples: 4 }));
}

#[test]
fn without_a_validation_split_there_is_no_validation() {
    let mut trainer = Trainer::start(config(20, 0), samples(20), samples(5));
    let works: Vec<Work> = std::iter::from_fn(|| advance(&mut trainer)).map(|(work, _)| work).collect();
    assert_eq!(works.len(), 7);
    assert!(!works.contains(&Work::Validate(Weights::Last)));
}

#[test]
fn a_sum_that_overflows_stops_the_run_with_its_step() {
    let mut trainer = trainer();
    advance(&mut trainer);
    let totals = Totals { samples: 7, ..Totals::default() };
    let body = gradient(&trainer, f32::INFINITY);
    let error = trainer.finish(Work::Train, totals, body).unwrap_err().to_string();
    assert!(error.contains("step 1: the gradient is not finite"), "{error}");
}

#[test]
fn a_huge_gradient_stops_the_run_instead_of_freezing_it() {
    let config = config_with(20, 4, OptimizerSpec::Adam(Moments::new(0.0)));
    let mut trainer = Trainer::start(config, samples(20), samples(5));
    advance(&mut trainer);
    let totals = Totals { samples: 7, ..Totals::default() };
    let body = gradient(&trainer, 1e30);
    let error = trainer.finish(Work::Train, totals, body).unwrap_err().to_string();
    assert!(error.contains("step 1: the optimizer's state exp_avg_sq is not finite"), "{error}");
}

#[test]
fn the_update_is_by_the_mean_over_samples() {
    let config = config_with(20, 4, OptimizerSpec::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 });
    let mut trainer = Trainer::start(config, samples(20), samples(5));
    let before = trainer.params().to_vec();
    let totals = Totals { samples: 7, ..Totals::default() };
    let [mut sum, right] = [10.0, 4.0].map(|value| sum(&trainer, value));
    sum.add_last(right);
    trainer.finish(Work::Train, totals, SumBody::Gradient(sum)).unwrap();
    assert!(trainer.params().iter().zip(&before).all(|(after, before)| *after == before - 0.5 * 2.0));
}

#[test]
fn a_run_goes_back_to_the_first_values_that_it_was_given() {
    let given = |trainer: &Trainer| vec![0.25; trainer.layout().len()];
    let begun = || {
        let mut training = config(20, 4).training().clone();
        training.init_from = Some(format!("sha256({})", "a".repeat(64)).parse().unwrap());
        let mut trainer = Trainer::start(
            RunConfig::new(training, config(20, 4).data().clone()).unwrap(),
            samples(20),
            samples(5),
        );
        let first = given(&trainer);
        trainer.set_first_values(first);
        trainer
    };
    let mut trainer = begun();
    assert_eq!(*trainer.params(), given(&trainer));
    advance(&mut trainer);
    assert_ne!(*trainer.params(), given(&trainer));
    trainer.roll_back(None).unwrap();
    assert_eq!((trainer.step(), trainer.params().to_vec()), (Step(0), given(&trainer)));
    // Where the file was not named at this start, its values are not known, and no others take their place.
    trainer.first = None;
    let error = trainer.roll_back(None).unwrap_err();
    assert!(matches!(error, TrainError::NoFirstValues), "{error}");
}
