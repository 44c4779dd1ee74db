//! Flags for the training settings, and their conversion to a configuration.
//!
//! A flag that is not given has its default, or the value of the checkpoint that `--resume FOLDER` names.
//! Given flags must agree with that checkpoint, which is checked where checkpoints are read.

mod model_file;
mod objective;
mod val_split;

pub use objective::{ClassWeightsChoice, ObjectiveFlags};
pub use val_split::ValSplit;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use common::data::normalize::Normalization;
use common::model::architecture::Layers;
use common::model::params::Init;
use common::model::zoo;
use common::reduce::precision::Precision;
use common::text::TextError;
use common::train::config::TrainingConfig;
use common::train::optim::{Groups, Moments, OptimizerSpec};
use common::train::schedule::{Schedule, Shape};
use std::str::FromStr;

/// Training settings: the same values give the same bits.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct TrainingFlags {
    /// Training samples held out for validation: a number, or a share such as 10% [default: 5000, or a tenth
    /// of all if that is less]
    #[arg(long, value_name = "N|SHARE%", env = "LOCKSTEP_VAL_SPLIT", help_heading = "Data")]
    pub val_split: Option<ValSplit>,
    /// What the network is given for a pixel p of 0 to 255. unit: p / 255; standard: (p / 255 - mean) /
    /// deviation, with the mean and the deviation of each channel over the samples that are trained on
    /// [default: unit]
    #[arg(long, env = "LOCKSTEP_NORMALIZE", value_parser = one_of::<Normalization>(["unit", "standard"]), help_heading = "Data")]
    pub normalize: Option<Normalization>,
    #[arg(long, value_name = "NAME|LAYERS|@FILE", env = "LOCKSTEP_MODEL", value_parser = model_file::network, help = model_help())]
    #[allow(missing_docs, reason = "the help text lists the networks")]
    pub model: Option<Layers>,
    /// Widths of the mlp's hidden layers, input side first [default: 512,256]
    #[arg(long, value_name = "WIDTH,...", env = "LOCKSTEP_HIDDEN", value_delimiter = ',')]
    pub hidden: Vec<usize>,
    /// Weight initialisation: he (He et al. 2015, for ReLU) or glorot (Glorot and Bengio 2010) [default: he]
    #[arg(long, env = "LOCKSTEP_INIT", value_parser = one_of::<Init>(["he", "glorot"]))]
    pub init: Option<Init>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "the type has it")]
    pub objective: ObjectiveFlags,
    /// Random seed for initial weights, validation split, shuffling, dropout and augmentation [default: 1]
    #[arg(long, env = "LOCKSTEP_SEED")]
    pub seed: Option<u64>,
    /// Samples of one optimizer step, over all workers [default: 128]
    #[arg(long, value_name = "SAMPLES", env = "LOCKSTEP_BATCH_SIZE")]
    pub batch_size: Option<u32>,
    /// Samples of a leaf, the unit of work [default: 32]
    #[arg(long, value_name = "SAMPLES", env = "LOCKSTEP_MICRO_BATCH")]
    pub micro_batch: Option<u32>,
    /// Passes over the training samples [default: 5]
    #[arg(long, env = "LOCKSTEP_EPOCHS")]
    pub epochs: Option<u64>,
    /// Optimizer [default: adam]
    #[arg(long, env = "LOCKSTEP_OPTIMIZER", value_parser = PossibleValuesParser::new(["sgd", "adam", "adamw"]))]
    pub optimizer: Option<String>,
    /// Momentum factor of sgd [default: 0.9]
    #[arg(long, env = "LOCKSTEP_MOMENTUM")]
    pub momentum: Option<f64>,
    /// Nesterov momentum for sgd
    #[arg(long, env = "LOCKSTEP_NESTEROV")]
    pub nesterov: bool,
    /// L2 penalty, added to the gradient (sgd, adam) or decoupled from it (adamw) [default: 0; adamw: 0.01]
    #[arg(long, env = "LOCKSTEP_WEIGHT_DECAY")]
    pub weight_decay: Option<f64>,
    /// Decay rate of the first moment, for adam and adamw [default: 0.9]
    #[arg(long, env = "LOCKSTEP_BETA1")]
    pub beta1: Option<f64>,
    /// Decay rate of the second moment, for adam and adamw [default: 0.999]
    #[arg(long, env = "LOCKSTEP_BETA2")]
    pub beta2: Option<f64>,
    /// Tensors with optimizer settings of their own, by name:
    /// "conv*(frozen) *.bias(lr_factor=2,weight_decay=0)"; the first group that matches is a tensor's own
    /// [default: none]
    #[arg(long, value_name = "PATTERN(SETTING,...) ...", env = "LOCKSTEP_PARAM_GROUPS")]
    pub param_groups: Option<Groups>,
    /// Highest learning rate [default: 0.001; sgd: 0.05]
    #[arg(long, env = "LOCKSTEP_LR")]
    pub lr: Option<f64>,
    /// Learning-rate schedule: constant; cosine (to 0 at the end of the run, so its length is part of the
    /// run); step (by --step-factor every --step-every epochs) [default: cosine]
    #[arg(long, env = "LOCKSTEP_SCHEDULE", value_parser = PossibleValuesParser::new(["constant", "cosine", "step"]))]
    pub schedule: Option<String>,
    /// Epochs between two steps of the schedule [default: 1]
    #[arg(long, value_name = "EPOCHS", env = "LOCKSTEP_STEP_EVERY")]
    pub step_every: Option<u64>,
    /// Factor of each step of the schedule [default: 0.5]
    #[arg(long, value_name = "FACTOR", env = "LOCKSTEP_STEP_FACTOR")]
    pub step_factor: Option<f64>,
    /// Steps of linear learning-rate warm-up [default: 0]
    #[arg(long, value_name = "STEPS", env = "LOCKSTEP_WARMUP_STEPS")]
    pub warmup_steps: Option<u64>,
    /// Largest L2 norm of a gradient; a longer one is scaled down to it [default: no limit]
    #[arg(long, value_name = "NORM", env = "LOCKSTEP_CLIP_GRAD_NORM")]
    pub clip_grad_norm: Option<f64>,
    /// Data type of gradients on the wire and in sums; bf16 takes half the bytes [default: f32]
    #[arg(long, env = "LOCKSTEP_WIRE_DTYPE", value_parser = one_of::<Precision>(["f32", "bf16"]))]
    pub wire_dtype: Option<Precision>,
}

