use super::*;
use crate::data::spec::DataSpec;
use proptest::prelude::*;

const LEAF: LeafAddress = LeafAddress { seed: 1, step: 2, leaf: 3 };

fn augmentation(text: &str) -> Augmentation {
    text.parse().unwrap()
}

/// Samples of a picture that is `value(row, column)` everywhere.
fn pictures(count: usize, side: usize, value: impl Fn(usize, usize) -> u8) -> Samples {
    let spec = DataSpec::new(side, side, 1, 2).unwrap();
    let one: Vec<u8> = (0..side * side).map(|at| value(at / side, at % side)).collect();
    Samples::new(spec, one.repeat(count), vec![1; count]).unwrap()
}

/// A bright square of a quarter of the side, above and left of the centre.
fn square(side: usize) -> impl Fn(usize, usize) -> u8 {
    let inside = move |at: usize| (side / 4..side / 2).contains(&at);
    move |row, column| if inside(row) && inside(column) { 240 } else { 0 }
}

/// Centre of brightness, (row, column), and total brightness.
fn centre(image: &[u8], side: usize) -> ([f64; 2], f64) {
    let total: f64 = image.iter().map(|&value| f64::from(value)).sum();
    let place = |of: fn(usize, usize) -> usize| {
        let weigh = |(at, &value): (usize, &u8)| of(at, side) as f64 * f64::from(value);
        image.iter().enumerate().map(weigh).sum::<f64>() / total
    };
    ([place(|at, side| at / side), place(|at, side| at % side)], total)
}

#[test]
fn a_picture_that_is_not_moved_stays_as_it_is() {
    let before = pictures(3, 9, |row, column| (row * 28 + column * 3) as u8);
    for text in ["none", "rotate(0)", "flip(0) erase(0,0.5)", "erase(1,0)"] {
        assert!(augmentation(text).is_none(), "{text}");
        let after = augmentation(text).apply(before.clone(), LEAF);
        assert_eq!((after.samples, after.mixed), (before.clone(), vec![]), "{text}");
    }
}

#[test]
fn mirrors_and_whole_shifts_move_pixels_and_change_none() {
    let before = pictures(64, 7, |row, column| (row * 30 + column) as u8 + 1);
    let mirrored = augmentation("flip(1)").apply(before.clone(), LEAF).samples;
    for (at, &value) in mirrored.image(5).iter().enumerate() {
        assert_eq!(value, before.image(0)[at / 7 * 7 + 6 - at % 7]);
    }
    let moved = augmentation("crop(2)").apply(before.clone(), LEAF).samples;
    let mut shifts = std::collections::BTreeSet::new();
    for index in 0..64 {
        let image = moved.image(index);
        let old = |row: i32, column: i32| {
            let is_inside = (0..7).contains(&row) && (0..7).contains(&column);
            if is_inside { before.image(0)[(row * 7 + column) as usize] } else { 0 }
        };
        let fits = |&(down, right): &(i32, i32)| {
            (0..49).all(|at| image[at as usize] == old(at / 7 - down, at % 7 - right))
        };
        let all = (-2..=2).flat_map(|down| (-2..=2).map(move |right| (down, right)));
        shifts.insert(all.into_iter().find(fits).expect("a shift of at most two pixels"));
    }
    assert!(shifts.len() > 15, "{} of 25 shifts", shifts.len());
}

#[test]
fn turns_shifts_and_sizes_stay_in_their_ranges_and_use_them() {
    const SIDE: usize = 64;
    let before = pictures(400, SIDE, square(SIDE));
    let (start, bright) = centre(before.image(0), SIDE);
    let middle = (SIDE - 1) as f64 / 2.0;
    let seen = |text: &str, measure: &dyn Fn([f64; 2], f64) -> f64| {
        let after = augmentation(text).apply(before.clone(), LEAF).samples;
        let all = (0..400).map(|at| centre(after.image(at), SIDE)).map(|(at, total)| measure(at, total));
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(value), most.max(value))
        })
    };
    let is_range = |(least, most): (f64, f64), from: f64, to: f64, slack: f64| {
        assert!(least >= from - slack && most <= to + slack, "{least} to {most}, not {from} to {to}");
        assert!(least < from + (to - from) * 0.05 && most > to - (to - from) * 0.05, "{least} to {most}");
    };
    // The square's centre turns about the picture's: its angle is that of the turn.
    #[allow(clippy::disallowed_methods, reason = "a test's measure")]
    let angle = |[row, column]: [f64; 2]| (row - middle).atan2(column - middle).to_degrees();
    let turned = seen("rotate(20)", &|at, _| (angle(at) - angle(start) + 540.0).rem_euclid(360.0) - 180.0);
    is_range(turned, -20.0, 20.0, 0.2);
    is_range(seen("shift(0.1)", &|at, _| at[1] - start[1]), -6.4, 6.4, 0.05);
    is_range(seen("shift(0.1)", &|at, _| at[0] - start[0]), -6.4, 6.4, 0.05);
    is_range(seen("scale(0.2)", &|_, total| (total / bright).sqrt()), 0.8, 1.2, 0.01);
    // A slant moves what is above the centre sideways, and keeps its height.
    let slant = |[row, column]: [f64; 2], _| (column - start[1]) / (row - middle);
    #[allow(clippy::disallowed_methods, reason = "a test's measure")]
    let most = 30f64.to_radians().tan();
    is_range(seen("shear(30)", &slant), -most, most, 0.02);
    let height = seen("shear(30)", &|at, _| at[0] - start[0]);
    assert!(height.0.abs() < 0.05 && height.1.abs() < 0.05, "{height:?}");
}

