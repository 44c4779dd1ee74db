use super::*;
use common::checkpoint::LABELS_FILE;
use common::train::pseudo::{NO_LABEL, SelfTraining};

/// A run on two samples of each class that also learns from the others, of which 10 are held out.
fn learning(average: Averaging) -> RunConfig {
    config_of(60, 10, |training| {
        training.per_class = Some(2);
        training.self_training = Some(SelfTraining { threshold: 0.9, from: 2, labelled_share: 0.1 });
        (training.average, training.epochs) = (average, 3);
    })
}

fn begun(config: &RunConfig) -> Trainer {
    Trainer::start(config.clone(), samples(60), samples(5))
}

/// Completes rounds until the next one is of the other kind.
fn advance_while(trainer: &mut Trainer, is_meant: impl Fn(Work) -> bool) {
    while trainer.next().is_some_and(&is_meant) {
        advance(trainer);
    }
}

/// The labels of all samples of the present epoch by their pixels, each with how often it is there.
fn epoch_of(trainer: &mut Trainer) -> Vec<(u8, u16)> {
    let mut seen = Vec::new();
    while trainer.next() == Some(Work::Train) {
        for leaf in 0..trainer.tree(Work::Train).leaves() {
            let leaf = trainer.leaf(Work::Train, Leaf(leaf));
            seen.extend((0..leaf.len()).map(|at| (leaf.image(at)[0], leaf.labels()[at])));
        }
        advance(trainer);
    }
    seen
}

#[test]
fn unlabelled_samples_are_guessed_before_an_epoch_and_trained_on_as_what_they_are_taken_for() {
    let config = learning(Averaging::None);
    let mut trainer = begun(&config);
    let first = epoch_of(&mut trainer);
    assert_eq!(first.len(), 50, "an epoch has as many places as there are samples");
    let mut labelled: Vec<u8> = first.iter().map(|(pixel, _)| *pixel).collect();
    labelled.sort_unstable();
    labelled.dedup();
    assert_eq!(labelled.len(), 20);
    let (_, held_out) = advance(&mut trainer).unwrap();
    let asked = trainer.next().unwrap();
    assert_eq!(asked, Work::Guess(Weights::Last));
    let leaves: Vec<Samples> =
        (0..trainer.tree(asked).leaves()).map(|at| trainer.leaf(asked, Leaf(at))).collect();
    assert!(leaves.iter().all(|leaf| leaf.labels().iter().all(|&label| label == 0)), "no label leaves here");
    let mut all: Vec<u8> =
        leaves.iter().flat_map(|leaf| (0..leaf.len()).map(|at| leaf.image(at)[0])).collect();
    assert_eq!(all.len(), 30);
    let guesses = guesses(&trainer, Weights::Last, &all);
    let sure: Vec<(u8, u16)> = all
        .iter()
        .zip(&guesses)
        .filter(|(_, guess)| guess.confidence > 60_000)
        .map(|(&at, guess)| (at, guess.class))
        .collect();
    assert!((5..25).contains(&sure.len()), "some, not all: {sure:?}");
    all.extend(labelled.iter().chain(&held_out));
    all.sort_unstable();
    assert_eq!(all, (0..60).collect::<Vec<u8>>());

    advance(&mut trainer);
    let second = epoch_of(&mut trainer);
    assert_eq!(second.len(), 50);
    for &(pixel, label) in &second {
        if labelled.contains(&pixel) {
            assert_eq!(label, u16::from(pixel % 10));
        } else {
            assert!(sure.contains(&(pixel, label)), "{pixel} as {label}");
        }
    }
    for (pixel, _) in &sure {
        assert_eq!(second.iter().filter(|(seen, _)| seen == pixel).count(), 1, "{pixel}");
    }
    assert!(labelled.iter().all(|pixel| second.iter().any(|(seen, _)| seen == pixel)));
}

#[test]
fn the_average_guesses_where_there_is_one_and_the_outcome_counts_what_is_right() {
    let mut trainer = begun(&learning(Averaging::Ema { decay: 0.9 }));
    advance_while(&mut trainer, |work| !matches!(work, Work::Guess(_)));
    assert_eq!(trainer.next(), Some(Work::Guess(Weights::Averaged)));
    let true_labels: Vec<u16> = trainer.leaves.true_labels().copied().collect();
    let guess = |(at, &label): (usize, &u16)| match at {
        0..8 => Guess { class: label, confidence: u16::MAX },
        8..11 => Guess { class: (label + 1) % 10, confidence: u16::MAX },
        _ => Guess { class: label, confidence: 9 },
    };
    let guesses = true_labels.iter().enumerate().map(guess).collect();
    let totals = Totals { samples: 30, ..Totals::default() };
    let outcome = trainer.finish(Work::Guess(Weights::Averaged), totals, SumBody::Guesses(guesses)).unwrap();
    let Outcome::Guessed(guessed) = outcome else { panic!("{outcome:?}") };
    assert_eq!((guessed.samples, guessed.labelled, guessed.right), (30, 11, 8));
    assert_eq!((guessed.step, guessed.epoch), (Step(8), common::ids::Epoch(1)));
}

