//! Averaged weights: a second version of the model, which follows the one that is trained and is often
//! better.
//!
//! ```text
//! ema(d), after each step t:           average += (1 - min(d, (1 + t) / (10 + t))) · (weights - average)
//! swa(n), after each epoch from n on:  average += (weights - average) / (epochs averaged so far + 1)
//! ```
//!
//! `ema` is the exponential moving average of TensorFlow's `ExponentialMovingAverage` with `num_updates`: t
//! is the number of steps before, so the first weights are soon forgotten. `swa` is the equal average of
//! Izmailov et al. 2018. Running statistics are averaged like the weights, so nothing has to be measured
//! anew.

use crate::reduce::parallel;
use crate::simd::{self, Loops};
use crate::text::{Call, TextError, parsed, shortened};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// How weights are averaged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Averaging {
    /// There is no second version.
    #[default]
    None,
    /// Exponential moving average over the steps.
    Ema {
        /// Largest share of the average that a step keeps, in `[0, 1)`.
        decay: f64,
    },
    /// Equal average over the ends of the epochs.
    Swa {
        /// First epoch whose end counts, from 1.
        from: u64,
    },
}

/// A version of a model's weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// Those that are trained.
    #[default]
    Last,
    /// The average of those that are trained.
    Averaged,
    /// Those with which the best validation was made.
    Best,
}

impl Weights {
    /// Whether they are those that are trained.
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    #[must_use]
    pub fn are_last(&self) -> bool {
        *self == Self::Last
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Last => "last",
            Self::Averaged => "averaged",
            Self::Best => "best",
        })
    }
}

impl FromStr for Weights {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let all = [Self::Last, Self::Averaged, Self::Best];
        let found = all.into_iter().find(|weights| weights.to_string() == text);
        let known = || "last, averaged and best".to_owned();
        found.ok_or_else(|| TextError::Unknown { got: shortened(text), known: known() })
    }
}

impl Averaging {
    /// Whether there is an average when so many steps and epochs are done.
    #[must_use]
    pub fn has_begun(self, steps: u64, epochs: u64) -> bool {
        match self {
            Self::None => false,
            Self::Ema { .. } => steps > 0,
            Self::Swa { from } => epochs >= from,
        }
    }

    /// Has `average` follow `weights` after a step. `steps` are done with this one; `epochs` are done if this
    /// one was an epoch's last.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn follow(
        self,
        average: &mut [f32],
        weights: &[f32],
        steps: u64,
        epochs: Option<u64>,
        threads: NonZeroUsize,
    ) {
        let share = match (self, epochs) {
            (Self::Ema { decay }, _) => {
                let before = steps.saturating_sub(1) as f64;
                1.0 - decay.min((1.0 + before) / (10.0 + before))
            }
            (Self::Swa { from }, Some(epochs)) if epochs >= from => 1.0 / (epochs - from + 1) as f64,
            _ => return,
        };
        let share = share as f32;
        parallel::blocks(average, weights, threads, |average, weights| {
            simd::widest(Follow { average, weights, share });
        });
    }
}

struct Follow<'a> {
    average: &'a mut [f32],
    weights: &'a [f32],
    share: f32,
}

impl Loops for Follow<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        if self.share >= 1.0 {
            // What was there before leaves no trace, not even in a rounding.
            return self.average.copy_from_slice(self.weights);
        }
        let both = self.average.iter_mut().zip(self.weights);
        both.for_each(|(average, weight)| *average += self.share * (weight - *average));
    }
}

impl fmt::Display for Averaging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Ema { decay } => write!(f, "ema({decay})"),
            Self::Swa { from } => write!(f, "swa({from})"),
        }
    }
}

impl FromStr for Averaging {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let call = Call::parse(text)?;
        let only = |expected: &str| match call.mixed([], expected)? {
            (values, []) if values.len() == 1 => Ok(values[0]),
            _ => Err(call.settings(expected)),
        };
        match call.name {
            "none" => call.expect_keys(&[]).map(|()| Self::None),
            "ema" => {
                let expected = "a decay of at least 0 and below 1, such as ema(0.999)";
                let decay: f64 = parsed("ema's decay", only(expected)?)?;
                if (0.0..1.0).contains(&decay) {
                    Ok(Self::Ema { decay })
                } else {
                    Err(call.settings(expected))
                }
            }
            "swa" => {
                let expected = "the first epoch that counts, from 1, such as swa(4)";
                let from: u64 = parsed("swa's first epoch", only(expected)?)?;
                if from >= 1 { Ok(Self::Swa { from }) } else { Err(call.settings(expected)) }
            }
            name => Err(TextError::Unknown {
                got: shortened(name),
                known: "ema(DECAY), swa(EPOCH) and none".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroUsize = NonZeroUsize::MIN;

    #[test]
    fn a_moving_average_forgets_its_beginning_and_then_moves_slowly() {
        let ema = Averaging::Ema { decay: 0.9 };
        let mut average = [5.0];
        ema.follow(&mut average, &[1.0], 1, None, ONE);
        assert_eq!(average, [5.0 + 0.9 * (1.0 - 5.0)]);
        // From step 81 on, (1 + t) / (10 + t) is 0.9.
        for steps in [81, 1000] {
            let mut average = [2.0];
            ema.follow(&mut average, &[4.0], steps, Some(1), ONE);
            assert!((average[0] - 2.2).abs() < 1e-6, "{average:?}");
        }
        assert!(!ema.has_begun(0, 0) && ema.has_begun(1, 0));
    }

    #[test]
    fn an_equal_average_counts_each_epoch_from_the_first_one_on_alike() {
        let swa = Averaging::Swa { from: 3 };
        let mut average = [9.0; 2];
        for (epoch, weights) in
            [(1, [7.0; 2]), (2, [8.0; 2]), (3, [1.0, 2.0]), (4, [2.0, 4.0]), (5, [6.0, 0.0])]
        {
            swa.follow(&mut average, &[100.0; 2], 5, None, ONE);
            swa.follow(&mut average, &weights, 5, Some(epoch), ONE);
        }
        assert_eq!(average, [3.0, 2.0]);
        assert!(!swa.has_begun(99, 2) && swa.has_begun(1, 3) && !Averaging::None.has_begun(9, 9));
    }

    #[test]
    fn many_threads_have_the_bits_of_one() {
        let weights: Vec<f32> = (0..500_003).map(|at| at as f32 * 0.37).collect();
        let follow = |threads| {
            let mut average = vec![0.3; weights.len()];
            let threads = NonZeroUsize::new(threads).unwrap();
            Averaging::Ema { decay: 0.999 }.follow(&mut average, &weights, 77, None, threads);
            average
        };
        assert_eq!(follow(3), follow(1));
    }

    #[test]
    fn texts_are_read_back_and_bad_ones_are_refused() {
        for text in ["none", "ema(0.999)", "swa(12)"] {
            assert_eq!(text.parse::<Averaging>().unwrap().to_string(), text);
        }
        for text in
            ["", "ema", "ema(1)", "ema(-0.1)", "ema(NaN)", "swa(0)", "swa(1.5)", "swa(1,2)", "mean(3)"]
        {
            assert!(text.parse::<Averaging>().is_err(), "{text}");
        }
    }
}
