//! Answers in JSON: what `lockstep predict --json` says, the probability of every class, and what the model
//! saw.

use crate::predict::Seen;
use crate::predict::report::{Answer, row_text};
use common::checkpoint::Model;
use coordinator::dataset::png_data_url;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde::Serialize;

/// An answer about one thing.
#[derive(Serialize)]
struct One<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    /// Why it is no digit, as a sentence has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Every class with its mean probability; none of empty paper.
    probabilities: Vec<Probability<'a>>,
    /// What the model saw, as a PNG in a `data:` URL; nothing of empty paper.
    input: Option<String>,
}

#[derive(Serialize)]
struct Probability<'a> {
    class: &'a str,
    probability: f64,
}

#[derive(Serialize)]
struct Row<'a> {
    text: String,
    digits: Vec<One<'a>>,
}

/// The model, as a program or the page wants to know it.
#[derive(Serialize)]
struct About<'a> {
    /// Whether it reads digits in pictures, and rows of them.
    reads_digits: bool,
    height: usize,
    width: usize,
    channels: usize,
    classes: Vec<&'a str>,
    network: &'a str,
    parameters: usize,
    step: u64,
    weights: &'a str,
}

/// The answer about a picture.
///
/// # Errors
/// When the input can't be written as a PNG.
pub fn one(seen: &Seen, model: &Model) -> anyhow::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&about_one(seen, model)?)?)
}

/// The answer about a row of digits.
///
/// # Errors
/// When an input can't be written as a PNG.
pub fn row(seen: &[Seen], model: &Model) -> anyhow::Result<Vec<u8>> {
    let digits = seen.iter().map(|seen| about_one(seen, model)).collect::<anyhow::Result<_>>()?;
    Ok(serde_json::to_vec(&Row { text: row_text(seen, &model.classes), digits })?)
}

/// What the model is.
#[must_use]
pub fn about(model: &Model, reads_digits: bool) -> Vec<u8> {
    let input = model.architecture.input();
    let network = model.architecture.layers().short_name();
    let about = About {
        reads_digits,
        height: input.height(),
        width: input.width(),
        channels: input.channels(),
        classes: (0..input.classes()).map(|class| model.classes.get(class)).collect(),
        network: &network,
        parameters: model.params.len(),
        step: model.origin.step,
        weights: &model.origin.weights,
    };
    // Numbers and text always have a form in JSON.
    serde_json::to_vec(&about).unwrap_or_default()
}

fn about_one<'a>(seen: &Seen, model: &'a Model) -> anyhow::Result<One<'a>> {
    let verdict = seen.verdict.iter().flat_map(|verdict| verdict.probabilities.iter().enumerate());
    let named = |(class, &probability)| Probability { class: model.classes.get(class), probability };
    let input = if seen.input.is_empty() { None } else { Some(data_url(&seen.input, model)?) };
    Ok(One {
        answer: Answer::of(seen, &model.classes),
        why: seen.doubt.map(|doubt| doubt.to_string()),
        probabilities: verdict.map(named).collect(),
        input,
    })
}

fn data_url(pixels: &[u8], model: &Model) -> anyhow::Result<String> {
    let input = model.architecture.input();
    let colors = if input.channels() == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(pixels, input.width() as u32, input.height() as u32, colors)?;
    Ok(png_data_url(&png))
}
