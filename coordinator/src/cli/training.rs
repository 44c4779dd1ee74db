//! The flags that the numbers depend on.

use clap::{Args, ValueEnum};
use common::model::ModelSpec;
use common::model::params::Init;
use common::reduce::precision::Precision;
use common::train::config::RunConfig;
use common::train::optim::{Moments, OptimizerSpec};
use common::train::schedule::{Schedule, Shape};

/// Flags of the training; the same values give the same bits.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Training")]
pub struct Training {
    /// Network: cnn (three convolutions and two dense layers), mlp (dense layers) or linear (one dense layer)
    #[arg(long, env = "LOCKSTEP_MODEL", value_enum, default_value_t = ModelKind::Cnn)]
    pub model: ModelKind,
    /// mlp: widths of the hidden layers, from input to output [default: 512,256]
    #[arg(long, value_name = "WIDTH,...", env = "LOCKSTEP_HIDDEN", value_delimiter = ',')]
    pub hidden: Vec<usize>,
    /// Weight initialisation
    #[arg(long, env = "LOCKSTEP_INIT", value_enum, default_value_t = InitKind::He)]
    pub init: InitKind,
    /// Random seed for initial weights, validation split and shuffling
    #[arg(long, env = "LOCKSTEP_SEED", default_value_t = 1)]
    pub seed: u64,
    /// Number of samples per optimizer step, over all workers
    #[arg(long, value_name = "SAMPLES", env = "LOCKSTEP_BATCH_SIZE", default_value_t = 128)]
    pub batch_size: u32,
    /// Number of samples per micro-batch, the unit of work
    #[arg(long, value_name = "SAMPLES", env = "LOCKSTEP_MICRO_BATCH", default_value_t = 32)]
    pub micro_batch: u32,
    /// Number of passes over the training samples
    #[arg(long, env = "LOCKSTEP_EPOCHS", default_value_t = 5)]
    pub epochs: u64,
    /// Optimization algorithm
    #[arg(long, env = "LOCKSTEP_OPTIMIZER", value_enum, default_value_t = OptimizerKind::Adam)]
    pub optimizer: OptimizerKind,
    /// sgd: momentum factor [default: 0.9]
    #[arg(long, env = "LOCKSTEP_MOMENTUM")]
    pub momentum: Option<f64>,
    /// sgd: use Nesterov momentum
    #[arg(long, env = "LOCKSTEP_NESTEROV")]
    pub nesterov: bool,
    /// Weight decay: L2 penalty (sgd, adam) or decoupled (adamw) [default: 0; adamw: 0.01]
    #[arg(long, env = "LOCKSTEP_WEIGHT_DECAY")]
    pub weight_decay: Option<f64>,
    /// adam, adamw: decay rate of the first moment [default: 0.9]
    #[arg(long, env = "LOCKSTEP_BETA1")]
    pub beta1: Option<f64>,
    /// adam, adamw: decay rate of the second moment [default: 0.999]
    #[arg(long, env = "LOCKSTEP_BETA2")]
    pub beta2: Option<f64>,
    /// Peak learning rate [default: 0.001; sgd: 0.05]
    #[arg(long, env = "LOCKSTEP_LR")]
    pub lr: Option<f64>,
    /// Learning-rate schedule
    #[arg(long, env = "LOCKSTEP_SCHEDULE", value_enum, default_value_t = ScheduleKind::Cosine)]
    pub schedule: ScheduleKind,
    /// step: number of epochs between two decays [default: 1]
    #[arg(long, value_name = "EPOCHS", env = "LOCKSTEP_STEP_EVERY")]
    pub step_every: Option<u64>,
    /// step: factor of each decay [default: 0.5]
    #[arg(long, value_name = "FACTOR", env = "LOCKSTEP_STEP_FACTOR")]
    pub step_factor: Option<f64>,
    /// Number of steps of linear learning-rate warm-up
    #[arg(long, value_name = "STEPS", env = "LOCKSTEP_WARMUP_STEPS", default_value_t = 0)]
    pub warmup_steps: u64,
    /// Maximum L2 norm of a step's gradient, above which it is scaled down [default: no limit]
    #[arg(long, value_name = "NORM", env = "LOCKSTEP_CLIP_GRAD_NORM")]
    pub clip_grad_norm: Option<f64>,
    /// Data type of gradients on the wire and of their sums; bf16 takes half the bytes
    #[arg(long, env = "LOCKSTEP_WIRE_DTYPE", value_enum, default_value_t = WireDtype::F32)]
    pub wire_dtype: WireDtype,
}

/// The value of `--model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the flag's help describes them")]
pub enum ModelKind {
    Cnn,
    Mlp,
    Linear,
}

