mod properties;

use super::*;
use crate::data::classes::ClassNames;
use crate::data::digits::SPEC;
use crate::data::normalize::{Channel, Normalization};
use crate::train::average::Averaging;
use crate::train::distil::{Blend, Distillation};
use crate::train::objective::{ClassWeights, Objective};
use crate::train::optim::{Lion, Moments, RmsProp};
use crate::train::schedule::{Momentum, OneCycle, Plateau, Shape};

type Change = fn(&mut TrainingConfig);

fn training() -> TrainingConfig {
    TrainingConfig {
        val_split: 100,
        epochs: 3,
        schedule: Schedule { base: 1e-3, shape: Shape::Constant, warmup_steps: 0 },
        ..TrainingConfig::new("cnn".parse().unwrap())
    }
}

fn data() -> DataIdentity {
    DataIdentity {
        name: "digits".into(),
        digest: "00".into(),
        samples: 1000,
        spec: SPEC,
        classes: ClassNames::numbers(SPEC.classes()),
    }
}

fn standard(mean: f64) -> Normalization {
    Normalization::Standard(vec![Channel::new(mean, 0.5).unwrap()])
}

fn init_from(digit: &str, reset: &str) -> InitFrom {
    format!("sha256({}{reset})", digit.repeat(64)).parse().unwrap()
}

fn learn_from_the_rest(config: &mut TrainingConfig, self_training: SelfTraining) {
    (config.per_class, config.self_training) = (Some(3), Some(self_training));
}

fn keep_zeros(config: &mut TrainingConfig, mask: &str) {
    config.init_from = Some(init_from("1", ""));
    config.compression.mask = Some(mask.parse().unwrap());
}

fn distil(config: &mut TrainingConfig, digit: &str, blend: Blend) {
    let teacher = format!("sha256({})", digit.repeat(64)).parse().unwrap();
    config.compression.distillation = Some(Distillation { teacher, blend });
}

fn changed(change: impl FnOnce(&mut TrainingConfig)) -> Result<RunConfig, ConfigError> {
    let mut training = training();
    change(&mut training);
    RunConfig::new(training, data())
}

#[test]
fn the_fingerprint_changes_with_every_field_that_counts() {
    let reference = changed(|_| ()).unwrap().fingerprint();
    let changes: [Change; 32] = [
        |c| c.normalize = standard(0.5),
        |c| c.normalize = standard(0.25),
        |c| c.val_split = 99,
        |c| c.per_class = Some(3),
        |c| learn_from_the_rest(c, SelfTraining::default()),
        |c| learn_from_the_rest(c, SelfTraining { threshold: 0.9, ..SelfTraining::default() }),
        |c| learn_from_the_rest(c, SelfTraining { from: 3, ..SelfTraining::default() }),
        |c| learn_from_the_rest(c, SelfTraining { labelled_share: 0.2, ..SelfTraining::default() }),
        |c| c.init_from = Some(init_from("1", "")),
        |c| c.init_from = Some(init_from("1", ",fc1.bias")),
        |c| keep_zeros(c, "*.weight"),
        |c| keep_zeros(c, "fc*.weight"),
        |c| c.compression.quantise_aware = true,
        |c| distil(c, "1", Blend::default()),
        |c| distil(c, "2", Blend::default()),
        |c| distil(c, "1", Blend { weight: 0.8, ..Blend::default() }),
        |c| distil(c, "1", Blend { temperature: 3.0, ..Blend::default() }),
        |c| c.model = "linear".parse().unwrap(),
        |c| c.init = Init::Glorot,
        |c| c.seed = 2,
        |c| c.augment = "rotate(3)".parse().unwrap(),
        |c| c.objective.label_smoothing = 0.1,
        |c| c.average = Averaging::Ema { decay: 0.9 },
        |c| c.patience = Some(2),
        |c| c.objective.class_weights = ClassWeights::balanced(&[1; 10]),
        |c| c.decayed = Decayed::Weights,
        |c| c.param_groups = "fc1.*(frozen)".parse().unwrap(),
        |c| c.micro_batch = 16,
        |c| c.schedule.base = 2e-3,
        |c| c.clip_grad_norm = Some(1.0),
        |c| c.wire_dtype = Precision::Bf16,
        |c| c.schedule.shape = Shape::Cosine,
    ];
    let mut fingerprints = vec![reference.clone()];
    for (i, change) in changes.into_iter().enumerate() {
        let fingerprint = changed(change).unwrap().fingerprint();
        assert!(!fingerprints.contains(&fingerprint), "change {i}");
        fingerprints.push(fingerprint);
    }
    let other_data = DataIdentity { digest: "01".into(), ..data() };
    assert_ne!(RunConfig::new(training(), other_data).unwrap().fingerprint(), reference);
}

