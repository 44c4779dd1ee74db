//! Flags of the learning rate: its height, and its schedule.

use super::belongs;
use clap::Args;
use clap::builder::PossibleValuesParser;
use common::train::schedule::{Momentum, OneCycle, Plateau, Schedule, Shape};
use std::num::NonZeroU32;

/// The learning rate, and how it changes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct ScheduleFlags {
    /// Highest learning rate [default: 0.002; adamw: 0.001; sgd: 0.05; rmsprop: 0.01; lion: 0.0001]
    #[arg(long, env = "LOCKSTEP_LR")]
    pub lr: Option<f64>,
    /// Multiply the learning rate by batch size / BASE, where BASE is the batch size for which it was chosen
    /// [default: no scaling]
    #[arg(long, value_name = "BASE", env = "LOCKSTEP_SCALE_LR")]
    pub scale_lr: Option<NonZeroU32>,
    /// Learning-rate schedule: constant; cosine (to 0 at the end of the run); cosine-restarts (to 0 again and
    /// again); step (by --step-factor every --step-every epochs); one-cycle (up and down over the run, the
    /// momentum against it); plateau (down where the validation's loss does not get better). With cosine and
    /// one-cycle the run's length is part of the run [default: cosine]
    #[arg(long, env = "LOCKSTEP_SCHEDULE", value_parser = PossibleValuesParser::new(["constant", "cosine", "cosine-restarts", "step", "one-cycle", "plateau"]))]
    pub schedule: Option<String>,
    /// Steps of linear learning-rate warm-up; not for one-cycle [default: 0]
    #[arg(long, value_name = "STEPS", env = "LOCKSTEP_WARMUP_STEPS")]
    pub warmup_steps: Option<u64>,
    /// With step: epochs between two falls [default: 1]
    #[arg(long, value_name = "EPOCHS", env = "LOCKSTEP_STEP_EVERY")]
    pub step_every: Option<u64>,
    /// With step: factor of each fall [default: 0.5]
    #[arg(long, value_name = "FACTOR", env = "LOCKSTEP_STEP_FACTOR")]
    pub step_factor: Option<f64>,
    /// With cosine-restarts: epochs of the first cosine [default: 1]
    #[arg(long, value_name = "EPOCHS", env = "LOCKSTEP_RESTART_EVERY")]
    pub restart_every: Option<u64>,
    /// With cosine-restarts: how many times as long each further cosine is [default: 2]
    #[arg(long, value_name = "N", env = "LOCKSTEP_RESTART_FACTOR")]
    pub restart_factor: Option<u64>,
    /// With one-cycle: share of the steps in which the rate rises [default: 0.3]
    #[arg(long, value_name = "SHARE", env = "LOCKSTEP_CYCLE_RISE")]
    pub cycle_rise: Option<f64>,
    /// With one-cycle: the highest rate divided by the first one [default: 25]
    #[arg(long, value_name = "N", env = "LOCKSTEP_CYCLE_DIV")]
    pub cycle_div: Option<f64>,
    /// With one-cycle: the first rate divided by the last one [default: 10000]
    #[arg(long, value_name = "N", env = "LOCKSTEP_CYCLE_FINAL_DIV")]
    pub cycle_final_div: Option<f64>,
    /// With one-cycle: lowest and highest momentum (beta1), or constant to leave the optimizer's as it is
    /// [default: 0.85..0.95]
    #[arg(long, value_name = "LOW..HIGH|constant", env = "LOCKSTEP_CYCLE_MOMENTUM")]
    pub cycle_momentum: Option<Momentum>,
    /// With plateau: factor of each fall [default: 0.1]
    #[arg(long, value_name = "FACTOR", env = "LOCKSTEP_PLATEAU_FACTOR")]
    pub plateau_factor: Option<f64>,
    /// With plateau: epochs in a row without a better loss before the rate falls [default: 10]
    #[arg(long, value_name = "EPOCHS", env = "LOCKSTEP_PLATEAU_PATIENCE")]
    pub plateau_patience: Option<u64>,
    /// With plateau: share by which a loss must be below the best one to be better [default: 0.0001]
    #[arg(long, value_name = "SHARE", env = "LOCKSTEP_PLATEAU_THRESHOLD")]
    pub plateau_threshold: Option<f64>,
    /// With plateau: least learning rate [default: 0]
    #[arg(long, value_name = "LR", env = "LOCKSTEP_MIN_LR")]
    pub min_lr: Option<f64>,
}

/// A learning rate that was scaled to the batch size (Goyal et al. 2017, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scaled {
    /// The rate that was chosen for batches of `base` samples.
    pub(super) lr: f64,
    pub(super) base: u32,
    /// The rate for this run's batches.
    pub(super) result: f64,
}

