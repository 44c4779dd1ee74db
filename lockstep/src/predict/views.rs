//! A digit seen a few times, a little turned and resized.
//!
//! A model's answer to a digit hardly changes with such views, and that to another thing does. The mean of
//! the probabilities is the answer: it is more often right, and lower where the model does not know.

use super::glyph::{Field, SIDE};

/// Number of views.
pub const VIEWS: usize = 5;
/// The views, as the matrix that leads from a pixel of the view to one of the digit, relative to the middle:
/// the digit itself, turned by 7 degrees either way (cosine and sine), larger, and smaller.
const MATRICES: [[f32; 4]; VIEWS] = [
    [1.0, 0.0, 0.0, 1.0],
    [0.992_546, 0.121_869, -0.121_869, 0.992_546],
    [0.992_546, -0.121_869, 0.121_869, 0.992_546],
    [0.92, 0.0, 0.0, 0.92],
    [1.08, 0.0, 0.0, 1.08],
];
/// Middle of the field, counted from the centre of the first pixel.
const MIDDLE: f32 = 14.0;

/// All views of a digit, the digit itself first.
#[must_use]
pub fn all(field: &Field) -> [Field; VIEWS] {
    MATRICES.map(|matrix| seen(field, matrix))
}

/// Each pixel lies between four of the digit, and is weighted by its distance from their centres.
fn seen(field: &Field, [xx, xy, yx, yy]: [f32; 4]) -> Field {
    let mut view = [0; SIDE * SIDE];
    let value = |x: f32, y: f32| {
        let is_inside = (0.0..SIDE as f32).contains(&x) && (0.0..SIDE as f32).contains(&y);
        if is_inside { f32::from(field[y as usize * SIDE + x as usize]) } else { 0.0 }
    };
    for (at, pixel) in view.iter_mut().enumerate() {
        let [x, y] = [at % SIDE, at / SIDE].map(|place| place as f32 - MIDDLE);
        let (x, y) = (xx * x + xy * y + MIDDLE, yx * x + yy * y + MIDDLE);
        let (left, top) = (x.floor(), y.floor());
        let (right, below) = (x - left, y - top);
        let along = |y: f32| value(left, y) * (1.0 - right) + value(left + 1.0, y) * right;
        *pixel = (along(top) * (1.0 - below) + along(top + 1.0) * below + 0.5) as u8;
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_view_is_the_digit_and_the_others_keep_its_middle() {
        let mut field = [0; SIDE * SIDE];
        for y in 4..24 {
            field[y * SIDE + 13..y * SIDE + 16].fill(200);
        }
        let views = all(&field);
        assert_eq!(views[0], field);
        for view in &views[1..] {
            assert_ne!(view, &field);
            assert!(view[14 * SIDE + 14] >= 190);
        }
        // Turned, then turned back: the top goes left in one view and right in the other.
        let top = |view: &Field| view[5 * SIDE..6 * SIDE].iter().rposition(|&value| value > 100).unwrap();
        assert!(top(&views[1]) != top(&views[2]));
    }
}
