//! The strokes of each digit in the unit square, x to the right and y down, with the variants that people
//! write.

use crate::rng::Stream;

/// A point, in the unit square or in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

/// Points of one pen stroke, in order.
pub(super) type Stroke = Vec<Point>;

type Outline = &'static [&'static [(f32, f32)]];

const ZERO: &[Outline] = &[
    &[&[
        (0.5, 0.0),
        (0.1, 0.15),
        (0.0, 0.5),
        (0.1, 0.85),
        (0.5, 1.0),
        (0.9, 0.85),
        (1.0, 0.5),
        (0.9, 0.15),
        (0.5, 0.0),
    ]],
    &[&[
        (0.65, 0.02),
        (0.2, 0.1),
        (0.0, 0.55),
        (0.25, 0.95),
        (0.7, 0.95),
        (1.0, 0.5),
        (0.85, 0.1),
        (0.45, 0.05),
    ]],
];
const ONE: &[Outline] = &[
    &[&[(0.5, 0.0), (0.5, 1.0)]],
    &[&[(0.25, 0.22), (0.52, 0.0), (0.52, 0.5), (0.5, 1.0)]],
    &[&[(0.25, 0.2), (0.5, 0.0), (0.5, 1.0)], &[(0.2, 1.0), (0.8, 1.0)]],
];
const TWO: &[Outline] = &[
    &[&[
        (0.05, 0.25),
        (0.25, 0.0),
        (0.75, 0.0),
        (0.95, 0.25),
        (0.7, 0.55),
        (0.0, 1.0),
        (0.0, 1.0),
        (1.0, 1.0),
    ]],
    &[&[
        (0.1, 0.2),
        (0.4, 0.0),
        (0.85, 0.1),
        (0.85, 0.4),
        (0.4, 0.8),
        (0.1, 0.95),
        (0.2, 0.75),
        (0.5, 0.9),
        (1.0, 0.95),
    ]],
];
const THREE: &[Outline] = &[
    &[&[
        (0.05, 0.1),
        (0.45, 0.0),
        (0.9, 0.1),
        (0.85, 0.4),
        (0.4, 0.48),
        (0.4, 0.48),
        (0.95, 0.58),
        (0.95, 0.9),
        (0.5, 1.0),
        (0.0, 0.9),
    ]],
    &[&[
        (0.05, 0.0),
        (0.9, 0.0),
        (0.9, 0.0),
        (0.4, 0.42),
        (0.4, 0.42),
        (0.95, 0.55),
        (0.95, 0.9),
        (0.5, 1.0),
        (0.0, 0.88),
    ]],
];
const FOUR: &[Outline] = &[
    &[&[(0.7, 1.0), (0.7, 0.0), (0.7, 0.0), (0.0, 0.65), (0.0, 0.65), (1.0, 0.65)]],
    &[&[(0.1, 0.0), (0.05, 0.5), (0.15, 0.55), (0.9, 0.5)], &[(0.85, 0.0), (0.8, 0.5), (0.75, 1.0)]],
];
const FIVE: &[Outline] = &[
    &[&[
        (0.95, 0.0),
        (0.15, 0.0),
        (0.15, 0.0),
        (0.08, 0.45),
        (0.08, 0.45),
        (0.6, 0.38),
        (0.98, 0.6),
        (0.85, 0.95),
        (0.4, 1.0),
        (0.0, 0.9),
    ]],
    &[
        &[(0.2, 0.05), (0.12, 0.45), (0.12, 0.45), (0.7, 0.4), (0.95, 0.72), (0.6, 1.0), (0.05, 0.95)],
        &[(0.2, 0.05), (0.95, 0.0)],
    ],
];
const SIX: &[Outline] = &[
    &[&[
        (0.8, 0.02),
        (0.35, 0.2),
        (0.05, 0.6),
        (0.15, 0.95),
        (0.6, 1.0),
        (0.95, 0.78),
        (0.7, 0.52),
        (0.3, 0.55),
        (0.08, 0.75),
    ]],
    &[&[(0.55, 0.0), (0.1, 0.4), (0.05, 0.8), (0.4, 1.0), (0.85, 0.9), (0.85, 0.62), (0.5, 0.5), (0.1, 0.7)]],
];
const SEVEN: &[Outline] = &[
    &[&[(0.0, 0.02), (1.0, 0.0), (1.0, 0.0), (0.6, 0.5), (0.4, 1.0)]],
    &[&[(0.0, 0.05), (0.95, 0.0), (0.95, 0.0), (0.55, 0.5), (0.35, 1.0)], &[(0.25, 0.52), (0.85, 0.48)]],
    &[&[(0.0, 0.22), (0.05, 0.02), (0.05, 0.02), (0.95, 0.02), (0.95, 0.02), (0.45, 1.0)]],
];
const EIGHT: &[Outline] = &[
    &[&[
        (0.85, 0.12),
        (0.5, 0.0),
        (0.12, 0.15),
        (0.25, 0.4),
        (0.75, 0.58),
        (0.95, 0.82),
        (0.5, 1.0),
        (0.05, 0.82),
        (0.25, 0.58),
        (0.75, 0.4),
        (0.88, 0.15),
        (0.6, 0.0),
    ]],
    &[
        &[(0.5, 0.0), (0.12, 0.1), (0.12, 0.4), (0.5, 0.47), (0.88, 0.4), (0.88, 0.1), (0.5, 0.0)],
        &[(0.5, 0.47), (0.02, 0.6), (0.05, 0.95), (0.5, 1.0), (0.95, 0.95), (0.98, 0.6), (0.5, 0.47)],
    ],
];
const NINE: &[Outline] = &[
    &[&[
        (0.9, 0.3),
        (0.6, 0.5),
        (0.15, 0.42),
        (0.1, 0.12),
        (0.5, 0.0),
        (0.88, 0.1),
        (0.92, 0.35),
        (0.85, 1.0),
    ]],
    &[&[
        (0.9, 0.15),
        (0.45, 0.0),
        (0.05, 0.22),
        (0.3, 0.48),
        (0.8, 0.38),
        (0.92, 0.12),
        (0.9, 0.5),
        (0.7, 0.9),
        (0.3, 1.0),
    ]],
];

const GLYPHS: [&[Outline]; 10] = [ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE];

/// Strokes of one variant of `digit`, chosen at random.
pub(super) fn strokes(digit: u8, random: &mut Stream) -> Vec<Stroke> {
    let variants = GLYPHS[usize::from(digit)];
    let variant = variants[random.below(variants.len() as u32) as usize];
    let point = |&(x, y): &(f32, f32)| Point { x, y };
    variant.iter().map(|stroke| stroke.iter().map(point).collect()).collect()
}

/// Smooths a polygon into a curve by cutting its corners three times (Chaikin 1974). The end points stay. A
/// point given twice stays a sharper corner.
pub(super) fn smooth(mut points: Vec<Point>) -> Vec<Point> {
    for _ in 0..3 {
        let (Some(&first), Some(&last)) = (points.first(), points.last()) else { return points };
        let mut cut = vec![first];
        for pair in points.windows(2) {
            let mix = |a: f32, b: f32| 0.75 * a + 0.25 * b;
            cut.push(Point { x: mix(pair[0].x, pair[1].x), y: mix(pair[0].y, pair[1].y) });
            cut.push(Point { x: mix(pair[1].x, pair[0].x), y: mix(pair[1].y, pair[0].y) });
        }
        cut.push(last);
        points = cut;
    }
    points
}
