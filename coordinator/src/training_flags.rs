//! Flags for the training settings, and their conversion to a configuration.
//!
//! A flag that is not given has its default, or the value of the checkpoint that `--resume FOLDER` names.
//! Given flags must agree with that checkpoint, which is checked where checkpoints are read.

mod compression;
mod model_file;
mod objective;
mod optimizer;
mod remarks;
mod schedule;
mod transfer;
mod val_split;

pub use compression::CompressionFlags;
pub use objective::{ClassWeightsChoice, ObjectiveFlags};
pub use optimizer::OptimizerFlags;
pub use schedule::ScheduleFlags;
pub use transfer::TransferFlags;
pub use val_split::ValSplit;

use self::optimizer::default_lr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use common::data::normalize::Normalization;
use common::model::architecture::Layers;
use common::model::params::Init;
use common::model::zoo;
use common::reduce::precision::Precision;
use common::text::TextError;
use common::train::average::Averaging;
use common::train::config::TrainingConfig;
use common::train::optim::Groups;
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
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub optimizer: OptimizerFlags,
    /// Tensors with optimizer settings of their own, by name:
    /// "conv*(frozen) *.bias(lr_factor=2,weight_decay=0)"; the first group that matches is a tensor's own
    /// [default: none]
    #[arg(long, value_name = "PATTERN(SETTING,...) ...", env = "LOCKSTEP_PARAM_GROUPS")]
    pub param_groups: Option<Groups>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub schedule: ScheduleFlags,
    /// Average the weights as a second version, which is validated and tested too: ema(DECAY) over the steps,
    /// as ema(0.999), or swa(EPOCH) over the ends of the epochs from that one on [default: none]
    #[arg(long, value_name = "ema(DECAY)|swa(EPOCH)|none", env = "LOCKSTEP_AVERAGE")]
    pub average: Option<Averaging>,
    /// End the run after so many epochs without a better validation accuracy, and keep and test the best
    /// weights too [default: never]
    #[arg(long, value_name = "EPOCHS", env = "LOCKSTEP_PATIENCE")]
    pub patience: Option<u64>,
    /// Largest L2 norm of a gradient; a longer one is scaled down to it [default: no limit]
    #[arg(long, value_name = "NORM", env = "LOCKSTEP_CLIP_GRAD_NORM")]
    pub clip_grad_norm: Option<f64>,
    /// Data type of gradients on the wire and in sums; bf16 takes half the bytes [default: f32]
    #[arg(long, env = "LOCKSTEP_WIRE_DTYPE", value_parser = one_of::<Precision>(["f32", "bf16"]))]
    pub wire_dtype: Option<Precision>,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub transfer: TransferFlags,
    #[command(flatten)]
    #[allow(missing_docs, reason = "documented by its type")]
    pub compression: CompressionFlags,
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
    /// the data is settled by [`held_out`](Self::held_out), and which first values come from a file where it
    /// is read.
    ///
    /// # Errors
    /// When a flag is set that the chosen network, optimizer or schedule does not have.
    pub fn resolve(&self, base: Option<&TrainingConfig>) -> Result<TrainingConfig, String> {
        self.transfer.check()?;
        let (augment, objective) = self.objective.resolve(base);
        let before = base.map(|base| base.schedule);
        let moved = self.schedule.shape(before.map(|before| before.shape))?.first_momentum();
        let (optimizer, decayed) = self.optimizer.resolve(base, moved)?;
        let batch_size = self.batch_size.or(base.map(|base| base.batch_size)).unwrap_or(128);
        Ok(TrainingConfig {
            val_split: match self.val_split {
                Some(ValSplit::Samples(held_out)) => held_out,
                _ => base.map_or(0, |base| base.val_split),
            },
            per_class: self.transfer.per_class.or(base.and_then(|base| base.per_class)),
            self_training: self.transfer.self_training(base)?,
            normalize: match (&self.normalize, base.map(|base| &base.normalize)) {
                // Its numbers are known already.
                (Some(Normalization::Standard(_)) | None, Some(saved @ Normalization::Standard(_))) => {
                    saved.clone()
                }
                (Some(chosen), _) => chosen.clone(),
                (None, saved) => saved.cloned().unwrap_or_default(),
            },
            model: self.model(base)?,
            init_from: base.and_then(|base| base.init_from.clone()),
            init: self.init.or(base.map(|base| base.init)).unwrap_or(Init::He),
            seed: self.seed.or(base.map(|base| base.seed)).unwrap_or(1),
            augment,
            objective,
            batch_size,
            micro_batch: self.micro_batch.or(base.map(|base| base.micro_batch)).unwrap_or(32),
            epochs: self.epochs.or(base.map(|base| base.epochs)).unwrap_or(5),
            optimizer,
            decayed,
            param_groups: self.transfer.groups(self.param_groups.as_ref(), base),
            compression: self.compression.resolve(base)?,
            schedule: self.schedule.resolve(before, default_lr(&optimizer), batch_size)?,
            average: self.average.or(base.map(|base| base.average)).unwrap_or_default(),
            patience: self.patience.or(base.and_then(|base| base.patience)),
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
}

/// An error if the flag is set although it would have no effect.
fn belongs(flag: &str, is_set: bool, to: &str) -> Result<(), String> {
    if is_set { Err(format!("{flag} has a meaning with {to} only")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use common::train::optim::{Decayed, Lion, Moments, OptimizerSpec, RmsProp};
    use common::train::schedule::{Momentum, OneCycle, Shape};

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
                     --augment digits --label-smoothing 0.1 --class-weights 1,2 --average ema(0.9) --patience 3";
        let saved = resolved(&flags.split_whitespace().collect::<Vec<_>>(), None).unwrap();
        assert_eq!(resolved(&[], Some(&saved)), Ok(saved.clone()));
        let flags = ["--momentum", "0.5", "--step-every", "1", "--hidden", "8,4", "--epochs", "9"];
        assert_eq!(resolved(&flags, Some(&saved)), Ok(TrainingConfig { epochs: 9, ..saved.clone() }));
        let other = resolved(&["--optimizer", "adam"], Some(&saved)).unwrap();
        assert_eq!(other.optimizer, OptimizerSpec::Adam(Moments::new(0.0)));
        assert!(resolved(&["--beta1", "0.5"], Some(&saved)).unwrap_err().contains("--beta1"));
    }

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    #[test]
    fn every_optimizer_and_schedule_has_its_flags_and_resumes_with_them() {
        for flags in [
            "--optimizer rmsprop --alpha 0.9 --eps 1e-6 --momentum 0.5 --weight-decay 0.1",
            "--optimizer lion --beta1 0.8 --beta2 0.9 --weight-decay 0.1 --decay-all",
            "--optimizer adamw --eps 1e-6",
            "--schedule one-cycle --cycle-rise 0.2 --cycle-div 5 --cycle-final-div 9 --cycle-momentum 0.5..0.75",
            "--schedule one-cycle --optimizer rmsprop",
            "--schedule one-cycle --cycle-momentum constant --beta1 0.5",
            "--schedule cosine-restarts --restart-every 3 --restart-factor 4 --warmup-steps 5",
            "--schedule plateau --plateau-factor 0.5 --plateau-patience 2 --plateau-threshold 0.1 --min-lr 1e-6",
        ] {
            let saved = resolved(&words(flags), None).unwrap();
            assert_eq!(saved.validate(), Ok(()), "{flags}");
            assert_eq!(resolved(&[], Some(&saved)), Ok(saved.clone()), "{flags}");
            assert_eq!(resolved(&words(flags), Some(&saved)), Ok(saved.clone()), "{flags}");
            assert_eq!(TrainingConfig::from_fields(&saved.fields()), Ok(saved), "{flags}");
        }
        let rate = |flags: &str| resolved(&words(flags), None).unwrap().schedule.base;
        let defaults = ["sgd", "adamw", "rmsprop", "lion"].map(|name| rate(&format!("--optimizer {name}")));
        assert_eq!(defaults, [0.05, 0.001, 0.01, 0.0001]);
        let optimizer = |flags: &str| resolved(&words(flags), None).unwrap().optimizer;
        assert_eq!(optimizer("--optimizer lion"), OptimizerSpec::Lion(Lion::default()));
        let moved = RmsProp { momentum: 0.95, ..RmsProp::default() };
        assert_eq!(optimizer("--optimizer rmsprop --schedule one-cycle"), OptimizerSpec::RmsProp(moved));
        let still = resolved(&words("--schedule one-cycle --cycle-momentum constant"), None).unwrap();
        let cycle = OneCycle { momentum: Momentum::Constant, ..OneCycle::default() };
        assert_eq!(still.schedule.shape, Shape::OneCycle(cycle));
        assert_eq!(still.optimizer, OptimizerSpec::Adam(Moments::new(0.0)));
    }

    #[test]
    fn flags_without_a_meaning_are_refused_by_name() {
        for (flags, named) in [
            ("--optimizer adam --decay-all", "--decay-all has a meaning with --optimizer adamw or lion only"),
            (
                "--optimizer sgd --eps 1e-6",
                "--eps has a meaning with --optimizer adam, adamw or rmsprop only",
            ),
            ("--optimizer lion --eps 1e-6", "--eps"),
            ("--optimizer lion --momentum 0.5", "--momentum"),
            ("--optimizer adam --alpha 0.5", "--alpha has a meaning with --optimizer rmsprop only"),
            ("--optimizer rmsprop --beta2 0.5", "--beta2"),
            (
                "--schedule one-cycle --warmup-steps 5",
                "--warmup-steps has no meaning with --schedule one-cycle",
            ),
            (
                "--schedule one-cycle --beta1 0.5",
                "--beta1 has no meaning where --schedule one-cycle moves it",
            ),
            ("--schedule one-cycle --optimizer sgd --momentum 0.5", "--momentum has no meaning"),
            ("--schedule one-cycle --cycle-momentum 0.5", "constant and LOW..HIGH"),
            ("--cycle-rise 0.5", "--cycle-rise has a meaning with --schedule one-cycle only"),
            ("--schedule plateau --restart-every 2", "--restart-every"),
            ("--schedule step --min-lr 0.5", "--min-lr has a meaning with --schedule plateau only"),
            ("--scale-lr 0", "--scale-lr"),
        ] {
            let error = resolved(&words(flags), None).unwrap_err();
            assert!(error.contains(named), "{flags}: {error}");
        }
    }

    #[test]
    fn a_scaled_rate_is_scaled_once() {
        let flags = words("--scale-lr 128 --batch-size 512");
        let saved = resolved(&flags, None).unwrap();
        assert_eq!(saved.schedule.base, 0.008);
        for again in [&flags[..], &[], &["--scale-lr", "128"]] {
            assert_eq!(resolved(again, Some(&saved)), Ok(saved.clone()), "{again:?}");
        }
        let fewer = resolved(&words("--scale-lr 256 --lr 0.5 --optimizer sgd"), None).unwrap();
        assert_eq!(fewer.schedule.base, 0.25);
    }

    #[test]
    fn decoupled_decay_spares_biases_and_norms_unless_all_is_said() {
        let decayed = |flags: &str, base| resolved(&words(flags), base).unwrap().decayed;
        for (flags, expected) in [
            ("--optimizer adamw", Decayed::Weights),
            ("--optimizer lion", Decayed::Weights),
            ("--optimizer adamw --decay-all", Decayed::All),
            ("--optimizer sgd", Decayed::All),
            ("--optimizer adam", Decayed::All),
            ("--optimizer rmsprop", Decayed::All),
        ] {
            assert_eq!(decayed(flags, None), expected, "{flags}");
        }
        let all = resolved(&words("--optimizer adamw --decay-all"), None).unwrap();
        assert_eq!(decayed("", Some(&all)), Decayed::All);
        assert_eq!(decayed("--optimizer lion", Some(&all)), Decayed::Weights);
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