#[test]
fn the_same_data_under_another_name_is_the_same_run() {
    let moved = RunConfig::new(training(), DataIdentity { name: "/elsewhere".into(), ..data() }).unwrap();
    let here = changed(|_| ()).unwrap();
    assert_eq!(moved.fingerprint(), here.fingerprint());
    assert_eq!(difference(&moved.fields(), &here.fields()), []);
}

#[test]
fn classes_under_other_names_are_the_same_run() {
    let renamed = (0..10).map(|class| format!("class \u{1b}[31m \" {class}"));
    let renamed = DataIdentity { classes: ClassNames::new(renamed), ..data() };
    let renamed = RunConfig::new(training(), renamed).unwrap();
    let before = changed(|_| ()).unwrap();
    assert_eq!(renamed.fingerprint(), before.fingerprint());
    assert_eq!(difference(&renamed.fields(), &before.fields()), []);
    assert_eq!(RunConfig::from_fields(&renamed.fields()).unwrap().data().classes, renamed.data().classes);
    let too_few = DataIdentity { classes: ClassNames::numbers(9), ..data() };
    let message = RunConfig::new(training(), too_few).unwrap_err().to_string();
    assert!(message.contains("class-names is 9; it must be one for each"), "{message}");
}

#[test]
fn few_samples_of_each_class_make_short_epochs() {
    let few = |count| changed(|c| (c.per_class, c.batch_size) = (Some(count), 40));
    let config = few(5).unwrap();
    assert_eq!((config.train_samples(), config.length().epoch), (50, 2));
    assert!(few(90).is_ok());
    for (count, message) in
        [(91, "per-class is 91; it must be 1 to 90"), (0, "per-class is 0"), (u32::MAX, "per-class is")]
    {
        let error = few(count).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn with_pseudo_labels_an_epoch_is_as_long_as_with_all_labels() {
    let learning = |per_class, threshold, from, labelled_share| {
        changed(|c| {
            let self_training = SelfTraining { threshold, from, labelled_share };
            (c.per_class, c.self_training, c.batch_size) = (per_class, Some(self_training), 40);
        })
    };
    let config = learning(Some(5), 0.9, 1, 0.0).unwrap();
    assert_eq!((config.train_samples(), config.unlabelled(), config.length().epoch), (900, 850, 23));
    assert_eq!(changed(|c| c.per_class = Some(5)).unwrap().unlabelled(), 0);
    for (refused, message) in [
        (learning(None, 0.9, 1, 0.1), "pseudo-labels is 0.9; it must be beside a per-class"),
        (learning(Some(90), 0.9, 1, 0.1), "pseudo-labels is 0.9; it must be beside a per-class"),
        (learning(Some(91), 0.9, 1, 0.1), "per-class is 91"),
        (learning(Some(5), 1.0, 1, 0.1), "pseudo-labels is 1; it must be 0 or more and below 1"),
        (learning(Some(5), f64::NAN, 1, 0.1), "pseudo-labels is NaN"),
        (learning(Some(5), 0.9, 0, 0.1), "pseudo-from is 0"),
        (learning(Some(5), 0.9, 1, 1.0), "labelled-share is 1"),
        (learning(Some(5), 0.9, 1, -0.1), "labelled-share is -0.1"),
    ] {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_run_without_first_values_and_few_samples_has_no_fields_of_them() {
    let fields = changed(|_| ()).unwrap().fields();
    let some = ["init_from", "per_class", "pseudo_labels", "pseudo_from", "labelled_share", "mask"];
    let some = some.into_iter().chain(["quantise_aware"]).chain(DISTIL_FIELDS);
    assert!(some.into_iter().all(|name| !fields.contains_key(name)));
    let begun = changed(|c| c.init_from = Some(init_from("1", ""))).unwrap().fields();
    let differences = difference(&begun, &fields);
    assert_eq!(differences.len(), 1);
    assert_eq!((differences[0].0.as_str(), differences[0].2.as_str()), ("init_from", "unset"));
    let error = changed(|c| c.init_from = Some(init_from("1", ",fc9.bias"))).unwrap_err().to_string();
    assert!(error.contains("init-from is sha256(111"), "{error}");
}

#[test]
fn a_mask_is_for_tensors_that_are_trained_and_first_values_that_are_given() {
    let masked = |mask| changed(|c| keep_zeros(c, mask));
    assert_eq!(masked("conv* *.weight").unwrap().fields()["mask"], "conv* *.weight");
    let error = masked("cnv*").unwrap_err().to_string();
    assert!(
        error.starts_with("mask: cnv* matches no tensor that is trained; they are conv1.bias"),
        "{error}"
    );
    let drawn = changed(|c| c.compression.mask = Some("*.weight".parse().unwrap())).unwrap_err().to_string();
    assert!(drawn.starts_with("mask is *.weight: ") && drawn.contains("init-from"), "{drawn}");
}

#[test]
fn a_teachers_share_and_temperature_have_their_ranges() {
    let blended = |weight, temperature| changed(|c| distil(c, "1", Blend { weight, temperature }));
    assert!(blended(1.0, 0.1).is_ok());
    for (blend, message) in [
        (blended(1.5, 4.0), "distil-weight is 1.5; it must be 0 to 1"),
        (blended(f64::NAN, 4.0), "distil-weight is NaN"),
        (blended(0.5, 0.0), "distil-temperature is 0; it must be 0.1 to 100"),
    ] {
        let error = blend.unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
    let mut fields = blended(0.5, 2.0).unwrap().fields();
    fields.remove("distil_weight");
    assert_eq!(RunConfig::from_fields(&fields), Err(FieldError::Missing("distil_weight")));
}

#[test]
fn a_network_by_name_and_by_its_layers_is_the_same_run() {
    let layers = training().model.to_string();
    let by_layers = changed(|c| c.model = layers.parse().unwrap()).unwrap();
    assert_eq!(by_layers.fingerprint(), changed(|_| ()).unwrap().fingerprint());
}

#[test]
fn more_epochs_are_the_same_run_unless_the_schedule_needs_to_know() {
    let longer = |shape| {
        let of = |epochs| {
            changed(|c| {
                c.schedule.shape = shape;
                c.epochs = epochs;
            })
        };
        let [short, long] = [3, 4].map(|epochs| of(epochs).unwrap());
        let is_same = short.fingerprint() == long.fingerprint();
        assert_eq!(is_same, difference(&short.fields(), &long.fields()).is_empty());
        is_same
    };
    for shape in [Shape::Constant, Shape::Plateau(Plateau::default())] {
        assert!(longer(shape), "{shape}");
    }
    let still = OneCycle { momentum: Momentum::Constant, ..OneCycle::default() };
    for shape in [Shape::Cosine, Shape::OneCycle(still)] {
        assert!(!longer(shape), "{shape}");
    }
}

#[test]
fn a_schedule_that_moves_the_momentum_begins_with_the_optimizers() {
    let cycle = OneCycle { momentum: Momentum::Between { low: 0.5, high: 0.9 }, ..OneCycle::default() };
    let with = |beta1| {
        changed(|c| {
            c.schedule.shape = Shape::OneCycle(cycle);
            c.optimizer = OptimizerSpec::Adam(Moments { beta1, ..Moments::new(0.0) });
        })
    };
    let run = with(0.9).unwrap();
    assert_eq!(RunConfig::from_fields(&run.fields()), Ok(run.clone()));
    let message = with(0.95).unwrap_err().to_string();
    assert!(message.contains("momentum (beta1) is 0.95; it must be 0.9"), "{message}");
}

#[test]
fn a_plateau_needs_a_validation() {
    let with = |val_split| {
        changed(|c| {
            c.schedule.shape = Shape::Plateau(Plateau::default());
            c.val_split = val_split;
        })
    };
    assert!(with(1).is_ok());
    let message = with(0).unwrap_err().to_string();
    assert!(message.contains("plateau") && message.contains("val-split is 0"), "{message}");
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let changes: [(&str, Change); 10] = [
        ("normalize", |c| c.normalize = Normalization::Standard(Vec::new())),
        ("val-split", |c| c.val_split = 1000),
        ("batch-size", |c| c.batch_size = 0),
        ("micro-batch", |c| c.micro_batch = 2000),
        ("epochs", |c| c.epochs = 0),
        ("lr", |c| c.schedule.base = f64::NAN),
        ("step-factor", |c| c.schedule.shape = Shape::Step { every_epochs: 1, factor: 2.0 }),
        ("clip-grad-norm", |c| c.clip_grad_norm = Some(0.0)),
        ("param-groups", |c| c.param_groups = "nothing(frozen)".parse().unwrap()),
        ("model", |c| c.model = "flatten dense(11)".parse().unwrap()),
    ];
    for (name, change) in changes {
        let message = changed(change).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
    }
    let large = DataIdentity { spec: DataSpec::new(256, 256, 4, 10).unwrap(), ..data() };
    let leaves_too_large = TrainingConfig { micro_batch: 33, model: "linear".parse().unwrap(), ..training() };
    let message = RunConfig::new(leaves_too_large, large).unwrap_err().to_string();
    assert!(message.contains("micro-batch is 33; it must be at most 32"), "{message}");
}

#[test]
fn fields_of_another_version_or_with_gaps_are_refused() {
    let fields = changed(|_| ()).unwrap().fields();
    let mut other = fields.clone();
    other.insert("numerics_version".into(), "2".into());
    assert_eq!(RunConfig::from_fields(&other), Err(FieldError::Version { got: "2".into() }));
    for name in fields.keys() {
        let mut fields = fields.clone();
        fields.remove(name);
        assert!(RunConfig::from_fields(&fields).is_err(), "without {name}");
    }
}

#[test]
fn differences_name_every_field_on_either_side() {
    let map =
        |pairs: &[(&str, &str)]| pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect::<Fields>();
    let saved = map(&[("lr", "0.1"), ("seed", "1"), ("old", "x")]);
    let current = map(&[("lr", "0.2"), ("seed", "1"), ("new", "y")]);
    let text: Vec<String> =
        difference(&saved, &current).iter().map(|(n, s, c)| format!("{n} {s} {c}")).collect();
    assert_eq!(text, ["lr 0.1 0.2", "new unset y", "old x unset"]);
}

#[test]
fn a_leaf_of_one_sample_is_refused_where_a_layer_normalises_over_samples() {
    let config = |model: &str, batch_size, micro_batch, val_split| {
        let model = model.parse().unwrap();
        RunConfig::new(TrainingConfig { model, batch_size, micro_batch, val_split, ..training() }, data())
    };
    let vector = "flatten dense(8) batchnorm relu dense";
    // 1,000 samples: held out, steps, leaves.
    for (batch_size, micro_batch, val_split, step) in [
        (128, 1, 100, Some(128)),
        (129, 32, 100, Some(129)),
        (90, 30, 9, Some(1)),
        (2000, 27, 1, None),
        (128, 32, 100, None),
    ] {
        let got = config(vector, batch_size, micro_batch, val_split).err();
        let expected = step.map(|step| ConfigError::OneSample { layer: 3, micro_batch, step });
        assert_eq!(got, expected, "{batch_size} {micro_batch}");
        assert!(config("conv(2,3) batchnorm flatten dense", batch_size, micro_batch, val_split).is_ok());
    }
}
