//! Whatever a configuration is, its fields read back, and whatever fields are, reading them ends well.

use super::*;
use proptest::prelude::*;

fn any_optimizer() -> impl Strategy<Value = OptimizerSpec> {
    let share = 0.0..1.0f64;
    let moments = (share.clone(), share.clone(), 1e-12..1.0f64, 0.0..10.0f64)
        .prop_map(|(beta1, beta2, eps, weight_decay)| Moments { beta1, beta2, eps, weight_decay });
    prop_oneof![
        (0.1..1.0f64, any::<bool>(), share.clone()).prop_map(|(momentum, nesterov, weight_decay)| {
            OptimizerSpec::Sgd { momentum, nesterov, weight_decay }
        }),
        moments.clone().prop_map(OptimizerSpec::Adam),
        moments.prop_map(OptimizerSpec::AdamW),
        (share.clone(), 1e-12..1.0f64, share.clone(), share.clone()).prop_map(
            |(alpha, eps, momentum, weight_decay)| {
                OptimizerSpec::RmsProp(RmsProp { alpha, eps, momentum, weight_decay })
            }
        ),
        (share.clone(), share.clone(), share).prop_map(|(beta1, beta2, weight_decay)| {
            OptimizerSpec::Lion(Lion { beta1, beta2, weight_decay })
        }),
    ]
}

fn any_shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Constant),
        Just(Shape::Cosine),
        (1..100u64, 1e-6..1.0f64).prop_map(|(every_epochs, factor)| Shape::Step { every_epochs, factor }),
        (1..100u64, 1..9u64).prop_map(|(epochs, factor)| Shape::CosineRestarts { epochs, factor }),
        (1e-6..1.0f64, 1.0..1e9f64, 1.0..1e9f64).prop_map(|(rise, div, final_div)| {
            Shape::OneCycle(OneCycle { rise, div, final_div, momentum: Momentum::Constant })
        }),
        (1e-6..1.0f64, any::<u64>(), 0.0..1.0f64, 0.0..1e-9f64).prop_map(
            |(factor, patience, threshold, min_lr)| {
                Shape::Plateau(Plateau { factor, patience, threshold, min_lr })
            }
        ),
    ]
}

prop_compose! {
    fn any_config()(
        val_split in 0..1000u32,
        (per_class, labels) in (proptest::option::of(1..100u32), proptest::option::of((0.0..1.0f64, 1..99u64, 0.0..1.0f64))),
        init_from in proptest::option::of(proptest::sample::select(vec!["", ",fc1.bias"])),
        normalize in prop_oneof![Just(Normalization::Unit), (0.0..=1.0f64).prop_map(standard)],
        model in proptest::sample::select(vec!["cnn", "linear", "mlp(3,4)", "flatten gelu layernorm dense"]),
        init in proptest::sample::select(vec![Init::He, Init::Glorot]),
        (seed, batch_size, micro_batch, epochs) in (any::<u64>(), 1..100_000u32, 1..=MICRO_BATCH_MAX, 1..=EPOCHS_MAX),
        optimizer in any_optimizer(),
        (base, shape, warmup_steps) in (1e-9..10.0f64, any_shape(), any::<u64>()),
        decayed in proptest::sample::select(vec![Decayed::All, Decayed::Weights]),
        param_groups in proptest::sample::select(vec!["none", "*.bias(weight_decay=0)", "*.weight(lr_factor=0.3) fc1.*(frozen)"]),
        clip_grad_norm in proptest::option::of(1e-9..1e9f64),
        wire_dtype in proptest::sample::select(vec![Precision::F32, Precision::Bf16]),
        average in proptest::sample::select(vec![Averaging::None, Averaging::Ema { decay: 0.99 }, Averaging::Swa { from: 2 }]),
        patience in proptest::option::of(1..99u64),
        augment in proptest::sample::select(vec!["none", "digits", "shear(0.1) crop(3) mixup(0.123)"]),
        label_smoothing in 0.0..1.0f64,
        class_weights in proptest::sample::select(vec!["none", "1,0.1,3.3,1,1,1,1,1,1,0.7"]),
        (quantise_aware, blend) in (any::<bool>(), proptest::option::of((0.0..=1.0f64, 0.1..=100.0f64))),
        mask in proptest::option::of(proptest::sample::select(vec!["*.weight", "fc1.* *s"])),
    ) -> TrainingConfig {
        let warmup_steps = if matches!(shape, Shape::OneCycle(_)) { 0 } else { warmup_steps };
        let schedule = Schedule { base, shape, warmup_steps };
        let model = model.parse().unwrap();
        let param_groups = param_groups.parse().unwrap();
        let augment = augment.parse().unwrap();
        let objective = Objective { label_smoothing, class_weights: class_weights.parse().unwrap() };
        let init_from = init_from.map(|reset| format!("sha256({}{reset})", "5".repeat(64)).parse().unwrap());
        let self_training = labels.map(|(threshold, from, labelled_share)| SelfTraining { threshold, from, labelled_share });
        let distillation = blend.map(|(weight, temperature)| {
            let teacher = format!("sha256({})", "6".repeat(64)).parse().unwrap();
            Distillation { teacher, blend: Blend { weight, temperature } }
        });
        let compression = Compression { mask: mask.map(|mask| mask.parse().unwrap()), quantise_aware, distillation };
        TrainingConfig { val_split, per_class, self_training, normalize, model, init, init_from, seed, augment, objective, batch_size, micro_batch, epochs, optimizer, decayed, param_groups, compression, schedule, average, patience, clip_grad_norm, wire_dtype }
    }
}

proptest! {
    #[test]
    fn a_configuration_reads_back_from_its_fields(training in any_config()) {
        prop_assert_eq!(TrainingConfig::from_fields(&training.fields()), Ok(training.clone()));
        if let Ok(run) = RunConfig::new(training, data()) {
            prop_assert_eq!(RunConfig::from_fields(&run.fields()), Ok(run.clone()));
        }
    }

    #[test]
    fn any_altered_field_is_read_or_refused(which in 0usize..22, text in "\\PC{0,40}") {
        let mut fields = changed(|_| ()).unwrap().fields();
        let name = fields.keys().nth(which).cloned().unwrap();
        fields.insert(name, text);
        let _ = RunConfig::from_fields(&fields);
    }
}
