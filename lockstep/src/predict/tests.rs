//! Pictures of odd sizes and contents come through all that is done before the model is asked.

use super::*;
use common::rng::Stream;

/// Everything from the ink to the groups of a row; the model is not asked.
fn looked_through(grey: &Grey) {
    let Some(ink) = ink::find(grey) else { return };
    let ink = rules::removed(&ink);
    assert_eq!((ink.width, ink.height), (grey.width, grey.height));
    if let Some(subject) = subject::find(&ink, &components::find(&ink)) {
        let _ = (subject.cutout.field(), subject.cutout.stroke(), novelty::holes(&subject.cutout.ink));
    }
    let _ = line::Cut::of(&ink, &mut Limits { groups: 500 });
    for row in page::rows(&ink).unwrap_or_default() {
        let Bounds { left, top, right, bottom } = row.bounds;
        assert!(left < right && top < bottom && right <= ink.width && bottom <= ink.height);
    }
}

#[test]
fn pictures_of_any_size_and_content_come_back() {
    let mut stream = Stream::new(1, "odd pictures", &[]);
    let sizes = [(1, 1), (2, 3), (1, 5000), (5000, 1), (7, 300), (300, 9), (64, 64), (200, 120)];
    for (width, height) in sizes {
        let mut of = |value: &mut dyn FnMut(usize, &mut Stream) -> u8| {
            let bytes = (0..width * height).map(|at| value(at, &mut stream)).collect();
            looked_through(&Grey { width, height, bytes });
        };
        of(&mut |_, _| 0);
        of(&mut |_, _| 255);
        of(&mut |_, stream| stream.bits32() as u8);
        of(&mut |_, stream| 255 * u8::from(stream.below(2) == 0));
        of(&mut |_, stream| 255 * u8::from(stream.below(40) == 0));
        of(&mut |at, _| 255 * u8::from(at % 2 == 0));
        of(&mut |at, _| 255 * u8::from(at / width.max(8) % 8 == 0));
        of(&mut |at, _| (at % 256) as u8);
        // Rings within each other.
        of(&mut |at, _| {
            let (x, y) = (at % width, at / width);
            let border = x.min(y).min(width - 1 - x).min(height - 1 - y);
            255 * u8::from(border / 3 % 2 == 0)
        });
    }
}