#[test]
fn a_leafs_changes_are_its_own_and_always_the_same() {
    let before = pictures(4, 16, square(16));
    let all = augmentation("digits flip(0.5) crop(1) erase(0.5,0.3) mixup(0.4)");
    let reference = all.apply(before.clone(), LEAF);
    assert_eq!(reference, all.apply(before.clone(), LEAF));
    assert_ne!(reference.samples.image(0), reference.samples.image(1));
    for leaf in
        [LeafAddress { seed: 9, ..LEAF }, LeafAddress { step: 9, ..LEAF }, LeafAddress { leaf: 9, ..LEAF }]
    {
        assert_ne!(reference, all.apply(before.clone(), leaf));
    }
    assert_eq!((reference.samples.labels(), reference.mixed.len()), (&[1; 4][..], 4));
}

#[test]
fn the_channels_of_a_pixel_move_together() {
    let grey = pictures(5, 12, |row, column| (row * 20 + column) as u8);
    let spec = DataSpec::new(12, 12, 3, 2).unwrap();
    let colour = grey.pixels().iter().flat_map(|&value| [value, value / 2, 0]).collect();
    let colour = Samples::new(spec, colour, vec![1; 5]).unwrap();
    let all = augmentation("rotate(30) elastic(1,3)");
    let grey = all.apply(grey, LEAF).samples;
    let colour = all.apply(colour, LEAF).samples;
    for (value, pixel) in grey.pixels().iter().zip(colour.pixels().chunks_exact(3)) {
        assert_eq!((pixel[0], pixel[2]), (*value, 0));
        assert!(pixel[1].abs_diff(value / 2) <= 1);
    }
}

#[test]
fn texts_are_read_back_and_bad_ones_are_refused() {
    for (text, written) in [
        ("mixup(0.2) rotate(10)", "rotate(10) mixup(0.2)"),
        ("rotate(10) rotate(5)", "rotate(5)"),
        ("digits rotate(0) elastic(0,1) shear(0) scale(0)", "shift(0.08)"),
        ("photos", "flip(0.5) crop(4) erase(0.25,0.2)"),
        ("rotate(5) none", "none"),
        ("none", "none"),
    ] {
        let parsed = augmentation(text);
        assert_eq!(parsed.to_string(), written, "{text}");
        assert_eq!(written.parse(), Ok(parsed), "{text}");
    }
    for (text, message) in [
        ("", "digits, photos, rotate"),
        ("spin(3)", "\"spin\" is not known; there are digits"),
        ("rotate", "rotate takes degrees"),
        ("rotate(1,2)", "rotate takes degrees"),
        ("rotate(181)", "rotate: degrees is 181; it must be 0 to 180"),
        ("rotate(NaN)", "rotate: degrees is NaN"),
        ("elastic(1)", "elastic takes pixels, smoothness"),
        ("elastic(1,0.5)", "elastic: smoothness is 0.5"),
        ("crop(1.5)", "crop takes a whole number"),
        ("erase(2,0.1)", "erase: probability is 2"),
        ("mixup(9)", "mixup: alpha is 9"),
        ("digits(3)", "digits takes no settings"),
        ("flip(p=1)", "flip takes numbers"),
    ] {
        let error = text.parse::<Augmentation>().unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_form_and_any_strength_give_pictures_of_the_same_form(
        (height, width, channels) in (1usize..20, 1usize..20, 1usize..4),
        (rotate, shift, scale, shear) in (0.0f32..180.0, 0.0f32..1.0, 0.0f32..0.9, 0.0f32..60.0),
        (elastic, smoothness, crop) in (0.0f32..64.0, 1.0f32..64.0, 0u32..64),
        (step, count) in (0u64..100, 0usize..4),
    ) {
        let spec = DataSpec::new(height, width, channels, 2).unwrap();
        let before = Samples::new(spec, vec![255; count * spec.image_bytes()], vec![0; count]).unwrap();
        let text = format!(
            "rotate({rotate}) shift({shift}) scale({scale}) shear({shear}) elastic({elastic},{smoothness}) crop({crop}) \
             erase(0.5,1) mixup(1)"
        );
        let after = augmentation(&text).apply(before, LeafAddress { step, ..LEAF });
        prop_assert_eq!((after.samples.spec(), after.samples.len()), (spec, count));
    }
}