/// The value of `--init`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InitKind {
    /// He et al. 2015, for ReLU
    He,
    /// Glorot and Bengio 2010
    Glorot,
}

/// The value of `--optimizer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the flag's values are their names in the field")]
pub enum OptimizerKind {
    Sgd,
    Adam,
    #[value(name = "adamw")]
    AdamW,
}

/// The value of `--wire-dtype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the flag's values are their names in the field")]
pub enum WireDtype {
    F32,
    Bf16,
}

/// The value of `--schedule`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScheduleKind {
    /// Constant learning rate
    Constant,
    /// Cosine decay to 0 at the end of the run, so --epochs becomes part of the run's identity
    Cosine,
    /// Decay by --step-factor every --step-every epochs
    Step,
}

impl Training {
    /// The configuration, in which the fields of the data set are empty.
    ///
    /// # Errors
    /// When a flag is set that the chosen model, optimizer or schedule does not have.
    pub(super) fn config(&self) -> Result<RunConfig, String> {
        let (optimizer, lr) = self.optimizer()?;
        Ok(RunConfig {
            dataset: String::new(),
            dataset_digest: String::new(),
            samples: 0,
            val_split: 0,
            model: self.model()?,
            init: match self.init {
                InitKind::He => Init::He,
                InitKind::Glorot => Init::Glorot,
            },
            seed: self.seed,
            batch_size: self.batch_size,
            micro_batch: self.micro_batch,
            epochs: self.epochs,
            optimizer,
            schedule: Schedule {
                base: self.lr.unwrap_or(lr),
                shape: self.shape()?,
                warmup_steps: self.warmup_steps,
            },
            clip_grad_norm: self.clip_grad_norm,
            wire_dtype: match self.wire_dtype {
                WireDtype::F32 => Precision::F32,
                WireDtype::Bf16 => Precision::Bf16,
            },
        })
    }

    fn model(&self) -> Result<ModelSpec, String> {
        if self.model != ModelKind::Mlp {
            belongs("--hidden", !self.hidden.is_empty(), "--model mlp")?;
        }
        Ok(match self.model {
            ModelKind::Cnn => ModelSpec::Cnn,
            ModelKind::Linear => ModelSpec::Linear,
            ModelKind::Mlp if self.hidden.is_empty() => ModelSpec::Mlp { hidden: vec![512, 256] },
            ModelKind::Mlp => ModelSpec::Mlp { hidden: self.hidden.clone() },
        })
    }

    /// The optimizer and its default learning rate.
    fn optimizer(&self) -> Result<(OptimizerSpec, f64), String> {
        if self.optimizer == OptimizerKind::Sgd {
            belongs("--beta1", self.beta1.is_some(), "--optimizer adam or adamw")?;
            belongs("--beta2", self.beta2.is_some(), "--optimizer adam or adamw")?;
            let momentum = self.momentum.unwrap_or(0.9);
            let weight_decay = self.weight_decay.unwrap_or(0.0);
            return Ok((OptimizerSpec::Sgd { momentum, nesterov: self.nesterov, weight_decay }, 0.05));
        }
        belongs("--momentum", self.momentum.is_some(), "--optimizer sgd")?;
        belongs("--nesterov", self.nesterov, "--optimizer sgd")?;
        let is_adam = self.optimizer == OptimizerKind::Adam;
        let mut moments = Moments::new(self.weight_decay.unwrap_or(if is_adam { 0.0 } else { 0.01 }));
        moments.beta1 = self.beta1.unwrap_or(moments.beta1);
        moments.beta2 = self.beta2.unwrap_or(moments.beta2);
        Ok((if is_adam { OptimizerSpec::Adam(moments) } else { OptimizerSpec::AdamW(moments) }, 0.001))
    }

    fn shape(&self) -> Result<Shape, String> {
        if self.schedule != ScheduleKind::Step {
            belongs("--step-every", self.step_every.is_some(), "--schedule step")?;
            belongs("--step-factor", self.step_factor.is_some(), "--schedule step")?;
        }
        Ok(match self.schedule {
            ScheduleKind::Constant => Shape::Constant,
            ScheduleKind::Cosine => Shape::Cosine,
            ScheduleKind::Step => Shape::Step {
                every_epochs: self.step_every.unwrap_or(1),
                factor: self.step_factor.unwrap_or(0.5),
            },
        })
    }
}

/// Refuses a flag that would have no effect.
fn belongs(flag: &str, is_set: bool, to: &str) -> Result<(), String> {
    if is_set { Err(format!("{flag} has a meaning with {to} only")) } else { Ok(()) }
}
