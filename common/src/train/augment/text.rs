//! Augmentation as text: `rotate(10) shift(0.1) elastic(1,4)`, and presets.

use super::{Augmentation, Erase, Geometry};
use crate::text::{Call, TextError, parsed, shortened, words};
use std::fmt;
use std::str::FromStr;

/// Text form of no augmentation.
const NONE: &str = "none";
/// Names that stand for several words.
const PRESETS: [(&str, &str); 2] = [
    ("digits", "rotate(10) shift(0.08) scale(0.1) shear(8) elastic(1,4)"),
    ("photos", "flip(0.5) crop(4) erase(0.25,0.2)"),
];
const KNOWN: &str = "digits, photos, rotate(DEGREES), shift(SHARE), scale(SHARE), shear(DEGREES), \
                     elastic(PIXELS,SMOOTHNESS), flip(PROBABILITY), crop(PIXELS), erase(PROBABILITY,AREA), \
                     mixup(ALPHA) and none";

/// Reason why a text is no augmentation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "field names say all")]
pub enum AugmentError {
    /// The text is malformed.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A number is out of its range.
    #[error("{word}: {what} is {got}; it must be {from} to {to}")]
    Range { word: String, what: &'static str, got: f32, from: f32, to: f32 },
}

/// A number of a word, with its name and range.
struct Number {
    what: &'static str,
    from: f32,
    to: f32,
}

const fn number(what: &'static str, from: f32, to: f32) -> Number {
    Number { what, from, to }
}

impl Augmentation {
    /// Takes a word: what it says replaces what was said before.
    fn take(&mut self, word: &str) -> Result<(), AugmentError> {
        let call = Call::parse(word)?;
        let geometry = &mut self.geometry;
        match call.name {
            "rotate" => [geometry.rotate] = values(&call, [number("degrees", 0.0, 180.0)])?,
            "shift" => [geometry.shift] = values(&call, [number("share", 0.0, 1.0)])?,
            "scale" => [geometry.scale] = values(&call, [number("share", 0.0, 0.9)])?,
            "shear" => [geometry.shear] = values(&call, [number("degrees", 0.0, 60.0)])?,
            "flip" => [geometry.flip] = values(&call, [number("probability", 0.0, 1.0)])?,
            "elastic" => {
                let ranges = [number("pixels", 0.0, 64.0), number("smoothness", 1.0, 64.0)];
                [geometry.elastic, geometry.smoothness] = values(&call, ranges)?;
            }
            "crop" => {
                let [pixels] = values(&call, [number("pixels", 0.0, 64.0)])?;
                if pixels != pixels.trunc() {
                    return Err(call.settings("a whole number of pixels").into());
                }
                geometry.crop = pixels as u32;
            }
            "erase" => {
                let ranges = [number("probability", 0.0, 1.0), number("area", 0.0, 1.0)];
                let [probability, area] = values(&call, ranges)?;
                self.erase = Some(Erase { probability, area });
            }
            "mixup" => {
                let alpha = number("alpha", 0.01, 2.0);
                [self.mixup] = values(&call, [alpha])?;
            }
            NONE => call.expect_keys(&[]).map(|()| *self = Self::default())?,
            name => {
                let preset = PRESETS.iter().find(|(preset, _)| *preset == name);
                let got = shortened(name);
                let unknown = || TextError::Unknown { got, known: KNOWN.to_owned() };
                let (_, all) = preset.ok_or_else(unknown)?;
                call.expect_keys(&[])?;
                words(all).into_iter().try_for_each(|word| self.take(word))?;
            }
        }
        Ok(())
    }
}

/// The numbers of a word, in their ranges.
fn values<const N: usize>(call: &Call<'_>, numbers: [Number; N]) -> Result<[f32; N], AugmentError> {
    let (plain, []) = call.mixed([], "numbers")?;
    let texts: [&str; N] = plain.try_into().map_err(|_| {
        let names = numbers.each_ref().map(|number| number.what);
        call.settings(&names.join(", "))
    })?;
    let mut values = [0.0; N];
    for (value, (text, Number { what, from, to })) in values.iter_mut().zip(texts.into_iter().zip(numbers)) {
        let got: f32 = parsed(what, text)?;
        if !(from..=to).contains(&got) {
            return Err(AugmentError::Range { word: shortened(call.name), what, got, from, to });
        }
        *value = got;
    }
    Ok(values)
}

impl FromStr for Augmentation {
    type Err = AugmentError;

    fn from_str(text: &str) -> Result<Self, AugmentError> {
        let words = words(text);
        if words.is_empty() {
            return Err(TextError::Unknown { got: String::new(), known: KNOWN.to_owned() }.into());
        }
        let mut augmentation = Self::default();
        words.into_iter().try_for_each(|word| augmentation.take(word))?;
        // What does nothing is written as nothing.
        augmentation.erase = augmentation.erase.filter(|erase| erase.probability > 0.0 && erase.area > 0.0);
        if augmentation.geometry.elastic == 0.0 {
            augmentation.geometry.smoothness = 0.0;
        }
        Ok(augmentation)
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Geometry { rotate, shift, scale, shear, elastic, smoothness, flip, crop } = self.geometry;
        let mut words = Vec::new();
        let mut word = |name: &str, value: f32, rest: String| {
            if value > 0.0 {
                words.push(format!("{name}({value}{rest})"));
            }
        };
        word("rotate", rotate, String::new());
        word("shift", shift, String::new());
        word("scale", scale, String::new());
        word("shear", shear, String::new());
        word("elastic", elastic, format!(",{smoothness}"));
        word("flip", flip, String::new());
        word("crop", crop as f32, String::new());
        self.erase.into_iter().for_each(|erase| word("erase", erase.probability, format!(",{}", erase.area)));
        word("mixup", self.mixup, String::new());
        f.write_str(if words.is_empty() { NONE } else { "" })?;
        f.write_str(&words.join(" "))
    }
}
