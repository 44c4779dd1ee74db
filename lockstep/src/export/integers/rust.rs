//! A network in whole numbers as a program in one file of Rust: only `core`, so it may be a module of a
//! `#![no_std]` crate, no allocation and no floating point.
//!
//! `predict(&image, &mut buffers, &mut logits)` takes an image as the data sets have them, by row, column and
//! channel, fills the logits, and returns the most likely class. `Buffers` is what it computes in, wherever
//! the caller has room for it. Its own test, under `cfg(test)`, computes ten images and compares the logits,
//! which must be equal.

use super::run::window;
use super::{IN_RUST, Program};
use crate::export::program::VECTORS;
use crate::export::program::sources::{list, used};
use crate::export::rust::{buffers, preamble};
use crate::int8::plan::{Op, Step};
use crate::int8::quantize::{Factor, Integers};
use std::fmt::{Display, Write as _};

/// First bytes of a file.
pub(super) const START: &[u8] = b"//! Written by lockstep compress --int8 --format rust.";

/// The file.
pub(super) fn text(program: &Program<'_>) -> String {
    let mut tables = String::new();
    let mut calls = planar(program);
    for at in 0..program.network.plan.steps.len() {
        tables += &definitions(program, at);
        // Writing to a string can't fail.
        let _ = writeln!(calls, "    {};", call(program, at));
    }
    let spec = program.model.architecture.input();
    let (bytes, classes) = (spec.image_bytes(), spec.classes());
    let mut text = head(program);
    let buffers_name = if program.buffers.bytes.is_empty() { "_buffers" } else { "buffers" };
    let _ = writeln!(
        text,
        "/// Fills the logits of an image, and returns the most likely class.
pub fn predict(image: &[u8; {bytes}], {buffers_name}: &mut Buffers, logits: &mut [i32; {classes}]) -> usize {{
{calls}    let mut class = 0;
    for at in 1..{classes} {{
        if logits[at] > logits[class] {{
            class = at;
        }}
    }}
    class
}}
"
    );
    text += &used(IN_RUST, &(calls + &tables));
    text + &tables + &test(program)
}

fn head(program: &Program<'_>) -> String {
    let [constants, bytes] = program.memory();
    let classes = program.model.architecture.input().classes();
    let text = format!(
        "[`predict`] fills {classes} logits and returns the most likely
//! class. A logit is [`LOGIT_SCALE`] times the number there. It uses {constants} bytes of constants and {bytes} bytes of
//! [`Buffers`]. Nothing but `core` is needed. The test compares {VECTORS} answers."
    );
    let scale = program.logit_scale();
    preamble(program.model, START, &text)
        + &format!("/// What a step of a logit is worth.\npub const LOGIT_SCALE: f32 = {scale:?};\n\n")
        + &buffers(&program.buffers.bytes, "u8", "0")
}

/// Constants of a step.
fn definitions(program: &Program<'_>, at: usize) -> String {
    let network = program.network;
    let Step { inputs, op } = &network.plan.steps[at];
    let number = at + 1;
    match op {
        Op::Sum { geometry, weights, relu } => {
            let zeros = [inputs[0], number].map(|value| network.scales[value].zero);
            let [input, output] = [inputs[0], number].map(|value| network.plan.values[value]);
            layer(number, weights)
                + &format!(
                    "static LAYER{number}: Layer<'static> = Layer {{
    input: {input:?},
    output: {output:?},
    window: {:?},
    groups: {},
    weight: &WEIGHT{number},
    bias: &BIAS{number},
    multiplier: &MULTIPLIER{number},
    shift: &SHIFT{number},
    zeros: {zeros:?},
    relu: {relu},
}};

",
                    window(*geometry),
                    geometry.groups,
                )
        }
        Op::Function(_) => {
            array(&format!("TABLE{number}"), "u8", &network.table(at).expect("a function has a table"))
        }
        Op::Max(_) | Op::Mean(_) | Op::Add { .. } => String::new(),
    }
}