#[test]
fn a_run_that_learns_from_guesses_ends_in_the_same_checkpoint_after_a_resume_at_any_round() {
    for average in [Averaging::None, Averaging::Ema { decay: 0.7 }, Averaging::Swa { from: 2 }] {
        let config = learning(average);
        let mut whole = begun(&config);
        let rounds = std::iter::from_fn(|| advance(&mut whole)).count();
        let mut with_labels = 0;
        for rounds in 0..rounds {
            let saved = saved_after(begun(&config), rounds);
            with_labels += u32::from(saved.manifest.files.contains_key(LABELS_FILE));
            let mut second = Trainer::resume(config.clone(), samples(60), samples(5), saved).unwrap();
            advance_while(&mut second, |_| true);
            assert_eq!(second.checkpoint(), whole.checkpoint(), "{average}, resumed after {rounds} rounds");
        }
        assert_eq!(whole.checkpoint().labels, None, "at the end of an epoch there are none");
        assert_eq!(with_labels, 14, "in the middle of two epochs of eight steps");
    }
}

#[test]
fn pseudo_labels_of_a_checkpoint_are_there_where_they_must_be_and_fit() {
    let config = learning(Averaging::None);
    let mut trainer = begun(&config);
    advance_while(&mut trainer, |work| !matches!(work, Work::Guess(_)));
    let between = trainer.checkpoint();
    assert_eq!(between.labels, None);
    advance(&mut trainer);
    assert_eq!(trainer.checkpoint(), between, "what can be found anew is not kept");
    advance(&mut trainer);
    let within = trainer.checkpoint();
    let labels = within.labels.clone().unwrap();
    assert!(labels.len() == 30 && labels.contains(&NO_LABEL), "{labels:?}");
    let refused = |checkpoint: &Checkpoint, labels: Option<Vec<u16>>| {
        let saved = verified(&Checkpoint { labels, ..checkpoint.clone() }, trainer.layout());
        Trainer::resume(config.clone(), samples(60), samples(5), saved).unwrap_err().to_string()
    };
    for (error, expected) in [
        (refused(&within, None), "manifest.json records no pseudo-labels.safetensors"),
        (refused(&within, Some(labels[1..].to_vec())), "29 pseudo-labels for 30 unlabelled samples"),
        (refused(&within, Some([&labels[1..], &[10]].concat())), "pseudo-label 10 of unlabelled sample 29"),
        (refused(&between, Some(labels.clone())), "has pseudo-labels, and before step 8 this run has none"),
    ] {
        assert!(error.contains(expected), "{error}");
    }
    // A run that asks for no guesses has no use for their labels.
    let mut training = config.training().clone();
    (training.self_training, training.per_class) = (None, None);
    let plain = RunConfig::new(training, config.data().clone()).unwrap();
    let saved = verified(&within, trainer.layout());
    let error = Trainer::resume(plain, samples(60), samples(5), saved).unwrap_err();
    assert!(matches!(error, TrainError::SurplusLabels { .. }), "{error}");
}

#[test]
fn a_run_that_goes_back_forgets_its_labels_and_what_was_gathered_with_them() {
    let mut trainer = begun(&learning(Averaging::None));
    let epoch_with = |trainer: &mut Trainer, class| {
        advance_while(trainer, |work| !matches!(work, Work::Guess(_)));
        let guesses = SumBody::Guesses(vec![Guess { class, confidence: u16::MAX }; 30]);
        let totals = Totals { samples: 30, ..Totals::default() };
        trainer.finish(Work::Guess(Weights::Last), totals, guesses).unwrap();
        let leaf = trainer.leaf(Work::Train, Leaf(0));
        (0..3).for_each(|_| trainer.prefetch());
        advance(trainer);
        let next = trainer.leaf(Work::Train, Leaf(0));
        let unlabelled = |leaf: &Samples| {
            leaf.labels()
                .iter()
                .zip(leaf.pixels().iter().step_by(PIXELS))
                .any(|(&label, &at)| label != u16::from(at % 10))
        };
        assert!(unlabelled(&leaf) || unlabelled(&next), "a sample of another class");
        [leaf, next]
    };
    let first = epoch_with(&mut trainer, 3);
    trainer.roll_back(None).unwrap();
    assert_eq!(trainer.checkpoint().labels, None);
    let second = epoch_with(&mut trainer, 4);
    let pixels = |leaves: &[Samples; 2]| leaves.each_ref().map(|leaf| leaf.pixels().to_vec());
    assert_eq!(pixels(&second), pixels(&first));
    assert!(second.iter().zip(&first).any(|(second, first)| second.labels() != first.labels()));
}
