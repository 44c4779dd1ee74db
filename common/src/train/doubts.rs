//! Settings that are valid and can't have been meant, such as a warm-up that is longer than the run. A run
//! with them goes on; it says so at its start.

use super::config::{RunConfig, TrainingConfig};
use super::pseudo::SelfTraining;
use super::schedule::{Plateau, Shape};

/// Most steps whose learning rates are looked at.
const STEPS_LOOKED_AT: u64 = 100_000;

/// What is doubtful about a run that has at most `workers` workers: a sentence each, which begins with the
/// flag.
#[must_use]
pub fn doubts(config: &RunConfig, workers: u32) -> Vec<String> {
    let &TrainingConfig { batch_size, micro_batch, epochs, schedule, .. } = config.training();
    let length = config.length();
    let samples = config.train_samples();
    let leaves = batch_size.min(samples).div_ceil(micro_batch);
    let mut doubts = Vec::new();
    let mut doubt = |is_so: bool, text: &dyn Fn() -> String| {
        if is_so {
            doubts.push(text());
        }
    };
    doubt(schedule.warmup_steps >= length.total, &|| {
        format!(
            "--warmup-steps {}: the run has {} steps, so the learning rate rises until its end",
            schedule.warmup_steps, length.total
        )
    });
    doubt(batch_size > samples, &|| {
        format!("--batch-size {batch_size}: there are {samples} training samples, so an epoch is one step")
    });
    doubt(micro_batch > batch_size, &|| {
        format!(
            "--micro-batch {micro_batch}: a step has {batch_size} samples, so one worker computes all of it"
        )
    });
    doubt(micro_batch <= batch_size && leaves < workers, &|| {
        format!(
            "--workers {workers}: a step of {} samples has micro-batches for {leaves} of them only; a smaller \
             --micro-batch changes that, and the bits",
            batch_size.min(samples)
        )
    });
    if let Shape::Step { every_epochs, .. } = schedule.shape {
        doubt(every_epochs >= epochs, &|| {
            format!(
                "--step-every {every_epochs}: the run has {epochs} epochs, so the learning rate stays the same"
            )
        });
    }
    if let Shape::CosineRestarts { epochs: first, .. } = schedule.shape {
        doubt(first >= epochs, &|| {
            format!("--restart-every {first}: the run has {epochs} epochs, so the rate never starts again")
        });
    }
    if let Some(Plateau { patience, .. }) = schedule.shape.plateau() {
        // The first validation is the best one so far, and after the last one nothing is trained.
        doubt(patience >= epochs.saturating_sub(2), &|| {
            format!("--plateau-patience {patience}: the run has {epochs} epochs, so the rate can't fall")
        });
    }
    if let Some(SelfTraining { threshold, from, .. }) = config.training().self_training {
        doubt(from > epochs, &|| {
            format!("--pseudo-from {from}: the run has {epochs} epochs, so no sample gets a pseudo-label")
        });
        // What a network that has learned its targets by heart is sure of.
        let smoothing = config.training().objective.label_smoothing;
        let sure = 1.0 - smoothing + smoothing / config.data().spec.classes() as f64;
        doubt(threshold >= sure, &|| {
            format!(
                "--pseudo-labels {threshold}: with --label-smoothing {smoothing} a network learns to be sure by {sure:.3}, so \
                 few samples or none get a label"
            )
        });
    }
    // Rates fall or rise smoothly, so that the steps between the first ones and the middle say nothing more.
    let looked_at = (0..length.total.min(STEPS_LOOKED_AT)).chain([length.total / 2]);
    let is_nothing = |step| schedule.rate(step, length, 0) as f32 == 0.0;
    doubt(looked_at.into_iter().all(is_nothing), &|| {
        format!("--lr {}: in 32 bits the learning rate is 0 in every step", schedule.base)
    });
    doubts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::classes::ClassNames;
    use crate::data::digits::SPEC;

    use crate::train::config::DataIdentity;
    use crate::train::optim::OptimizerSpec;
    use crate::train::schedule::Schedule;

    /// A run of two epochs of ten steps of four leaves, with one setting changed.
    fn doubts_of(workers: u32, change: impl Fn(&mut TrainingConfig)) -> Vec<String> {
        let mut training = TrainingConfig {
            seed: 1,
            batch_size: 40,
            micro_batch: 10,
            epochs: 2,
            optimizer: OptimizerSpec::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 },
            schedule: Schedule { base: 0.1, shape: Shape::Cosine, warmup_steps: 0 },
            clip_grad_norm: None,
            ..TrainingConfig::new("linear".parse().unwrap())
        };
        change(&mut training);
        let data = DataIdentity {
            name: "digits".into(),
            digest: "00".into(),
            samples: 400,
            spec: SPEC,
            classes: ClassNames::numbers(SPEC.classes()),
        };
        doubts(&RunConfig::new(training, data).unwrap(), workers)
    }

    #[test]
    fn usual_settings_are_not_doubted() {
        assert_eq!(doubts_of(4, |_| ()), Vec::<String>::new());
        let at_the_edge = doubts_of(4, |training| {
            training.schedule.warmup_steps = 19;
            training.schedule.shape = Shape::Step { every_epochs: 1, factor: 0.5 };
        });
        assert_eq!(at_the_edge, Vec::<String>::new());
    }

    #[test]
    fn what_can_not_have_been_meant_is_named_by_its_flag() {
        let one = |flag: &str, doubts: Vec<String>| {
            assert!(matches!(&doubts[..], [one] if one.starts_with(flag)), "{flag}: {doubts:?}");
        };
        one("--warmup-steps 20:", doubts_of(4, |training| training.schedule.warmup_steps = 20));
        one("--batch-size 401:", doubts_of(4, |training| training.batch_size = 401));
        one("--workers 5:", doubts_of(5, |_| ()));
        one("--micro-batch 41:", doubts_of(1, |training| training.micro_batch = 41));
        one("--lr 0.0", doubts_of(4, |training| training.schedule.base = 1e-60));
        let step = Shape::Step { every_epochs: 2, factor: 0.5 };
        one("--step-every 2:", doubts_of(4, |training| training.schedule.shape = step));
        let restarts = Shape::CosineRestarts { epochs: 2, factor: 2 };
        one("--restart-every 2:", doubts_of(4, |training| training.schedule.shape = restarts));
        let learning = |from, label_smoothing| {
            doubts_of(4, |training| {
                training.per_class = Some(20);
                training.self_training = Some(SelfTraining { from, ..SelfTraining::default() });
                training.objective.label_smoothing = label_smoothing;
            })
        };
        one("--pseudo-from 3:", learning(3, 0.0));
        one("--pseudo-labels 0.95:", learning(2, 0.1));
        assert_eq!(learning(2, 0.05), Vec::<String>::new());
        let patient = |patience| {
            doubts_of(4, |training| {
                training.schedule.shape = Shape::Plateau(Plateau { patience, ..Plateau::default() });
                training.val_split = 1;
                training.epochs = 5;
            })
        };
        one("--plateau-patience 3:", patient(3));
        assert_eq!(patient(2), Vec::<String>::new());
    }
}