impl ScheduleFlags {
    /// The schedule. What is not given comes from `before`, or has its default.
    ///
    /// # Errors
    /// When a flag is set that the chosen shape does not have.
    pub(super) fn resolve(
        &self,
        before: Option<Schedule>,
        default_lr: f64,
        batch_size: u32,
    ) -> Result<Schedule, String> {
        let shape = self.shape(before.map(|before| before.shape))?;
        let unscaled = || self.lr.or(before.map(|before| before.base)).unwrap_or(default_lr);
        let warmup_steps = match shape {
            Shape::OneCycle(_) => 0,
            _ => self.warmup_steps.or(before.map(|before| before.warmup_steps)).unwrap_or(0),
        };
        let scaled = self.scaled(default_lr, batch_size);
        Ok(Schedule { base: scaled.map_or_else(unscaled, |scaled| scaled.result), shape, warmup_steps })
    }

    /// The learning rate as it was scaled, if it was. A checkpoint's is scaled already, and counts for
    /// nothing here.
    pub(super) fn scaled(&self, default_lr: f64, batch_size: u32) -> Option<Scaled> {
        let base = self.scale_lr?.get();
        let lr = self.lr.unwrap_or(default_lr);
        Some(Scaled { lr, base, result: lr * f64::from(batch_size) / f64::from(base) })
    }

    /// The shape, with the numbers that are given.
    pub(super) fn shape(&self, before: Option<Shape>) -> Result<Shape, String> {
        let name = self.schedule.as_deref().or(before.map(|before| before.name())).unwrap_or("cosine");
        self.refuse_foreign(name)?;
        let mut shape = before.filter(|before| before.name() == name).unwrap_or_else(|| default(name));
        let put = |place: &mut f64, given: Option<f64>| *place = given.unwrap_or(*place);
        let count = |place: &mut u64, given: Option<u64>| *place = given.unwrap_or(*place);
        match &mut shape {
            Shape::Constant | Shape::Cosine => {}
            Shape::CosineRestarts { epochs, factor } => {
                count(epochs, self.restart_every);
                count(factor, self.restart_factor);
            }
            Shape::Step { every_epochs, factor } => {
                count(every_epochs, self.step_every);
                put(factor, self.step_factor);
            }
            Shape::OneCycle(OneCycle { rise, div, final_div, momentum }) => {
                put(rise, self.cycle_rise);
                put(div, self.cycle_div);
                put(final_div, self.cycle_final_div);
                *momentum = self.cycle_momentum.unwrap_or(*momentum);
            }
            Shape::Plateau(Plateau { factor, patience, threshold, min_lr }) => {
                put(factor, self.plateau_factor);
                count(patience, self.plateau_patience);
                put(threshold, self.plateau_threshold);
                put(min_lr, self.min_lr);
            }
        }
        Ok(shape)
    }

    /// An error if a flag is set that the shape of that name does not have.
    fn refuse_foreign(&self, name: &str) -> Result<(), String> {
        if name == "one-cycle" && self.warmup_steps.is_some() {
            let rise = "which has a rise of its own (--cycle-rise)";
            return Err(format!("--warmup-steps has no meaning with --schedule one-cycle, {rise}"));
        }
        for (flag, is_set, owner) in [
            ("--restart-every", self.restart_every.is_some(), "cosine-restarts"),
            ("--restart-factor", self.restart_factor.is_some(), "cosine-restarts"),
            ("--step-every", self.step_every.is_some(), "step"),
            ("--step-factor", self.step_factor.is_some(), "step"),
            ("--cycle-rise", self.cycle_rise.is_some(), "one-cycle"),
            ("--cycle-div", self.cycle_div.is_some(), "one-cycle"),
            ("--cycle-final-div", self.cycle_final_div.is_some(), "one-cycle"),
            ("--cycle-momentum", self.cycle_momentum.is_some(), "one-cycle"),
            ("--plateau-factor", self.plateau_factor.is_some(), "plateau"),
            ("--plateau-patience", self.plateau_patience.is_some(), "plateau"),
            ("--plateau-threshold", self.plateau_threshold.is_some(), "plateau"),
            ("--min-lr", self.min_lr.is_some(), "plateau"),
        ] {
            belongs(flag, is_set && name != owner, &format!("--schedule {owner}"))?;
        }
        Ok(())
    }
}

/// The shape of that name, with its default numbers.
fn default(name: &str) -> Shape {
    match name {
        "constant" => Shape::Constant,
        "cosine-restarts" => Shape::CosineRestarts { epochs: 1, factor: 2 },
        "step" => Shape::Step { every_epochs: 1, factor: 0.5 },
        "one-cycle" => Shape::OneCycle(OneCycle::default()),
        "plateau" => Shape::Plateau(Plateau::default()),
        _ => Shape::Cosine,
    }
}