/// Weights, biases and factors of a layer.
fn layer(number: usize, weights: &Integers) -> String {
    let factors = |part: fn(&Factor) -> i32| weights.factors.iter().map(part).collect::<Vec<_>>();
    [
        array(&format!("WEIGHT{number}"), "i8", &weights.weights),
        array(&format!("BIAS{number}"), "i32", &weights.biases),
        array(&format!("MULTIPLIER{number}"), "i32", &factors(|factor| factor.multiplier)),
        array(&format!("SHIFT{number}"), "u8", &factors(|factor| factor.shift.into())),
    ]
    .concat()
}

/// The image's bytes channel by channel, unless they are.
fn planar(program: &Program<'_>) -> String {
    let [channels, rows, columns] = program.network.plan.values[0];
    let bytes = channels * rows * columns;
    program.buffers.of[0].map_or_else(String::new, |buffer| {
        format!("    planar(image, &mut buffers.b{buffer}[..{bytes}], {channels});\n")
    })
}

fn call(program: &Program<'_>, at: usize) -> String {
    let network = program.network;
    let Step { inputs, op } = &network.plan.steps[at];
    let number = at + 1;
    let count = |value: usize| network.plan.values[value].iter().product::<usize>();
    let slice = |value: usize| {
        program.buffers.of[value].map(|buffer| format!("buffers.b{buffer}[..{}]", count(value)))
    };
    let input = |value: usize| slice(value).map_or_else(|| "image".to_owned(), |slice| format!("&{slice}"));
    let x = input(inputs[0]);
    let Some(y) = slice(number) else {
        return format!("logits_of({x}, logits, &LAYER{number})");
    };
    let y = format!("&mut {y}");
    let sizes = format!("({:?}, {:?})", network.plan.values[inputs[0]], network.plan.values[number]);
    let zeros: Vec<i32> = inputs.iter().chain(&[number]).map(|&value| network.scales[value].zero).collect();
    let call = match op {
        Op::Sum { .. } => format!("sums({x}, {y}, &LAYER{number})"),
        Op::Max(geometry) => format!("max_pool({x}, {y}, {sizes}, {:?})", window(*geometry)),
        Op::Mean(geometry) => {
            let Factor { multiplier, shift } = network.mean_factor(at, *geometry);
            let window = window(*geometry);
            format!("mean_pool({x}, {y}, {sizes}, {window:?}, {zeros:?}, ({multiplier}, {shift}))")
        }
        Op::Function(_) => format!("looked_up({x}, {y}, &TABLE{number})"),
        Op::Add { relu } => {
            let low = if *relu { zeros[2] } else { 0 };
            let factors = network.add_factors(at);
            format!("add(({x}, {}), {y}, {zeros:?}, {factors:?}, {low})", input(inputs[1]))
        }
    };
    if number == network.plan.steps.len() {
        let zero = network.scales[number].zero;
        return format!("{call};\n    as_logits({}, logits, {zero})", input(number));
    }
    call
}

fn array<T: Display>(name: &str, of: &str, values: &[T]) -> String {
    format!("static {name}: [{of}; {}] = [\n{}];\n\n", values.len(), list(values, T::to_string))
}

fn test(program: &Program<'_>) -> String {
    let spec = program.model.architecture.input();
    let (classes, bytes) = (spec.classes(), spec.image_bytes());
    format!(
        "#[cfg(test)]
mod tests {{
    extern crate std;

    use super::*;

    #[test]
    fn the_logits_are_equal() {{
        static BUFFERS: std::sync::Mutex<Buffers> = std::sync::Mutex::new(Buffers::new());
        let mut buffers = BUFFERS.lock().unwrap();
        let mut state = 1u32;
        for expected in EXPECTED.chunks({classes}) {{
            let mut image = [0; {bytes}];
            for byte in &mut image {{
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }}
            let mut logits = [0; {classes}];
            let class = predict(&image, &mut buffers, &mut logits);
            assert!(class < CLASS_NAMES.len());
            assert_eq!(logits, expected);
        }}
    }}

    {}\n}}
",
        array("EXPECTED", "i32", &program.expected).trim_end(),
    )
}
