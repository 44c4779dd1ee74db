//! What a run says at its start of settings that it has worked out by itself.

use super::TrainingFlags;
use super::optimizer::default_lr;
use super::schedule::Scaled;
use common::train::config::RunConfig;
use common::train::optim::Decayed;

impl TrainingFlags {
    /// A line for each setting of `config` that was worked out and is no plain default.
    #[must_use]
    pub fn remarks(&self, config: &RunConfig) -> Vec<String> {
        let training = config.training();
        let scaled = self.schedule.scaled(default_lr(&training.optimizer), training.batch_size);
        let scaled = scaled.map(|Scaled { lr, base, result }| {
            format!("learning rate {lr} x {} / {base} = {result}", training.batch_size)
        });
        let decay = training.optimizer.weight_decay();
        let spared = training.param_groups.spared(config.model().layout());
        let applies = training.decayed == Decayed::Weights && decay > 0.0 && spared > 0;
        let spared = applies.then(|| {
            format!(
                "weight decay {decay} is not for the {spared} tensors of one dimension (biases, norms); --decay-all decays \
                 them too"
            )
        });
        scaled.into_iter().chain(spared).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use common::data::classes::ClassNames;
    use common::data::digits::SPEC;
    use common::train::config::DataIdentity;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        training: TrainingFlags,
    }

    fn remarks(flags: &str) -> Vec<String> {
        let words = ["program", "--model", "flatten dense(8) layernorm relu dense"];
        let flags = Flags::try_parse_from(words.into_iter().chain(flags.split_whitespace())).unwrap();
        let data = DataIdentity {
            name: "digits".into(),
            digest: "00".into(),
            samples: 600,
            spec: SPEC,
            classes: ClassNames::numbers(SPEC.classes()),
        };
        let config = RunConfig::new(flags.training.resolve(None).unwrap(), data).unwrap();
        flags.training.remarks(&config)
    }

    #[test]
    fn what_was_worked_out_is_said_and_nothing_else() {
        for flags in
            ["", "--optimizer adam --weight-decay 0.1", "--optimizer adamw --decay-all", "--optimizer lion"]
        {
            assert_eq!(remarks(flags), Vec::<String>::new(), "{flags}");
        }
        let scaled = remarks("--batch-size 512 --scale-lr 128");
        assert_eq!(scaled, ["learning rate 0.002 x 512 / 128 = 0.008"]);
        let both = remarks("--optimizer lion --weight-decay 0.5 --scale-lr 32");
        assert!(both[0].starts_with("learning rate 0.0001 x 128 / 32"), "{both:?}");
        assert!(both[1].contains("weight decay 0.5 is not for the 4 tensors"), "{both:?}");
        let chosen = remarks("--optimizer adamw --param-groups fc*.bias(weight_decay=0.5)");
        assert!(chosen[0].contains("the 2 tensors of one dimension"), "{chosen:?}");
    }
}
