use super::*;
use crate::data::spec::DataSpec;
use crate::rng::Stream;
use proptest::prelude::*;

/// Random samples, of which one channel is darker than the others.
fn samples(channels: usize, count: usize) -> Samples {
    let spec = DataSpec::new(5, 7, channels, 2).unwrap();
    let mut stream = Stream::new(3, "normalization test", &[channels as u64]);
    let pixels = (0..count * spec.image_bytes()).map(|at| (stream.below(256) >> (at % channels)) as u8);
    Samples::new(spec, pixels.collect(), vec![0; count]).unwrap()
}

fn channels_of(measured: &Measured) -> &[Channel] {
    match &measured.normalization {
        Normalization::Standard(channels) => channels,
        Normalization::Unit => panic!("nothing was measured"),
    }
}

#[test]
fn mean_and_deviation_are_those_of_the_chosen_samples() {
    for channels in 1..=4 {
        let samples = samples(channels, 40);
        let chosen: Vec<u32> = (0..40).filter(|index| index % 3 != 0).collect();
        let measured = Normalization::measure(&samples, &chosen);
        assert!(measured.constant.is_empty() && measured.normalization.fits(channels));
        for (channel, got) in channels_of(&measured).iter().enumerate() {
            let values = chosen.iter().flat_map(|&index| samples.image(index as usize).chunks(channels));
            let values: Vec<f64> = values.map(|pixel| f64::from(pixel[channel]) / 255.0).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
            let deviation = (variance / values.len() as f64).sqrt();
            assert!((got.mean() - mean).abs() < 1e-12, "{got:?}, not {mean}");
            assert!((got.deviation() - deviation).abs() < 1e-12, "{got:?}, not {deviation}");
        }
        let mut reversed = chosen.clone();
        reversed.reverse();
        assert_eq!(Normalization::measure(&samples, &reversed), measured, "no order has a say");
        assert_ne!(Normalization::measure(&samples, &[0, 1, 2]), measured);
    }
}

#[test]
fn a_channel_of_one_value_is_divided_by_1_and_named() {
    let spec = DataSpec::new(1, 2, 3, 2).unwrap();
    let samples = Samples::new(spec, vec![0, 51, 255, 255, 51, 255], vec![0]).unwrap();
    let measured = Normalization::measure(&samples, &[0]);
    assert_eq!(measured.constant, [1, 2]);
    let expected = [(0.5, 0.5), (0.2, 1.0), (1.0, 1.0)];
    assert_eq!(channels_of(&measured), expected.map(|(mean, by)| Channel::new(mean, by).unwrap()));
    assert_eq!(Normalization::measure(&samples, &[]).constant, [0, 1, 2]);
}

#[test]
fn the_largest_sums_there_can_be_are_exact() {
    // 2^47 pixels of either end: mean and deviation are 1/2.
    let mut counts = [0; 256];
    counts[0] = 1 << 47;
    counts[255] = 1 << 47;
    assert_eq!(Channel::of(&counts), (Channel::new(0.5, 0.5).unwrap(), false));
    // One pixel of 2^48 differs.
    counts = [0; 256];
    counts[254] = 1;
    counts[255] = (1 << 48) - 1;
    let (channel, is_constant) = Channel::of(&counts);
    assert!(!is_constant && Channel::new(channel.mean(), channel.deviation()) == Ok(channel));
    assert!(Table::new(&Normalization::Standard(vec![channel])).0[0].iter().all(|value| value.is_finite()));
}

#[test]
fn a_unit_has_the_bits_of_a_division_in_f32() {
    let table = Table::new(&Normalization::Unit);
    let bytes: Vec<u8> = (0..=255).collect();
    let divided: Vec<u32> = bytes.iter().map(|&p| (f32::from(p) / 255.0).to_bits()).collect();
    assert_eq!(table.apply(&bytes).into_iter().map(f32::to_bits).collect::<Vec<_>>(), divided);
}

#[test]
fn every_channel_has_its_own_table() {
    let of = [(0.0, 1.0), (0.5, 0.5), (1.0, 0.125)].map(|(mean, by)| Channel::new(mean, by).unwrap());
    let table = Table::new(&Normalization::Standard(of.into()));
    assert_eq!(table.apply(&[255, 255, 255, 0, 0, 0]), [1.0, 1.0, 0.0, 0.0, -1.0, -8.0]);
    // MNIST's numbers, as (p / 255 - mean) / deviation in f64 and one rounding.
    let mnist = Normalization::Standard(vec![Channel::new(0.1307, 0.3081).unwrap()]);
    let values: [f32; 3] = Table::new(&mnist).apply(&[0, 1, 255]).try_into().unwrap();
    assert_eq!(values.map(f32::to_bits), BITS);
}

/// From Python: `struct.pack("<f", (p / 255.0 - 0.1307) / 0.3081)` for p = 0, 1 and 255.
const BITS: [u32; 3] = [0xbed9_3270, 0xbed2_ae1f, 0x4034_933c];

#[test]
fn numbers_out_of_their_bounds_are_refused() {
    for (mean, deviation) in [
        (f64::NAN, 0.5),
        (0.5, f64::NAN),
        (0.5, 0.0),
        (0.5, -0.5),
        (0.5, 1e-300),
        (0.5, f64::INFINITY),
        (-0.1, 0.5),
        (1.1, 0.5),
    ] {
        assert!(Channel::new(mean, deviation).is_err(), "{mean}, {deviation}");
        let text = format!("standard(mean={mean},deviation={deviation})");
        assert!(text.parse::<Normalization>().is_err(), "{text}");
    }
    for text in
        ["", "unit()", "unit(1)", "standard(0.5,0.5)", "standard(mean=,deviation=)", "standard(mean=0.5)"]
    {
        assert!(text.parse::<Normalization>().is_err(), "{text}");
    }
    assert!("standard(mean=0.5 0.5,deviation=0.5)".parse::<Normalization>().is_err());
    assert!(!Normalization::Standard(Vec::new()).fits(1));
}

proptest! {
    #[test]
    fn what_is_shown_is_parsed(of in proptest::collection::vec((0.0..=1.0f64, DEVIATION_MIN..=1.0f64), 0..5)) {
        let channels = of.iter().map(|&(mean, deviation)| Channel::new(mean, deviation).unwrap());
        let standard = Normalization::Standard(channels.collect());
        prop_assert_eq!(standard.to_string().parse(), Ok(standard));
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,60}") {
        let _ = text.parse::<Normalization>();
    }
}
