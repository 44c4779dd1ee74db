use super::quantize::{Factor, Scale};
use super::*;
use crate::answers;
use crate::export::tests::model;
use common::data::spec::DataSpec;
use common::rng::Stream;

const ONE: NonZeroUsize = NonZeroUsize::MIN;

/// Networks that have every kind of layer with a form in whole numbers between them.
pub(crate) const NETWORKS: [&str; 5] = [
    "conv(8,3) relu maxpool(2) conv(6,3,padding=1,stride=2) leaky_relu(0.2) flatten dense(7) tanh dense",
    "conv(6,3,groups=1,bias=false) batchnorm gelu avgpool(3,stride=2) dropout(0.5) flatten dense(9) sigmoid dense",
    "conv(6,3,padding=1) residual conv(6,3,padding=1,groups=3) batchnorm silu add relu globalavgpool dense relu",
    "conv(6,3) relu residual conv(8,3,stride=2,padding=1) batchnorm shortcut relu conv(8,1,stride=2) add \
     batchnorm maxpool(3,stride=1) flatten dense(6) relu dense batchnorm tanh",
    "flatten dense",
];

/// Each network with samples.
pub(crate) fn each(mut check: impl FnMut(Model, Samples)) {
    for (at, layers) in NETWORKS.iter().enumerate() {
        let standard = "standard(mean=0.5 0.3,deviation=0.25 0.5)";
        let (channels, normalize) = if at % 2 == 1 { (2, standard) } else { (1, "unit") };
        let spec = DataSpec::new(12, 12, channels, 4).unwrap();
        let mut stream = Stream::new(at as u64, "images", &[]);
        let pixels = (0..40 * spec.image_bytes()).map(|_| stream.bits32() as u8).collect();
        check(model(channels, layers, normalize), Samples::new(spec, pixels, vec![0; 40]).unwrap());
    }
}

fn largest(values: impl IntoIterator<Item = f32>) -> f32 {
    values.into_iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

#[test]
fn a_plan_in_f32_gives_the_models_logits() {
    each(|model, samples| {
        let plan = Plan::of(&model).unwrap();
        let expected = answers::logits(&model, &samples, ONE).unwrap();
        let got =
            (0..samples.len()).flat_map(|at| float::values(&plan, &planar(&samples, at)).pop().unwrap());
        let difference = largest(expected.iter().zip(got).map(|(a, b)| a - b));
        assert!(
            difference < 1e-4 * largest(expected.clone()).max(1.0),
            "{}: {difference}",
            model.architecture
        );
    });
}

#[test]
fn whole_numbers_are_close_to_the_models_logits() {
    each(|model, samples| {
        let network = of(&model, &samples, ONE).unwrap();
        let expected = answers::logits(&model, &samples, ONE).unwrap();
        let scale = network.scales.last().unwrap().scale;
        let steps = run::logits(&network, &samples, ONE);
        assert_eq!(steps, run::logits(&network, &samples, NonZeroUsize::new(3).unwrap()));
        let difference = largest(expected.iter().zip(steps).map(|(a, b)| a - b as f32 * scale));
        assert!(difference < 0.05 * largest(expected.clone()), "{}: {difference}", model.architecture);
    });
}

#[test]
fn a_layer_without_a_form_in_whole_numbers_is_named() {
    let error = Plan::of(&model(1, "conv(4,3) layernorm flatten dense", "unit")).unwrap_err().to_string();
    assert!(error.starts_with("layer 2, layernorm, has no form in whole numbers"), "{error}");
    let error = Plan::of(&model(1, "flatten dense(40000) dense", "unit")).unwrap_err().to_string();
    assert!(error.starts_with("layer 3 adds 40000 products"), "{error}");
}

#[test]
fn steps_and_factors_round_to_the_nearest() {
    let scale = Scale { scale: 0.5, zero: 10 };
    assert_eq!([-100.0, -5.0, 0.1, 0.3, 200.0].map(|value| scale.nearest(value)), [0, 0, 10, 11, 255]);
    assert_eq!(scale.value(12).to_bits(), 1.0f32.to_bits());
    for number in [1e-9, 0.003, 0.5, 0.999_999_999_9, 1.0, 3.7, 255.9] {
        let Factor { multiplier, shift } = Factor::nearest(number);
        let got = f64::from(multiplier) / libm::ldexp(1.0, shift.into());
        assert!((got - number).abs() < number * 1e-9, "{number} became {got}");
    }
    assert_eq!(Factor::nearest(0.0), Factor { multiplier: 0, shift: 1 });
    let half = Factor::nearest(0.5);
    assert_eq!([-3, -1, 0, 1, 3].map(|sum| run::scaled(sum, half)), [-1, 0, 0, 1, 2], "a half upwards");
}