fn model_help() -> String {
    let named = zoo::ALL.iter().map(|named| format!("{} ({})", named.name, named.about));
    let named = named.collect::<Vec<_>>().join("; ");
    format!(
        "Network, by name: {named}; or by its layers, as \"conv(32,3) relu maxpool(2) flatten dense(64) relu dense\"; \
         or @FILE with either [default: cnn]"
    )
}

/// A parser for values that have a text form in `common`.
fn one_of<T>(names: [&'static str; 2]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = TextError> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|text| text.parse::<T>())
}

impl TrainingFlags {
    /// How many of the data set's training samples are held out for validation. Where nothing is said it is
    /// `base`, that of the checkpoint, if its settings are to be taken, or by default no more than `most`.
    #[must_use]
    pub fn held_out(&self, base: Option<u32>, samples: u32, most: u32) -> u32 {
        let otherwise = || base.unwrap_or_else(|| ValSplit::default_of(samples).min(most));
        self.val_split.map_or_else(otherwise, |split| split.of(samples))
    }

    /// The configuration. A setting that is not given comes from `base`, or has its default. What depends on
    /// the data is settled by [`held_out`](Self::held_out).
    ///
    /// # Errors
    /// When a flag is set that the chosen network, optimizer or schedule does not have.
    pub fn resolve(&self, base: Option<&TrainingConfig>) -> Result<TrainingConfig, String> {
        let (optimizer, lr) = self.optimizer(base)?;
        let (augment, objective) = self.objective.resolve(base);
        let before = base.map(|base| base.schedule);
        Ok(TrainingConfig {
            val_split: match self.val_split {
                Some(ValSplit::Samples(held_out)) => held_out,
                _ => base.map_or(0, |base| base.val_split),
            },
            normalize: match (&self.normalize, base.map(|base| &base.normalize)) {
                // Its numbers are known already.
                (Some(Normalization::Standard(_)) | None, Some(saved @ Normalization::Standard(_))) => {
                    saved.clone()
                }
                (Some(chosen), _) => chosen.clone(),
                (None, saved) => saved.cloned().unwrap_or_default(),
            },
            model: self.model(base)?,
            init: self.init.or(base.map(|base| base.init)).unwrap_or(Init::He),
            seed: self.seed.or(base.map(|base| base.seed)).unwrap_or(1),
            augment,
            objective,
            batch_size: self.batch_size.or(base.map(|base| base.batch_size)).unwrap_or(128),
            micro_batch: self.micro_batch.or(base.map(|base| base.micro_batch)).unwrap_or(32),
            epochs: self.epochs.or(base.map(|base| base.epochs)).unwrap_or(5),
            optimizer,
            param_groups: match (&self.param_groups, base) {
                (Some(groups), _) => groups.clone(),
                (None, base) => base.map(|base| base.param_groups.clone()).unwrap_or_default(),
            },
            schedule: Schedule {
                base: self.lr.or(before.map(|before| before.base)).unwrap_or(lr),
                shape: self.shape(before.map(|before| before.shape))?,
                warmup_steps: self.warmup_steps.or(before.map(|before| before.warmup_steps)).unwrap_or(0),
            },
            clip_grad_norm: self.clip_grad_norm.or(base.and_then(|base| base.clip_grad_norm)),
            wire_dtype: self.wire_dtype.or(base.map(|base| base.wire_dtype)).unwrap_or_default(),
        })
    }

    fn model(&self, base: Option<&TrainingConfig>) -> Result<Layers, String> {
        let named = |name: &str| name.parse::<Layers>().map_err(|error| error.to_string());
        let chosen = match (&self.model, base) {
            (Some(model), _) => model.clone(),
            (None, Some(base)) => base.model.clone(),
            (None, None) => named("cnn")?,
        };
        if self.hidden.is_empty() {
            return Ok(chosen);
        }
        let is_mlp = chosen.short_name().starts_with("mlp");
        belongs("--hidden", !is_mlp, "--model mlp")?;
        let widths: Vec<String> = self.hidden.iter().map(ToString::to_string).collect();
        named(&format!("mlp({})", widths.join(","))).map_err(|error| format!("--hidden: {error}"))
    }

    /// The optimizer and its default learning rate.
    fn optimizer(&self, base: Option<&TrainingConfig>) -> Result<(OptimizerSpec, f64), String> {
        let before = base.map(|base| base.optimizer);
        let name = self.optimizer.as_deref().or(before.map(|before| before.name())).unwrap_or("adam");
        let before = before.filter(|before| before.name() == name);
        if name == "sgd" {
            belongs("--beta1", self.beta1.is_some(), "--optimizer adam or adamw")?;
            belongs("--beta2", self.beta2.is_some(), "--optimizer adam or adamw")?;
            let mut sgd = match before {
                Some(OptimizerSpec::Sgd { momentum, nesterov, weight_decay }) => {
                    (momentum, nesterov, weight_decay)
                }
                _ => (0.9, false, 0.0),
            };
            sgd.0 = self.momentum.unwrap_or(sgd.0);
            sgd.1 |= self.nesterov;
            sgd.2 = self.weight_decay.unwrap_or(sgd.2);
            let (momentum, nesterov, weight_decay) = sgd;
            return Ok((OptimizerSpec::Sgd { momentum, nesterov, weight_decay }, 0.05));
        }
        belongs("--momentum", self.momentum.is_some(), "--optimizer sgd")?;
        belongs("--nesterov", self.nesterov, "--optimizer sgd")?;
        let is_adam = name == "adam";
        let mut moments = match before {
            Some(OptimizerSpec::Adam(moments) | OptimizerSpec::AdamW(moments)) => moments,
            _ => Moments::new(if is_adam { 0.0 } else { 0.01 }),
        };
        moments.weight_decay = self.weight_decay.unwrap_or(moments.weight_decay);
        moments.beta1 = self.beta1.unwrap_or(moments.beta1);
        moments.beta2 = self.beta2.unwrap_or(moments.beta2);
        Ok((if is_adam { OptimizerSpec::Adam(moments) } else { OptimizerSpec::AdamW(moments) }, 0.001))
    }

    fn shape(&self, before: Option<Shape>) -> Result<Shape, String> {
        let chosen = match self.schedule.as_deref() {
            Some("constant") => Shape::Constant,
            Some("step") => match before {
                Some(step @ Shape::Step { .. }) => step,
                _ => Shape::Step { every_epochs: 1, factor: 0.5 },
            },
            Some(_) => Shape::Cosine,
            None => before.unwrap_or(Shape::Cosine),
        };
        match chosen {
            Shape::Step { every_epochs, factor } => Ok(Shape::Step {
                every_epochs: self.step_every.unwrap_or(every_epochs),
                factor: self.step_factor.unwrap_or(factor),
            }),
            other => {
                belongs("--step-every", self.step_every.is_some(), "--schedule step")?;
                belongs("--step-factor", self.step_factor.is_some(), "--schedule step")?;
                Ok(other)
            }
        }
    }
}

/// An error if the flag is set although it would have no effect.
fn belongs(flag: &str, is_set: bool, to: &str) -> Result<(), String> {
    if is_set { Err(format!("{flag} has a meaning with {to} only")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        training: TrainingFlags,
    }

    fn resolved(flags: &[&str], base: Option<&TrainingConfig>) -> Result<TrainingConfig, String> {
        let flags = Flags::try_parse_from(["program"].iter().chain(flags)).map_err(|error| error.to_string());
        flags?.training.resolve(base)
    }

    #[test]
    fn what_is_not_given_is_the_checkpoints() {
        let flags = "--model mlp --hidden 8,4 --param-groups fc1.*(frozen) --optimizer sgd --momentum 0.5 --nesterov --lr 0.3 --seed 9 \
                     --schedule step --step-factor 0.25 --clip-grad-norm 2 --wire-dtype bf16 --init glorot --normalize standard \
                     --augment digits --label-smoothing 0.1 --class-weights 1,2";
        let saved = resolved(&flags.split_whitespace().collect::<Vec<_>>(), None).unwrap();
        assert_eq!(resolved(&[], Some(&saved)), Ok(saved.clone()));
        let flags = ["--momentum", "0.5", "--step-every", "1", "--hidden", "8,4", "--epochs", "9"];
        assert_eq!(resolved(&flags, Some(&saved)), Ok(TrainingConfig { epochs: 9, ..saved.clone() }));
        let other = resolved(&["--optimizer", "adam"], Some(&saved)).unwrap();
        assert_eq!(other.optimizer, OptimizerSpec::Adam(Moments::new(0.0)));
        assert!(resolved(&["--beta1", "0.5"], Some(&saved)).unwrap_err().contains("--beta1"));
    }

    #[test]
    fn a_network_is_chosen_by_name_or_by_its_layers() {
        let by_layers = ["--model", "flatten dense(8) relu dense(4) relu dense"];
        let by_name = ["--model", "mlp", "--hidden", "8,4"];
        assert_eq!(resolved(&by_layers, None), resolved(&by_name, None));
        let error = resolved(&["--model", "flatten dence"], None).unwrap_err();
        assert!(error.contains("layer 2") && error.contains("dence"), "{error}");
    }
}
