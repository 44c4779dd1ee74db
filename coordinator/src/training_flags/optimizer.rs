//! Flags of the optimizer: which one, and its constants.

use super::belongs;
use clap::Args;
use clap::builder::PossibleValuesParser;
use common::train::config::TrainingConfig;
use common::train::optim::{Decayed, Lion, Moments, OptimizerSpec, RmsProp};

/// The optimizer, and its constants.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Training")]
pub struct OptimizerFlags {
    /// Optimizer [default: adam]
    #[arg(long, env = "LOCKSTEP_OPTIMIZER", value_parser = PossibleValuesParser::new(["sgd", "adam", "adamw", "rmsprop", "lion"]))]
    pub optimizer: Option<String>,
    /// Momentum factor of sgd and rmsprop [default: 0.9; rmsprop: 0]
    #[arg(long, env = "LOCKSTEP_MOMENTUM")]
    pub momentum: Option<f64>,
    /// Nesterov momentum for sgd
    #[arg(long, env = "LOCKSTEP_NESTEROV")]
    pub nesterov: bool,
    /// L2 penalty, added to the gradient (sgd, adam, rmsprop: of all tensors) or decoupled from it (adamw,
    /// lion: not of biases and norms) [default: 0; adamw: 0.01]
    #[arg(long, env = "LOCKSTEP_WEIGHT_DECAY")]
    pub weight_decay: Option<f64>,
    /// With adamw and lion: weight decay of biases and of the scales and shifts of norms too, which are the
    /// tensors of one dimension
    #[arg(long, env = "LOCKSTEP_DECAY_ALL")]
    pub decay_all: bool,
    /// Decay rate of the first moment, for adam, adamw and lion [default: 0.9]
    #[arg(long, env = "LOCKSTEP_BETA1")]
    pub beta1: Option<f64>,
    /// Decay rate of the second moment, for adam and adamw, and of lion's momentum [default: 0.999; lion:
    /// 0.99]
    #[arg(long, env = "LOCKSTEP_BETA2")]
    pub beta2: Option<f64>,
    /// Decay rate of rmsprop's mean square [default: 0.99]
    #[arg(long, env = "LOCKSTEP_ALPHA")]
    pub alpha: Option<f64>,
    /// Term added to the denominator of adam, adamw and rmsprop [default: 1e-8]
    #[arg(long, env = "LOCKSTEP_EPS")]
    pub eps: Option<f64>,
}

impl OptimizerFlags {
    /// The optimizer, and what its weight decay is for. What is not given comes from `base`, if that has the
    /// same optimizer, or has its default. `first_momentum` is the schedule's, where it moves the momentum.
    ///
    /// # Errors
    /// When a flag is set that the chosen optimizer does not have.
    pub(super) fn resolve(
        &self,
        base: Option<&TrainingConfig>,
        first_momentum: Option<f64>,
    ) -> Result<(OptimizerSpec, Decayed), String> {
        let name = self.optimizer.as_deref().or(base.map(|base| base.optimizer.name())).unwrap_or("adam");
        self.refuse_foreign(name)?;
        let base = base.filter(|base| base.optimizer.name() == name);
        let spec = self.set(base.map_or_else(|| default(name), |base| base.optimizer));
        let decayed = match base {
            _ if self.decay_all || !spec.is_decay_decoupled() => Decayed::All,
            Some(base) => base.decayed,
            None => Decayed::Weights,
        };
        let Some(first) = first_momentum else { return Ok((spec, decayed)) };
        for (flag, is_set) in [("--momentum", self.momentum.is_some()), ("--beta1", self.beta1.is_some())] {
            if is_set {
                return Err(format!(
                    "{flag} has no meaning where --schedule one-cycle moves it; --cycle-momentum LOW..HIGH says from where \
                     to where, and --cycle-momentum constant leaves it"
                ));
            }
        }
        Ok((spec.with_momentum(first), decayed))
    }

    /// An error if a flag is set that the optimizer of that name does not have.
    fn refuse_foreign(&self, name: &str) -> Result<(), String> {
        for (flag, is_set, owners, text) in [
            ("--momentum", self.momentum.is_some(), &["sgd", "rmsprop"][..], "sgd or rmsprop"),
            ("--nesterov", self.nesterov, &["sgd"], "sgd"),
            ("--decay-all", self.decay_all, &["adamw", "lion"], "adamw or lion"),
            ("--beta1", self.beta1.is_some(), &["adam", "adamw", "lion"], "adam, adamw or lion"),
            ("--beta2", self.beta2.is_some(), &["adam", "adamw", "lion"], "adam, adamw or lion"),
            ("--alpha", self.alpha.is_some(), &["rmsprop"], "rmsprop"),
            ("--eps", self.eps.is_some(), &["adam", "adamw", "rmsprop"], "adam, adamw or rmsprop"),
        ] {
            belongs(flag, is_set && !owners.contains(&name), &format!("--optimizer {text}"))?;
        }
        Ok(())
    }

    /// `spec` with the constants that are given.
    fn set(&self, mut spec: OptimizerSpec) -> OptimizerSpec {
        let put = |place: &mut f64, given: Option<f64>| *place = given.unwrap_or(*place);
        match &mut spec {
            OptimizerSpec::Sgd { momentum, nesterov, .. } => {
                put(momentum, self.momentum);
                *nesterov |= self.nesterov;
            }
            OptimizerSpec::Adam(moments) | OptimizerSpec::AdamW(moments) => {
                put(&mut moments.beta1, self.beta1);
                put(&mut moments.beta2, self.beta2);
                put(&mut moments.eps, self.eps);
            }
            OptimizerSpec::RmsProp(rmsprop) => {
                put(&mut rmsprop.alpha, self.alpha);
                put(&mut rmsprop.eps, self.eps);
                put(&mut rmsprop.momentum, self.momentum);
            }
            OptimizerSpec::Lion(lion) => {
                put(&mut lion.beta1, self.beta1);
                put(&mut lion.beta2, self.beta2);
            }
        }
        spec.with_weight_decay(self.weight_decay.unwrap_or(spec.weight_decay()))
    }
}

/// The optimizer of that name, with its default constants.
fn default(name: &str) -> OptimizerSpec {
    match name {
        "sgd" => OptimizerSpec::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 },
        "adamw" => OptimizerSpec::AdamW(Moments::new(0.01)),
        "rmsprop" => OptimizerSpec::RmsProp(RmsProp::default()),
        "lion" => OptimizerSpec::Lion(Lion::default()),
        _ => OptimizerSpec::Adam(Moments::new(0.0)),
    }
}

/// The default learning rate of an optimizer.
pub(super) fn default_lr(spec: &OptimizerSpec) -> f64 {
    match spec {
        OptimizerSpec::Sgd { .. } => 0.05,
        OptimizerSpec::Adam(_) => 0.002,
        OptimizerSpec::AdamW(_) => 0.001,
        OptimizerSpec::RmsProp(_) => 0.01,
        OptimizerSpec::Lion(_) => 0.0001,
    }
}
