//! What it costs to take a piece of a row for a digit, in nats.
//!
//! The model has no class for two digits together, or for half of one, and names some digit for them with
//! more or less doubt. So a price is that doubt, and what is odd about the shape. The numbers were set on 600
//! strips of five MNIST training digits each.

use super::components::Bounds;
use super::reader::Verdict;

/// Price of the model's doubt: so many times the negative logarithm of the probability.
const DOUBT: f64 = 1.5;
/// Least probability that counts: no single doubt outweighs everything.
const PROBABILITY_MIN: f64 = 1e-4;
/// What each digit earns: of two equal readings the one with more digits is taken.
const EARNED: f64 = 0.3;
/// A further tall piece beside the first: a digit's strokes seldom lie apart.
const TALL: f64 = 3.0;
/// A shape that no digit has.
const SHAPE: f64 = 3.0;
/// Each tenth of the row's height that a digit is lower than eight of them, and that it is wider than all.
const LOW: f64 = 0.35;
const WIDE: f64 = 0.5;
/// The square of the standard deviations, beyond the first, by which it is wider than its class is written.
const UNLIKE: f64 = 0.2;
/// Mean and standard deviation of the logarithm of width to height, of MNIST's training digits of each class.
const RATIOS: [[f64; 2]; 10] = [
    [-0.11, 0.20],
    [-0.96, 0.47],
    [-0.08, 0.23],
    [-0.25, 0.22],
    [-0.25, 0.22],
    [-0.08, 0.27],
    [-0.34, 0.22],
    [-0.28, 0.22],
    [-0.29, 0.23],
    [-0.41, 0.21],
];
/// A cut through so much ink as a tenth of the row's height.
const CUT: f64 = 0.6;

/// What is left out as a point or a speck.
pub const LEFT_OUT: f64 = 1.0;

/// What is looked at in the shape of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Where it lies.
    pub bounds: Bounds,
    /// Parts of half the row's height that lie beside each other.
    pub tall: usize,
    /// Whether it has the shape of no digit.
    pub is_odd: bool,
}

/// The price of a digit in a row of this height.
#[must_use]
pub fn of_digit(shape: &Shape, verdict: &Verdict, row: usize) -> f64 {
    let [class, _] = verdict.best_two();
    let (width, height) = (shape.bounds.width(), shape.bounds.height());
    let tenths = |more: usize, less: usize| 10.0 * more.saturating_sub(less) as f64 / row as f64;
    let size = LOW * (tenths(row, height) - 2.0).max(0.0) + WIDE * tenths(width, row);
    let odd = if shape.is_odd { SHAPE } else { 0.0 };
    let tall = TALL * shape.tall.saturating_sub(1) as f64;
    let unlike = RATIOS.get(class).map_or(0.0, |[mean, deviation]| {
        let wider = ((libm::log(width as f64 / height as f64) - mean) / deviation - 1.0).max(0.0);
        UNLIKE * wider * wider
    });
    let doubt = -DOUBT * libm::log(verdict.probabilities[class].max(PROBABILITY_MIN));
    size + odd + tall + unlike + doubt - EARNED
}

/// The price of a cut through so much ink, in a row of this height.
#[must_use]
pub fn of_cut(crossed: usize, row: usize) -> f64 {
    CUT * 10.0 * crossed as f64 / row as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubt_width_and_parts_cost() {
        let shape = |width: usize, tall| {
            let bounds = Bounds { left: 5, top: 5, right: 5 + width, bottom: 55 };
            Shape { bounds, tall, is_odd: false }
        };
        let verdict = |class: usize, probability: f64| {
            let mut probabilities = vec![(1.0 - probability) / 9.0; 10];
            probabilities[class] = probability;
            Verdict { probabilities, agreeing: [5, 5] }
        };
        let sure = of_digit(&shape(35, 1), &verdict(9, 0.99), 50);
        assert!(of_digit(&shape(35, 1), &verdict(9, 0.6), 50) > sure + 0.5);
        assert!(of_digit(&shape(35, 2), &verdict(9, 0.99), 50) > sure + 2.0);
        assert!(of_digit(&shape(70, 1), &verdict(9, 0.99), 50) > sure + 2.0);
        assert!(
            of_digit(&shape(12, 1), &verdict(1, 0.99), 50) < of_digit(&shape(50, 1), &verdict(1, 0.99), 50)
        );
        assert!(of_cut(0, 50) == 0.0 && of_cut(5, 50) > of_cut(5, 500));
    }
}
