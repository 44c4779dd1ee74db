//! A network in whole numbers as a program in one file of C99: no heap, no library, no floating point, and no
//! include but `stddef.h` and `stdint.h`.
//!
//! `int lockstep_predict(const uint8_t *image, int32_t *logits)` takes an image as the data sets have them,
//! by row, column and channel, fills the logits, and returns the most likely class. It computes in static
//! buffers: one call at a time. With `-DLOCKSTEP_TEST` the file is a program that computes ten images and
//! compares the logits, which must be equal: it exits with 0 if they are.

use super::run::window;
use super::{IN_C, Program};
use crate::export::c::preamble;
use crate::export::program::VECTORS;
use crate::export::program::sources::{list, used};
use crate::int8::plan::{Op, Sizes, Step};
use crate::int8::quantize::{Factor, Integers};
use std::fmt::{Display, Write as _};

/// First bytes of a file.
pub(super) const START: &[u8] = b"/* Written by lockstep compress --int8 --format c.";

/// The file.
pub(super) fn text(program: &Program<'_>) -> String {
    let steps = 0..program.network.plan.steps.len();
    let mut tables = String::new();
    let mut calls = planar(program);
    for at in steps {
        tables += &definitions(program, at);
        // Writing to a string can't fail.
        let _ = writeln!(calls, "    {};", call(program, at));
    }
    let mut text = head(program) + &used(IN_C, &(calls.clone() + &tables)) + &tables;
    for (number, bytes) in program.buffers.bytes.iter().enumerate() {
        let _ = writeln!(text, "static uint8_t b{number}[{bytes}];");
    }
    let classes = program.model.architecture.input().classes();
    let _ = writeln!(
        text,
        "\nint lockstep_predict(const uint8_t *image, int32_t *logits)\n{{\n    int class = 0, i;\n{calls}    \
         for (i = 1; i < {classes}; i++)\n        if (logits[i] > logits[class])\n            class = i;\n    \
         return class;\n}}"
    );
    text + &test(program)
}

fn head(program: &Program<'_>) -> String {
    let [constants, buffers] = program.memory();
    let classes = program.model.architecture.input().classes();
    let scale = program.logit_scale();
    let text = format!(
        "lockstep_predict fills {classes} logits and returns the most
   likely class. A logit is {scale:e} times the number there. It uses {constants} bytes of constants and {buffers} bytes of
   static buffers: one call at a time. With -DLOCKSTEP_TEST this is a program that compares {VECTORS} answers."
    );
    preamble(program.model, START, &text, "int32_t")
}

/// Constants of a step.
fn definitions(program: &Program<'_>, at: usize) -> String {
    let network = program.network;
    let Step { inputs, op } = &network.plan.steps[at];
    let zeros =
        || inputs.iter().chain(&[at + 1]).map(|&value| network.scales[value].zero).collect::<Vec<_>>();
    let number = at + 1;
    match op {
        Op::Sum { geometry, weights, relu } => {
            let [zero_in, zero_out] = [zeros()[0], zeros()[1]];
            let [input, output] = [inputs[0], number].map(|value| shape(network.plan.values[value]));
            let of = braced(&window(*geometry));
            layer(number, weights)
                + &format!(
                    "static const layer layer{number} = {{{input}, {output}, {of}, {}, layer{number}_weight, \
                     layer{number}_bias,\n    layer{number}_multiplier, layer{number}_shift, {zero_in}, {zero_out}, \
                     {}}};\n\n",
                    geometry.groups,
                    u8::from(*relu),
                )
        }
        Op::Max(_) => String::new(),
        Op::Mean(_) => array(&format!("uint8_t zeros{number}"), &zeros()),
        Op::Function(_) => {
            array(&format!("uint8_t table{number}"), &network.table(at).expect("a function has a table"))
        }
        Op::Add { .. } => {
            array(&format!("uint8_t zeros{number}"), &zeros())
                + &array(&format!("int32_t multipliers{number}"), &network.add_factors(at).0)
        }
    }
}

/// Weights, biases and factors of a layer.
fn layer(number: usize, weights: &Integers) -> String {
    let factors = |part: fn(&Factor) -> i32| weights.factors.iter().map(part).collect::<Vec<_>>();
    [
        array(&format!("int8_t layer{number}_weight"), &weights.weights),
        array(&format!("int32_t layer{number}_bias"), &weights.biases),
        array(&format!("int32_t layer{number}_multiplier"), &factors(|factor| factor.multiplier)),
        array(&format!("uint8_t layer{number}_shift"), &factors(|factor| factor.shift.into())),
    ]
    .concat()
}

/// The image's bytes channel by channel, unless they are.
fn planar(program: &Program<'_>) -> String {
    let [channels, rows, columns] = program.network.plan.values[0];
    program.buffers.of[0].map_or_else(String::new, |buffer| {
        format!("    planar(image, b{buffer}, {}, {channels});\n", rows * columns)
    })
}

fn call(program: &Program<'_>, at: usize) -> String {
    let network = program.network;
    let Step { inputs, op } = &network.plan.steps[at];
    let name =
        |value: usize| program.buffers.of[value].map_or("image".to_owned(), |buffer| format!("b{buffer}"));
    let number = at + 1;
    let [x, y] = [inputs[0], number].map(name);
    let [from, to] = [network.plan.values[inputs[0]], network.plan.values[number]];
    let count: usize = to.iter().product();
    let pool = |geometry| {
        let of = braced(&window(geometry));
        format!("{x}, {y}, (shape){}, (shape){}, (window){of}", shape(from), shape(to))
    };
    let call = match op {
        Op::Sum { .. } if program.buffers.of[number].is_none() => {
            format!("logits_of({x}, logits, &layer{number})")
        }
        Op::Sum { .. } => format!("sums({x}, {y}, &layer{number})"),
        Op::Max(geometry) => format!("max_pool({})", pool(*geometry)),
        Op::Mean(geometry) => {
            let Factor { multiplier, shift } = network.mean_factor(at, *geometry);
            format!("mean_pool({}, zeros{number}, {multiplier}, {shift})", pool(*geometry))
        }
        Op::Function(_) => format!("looked_up({x}, {y}, {count}, table{number})"),
        Op::Add { relu } => {
            let low = if *relu { network.scales[number].zero } else { 0 };
            let other = name(inputs[1]);
            let shift = network.add_factors(at).1;
            format!("add({x}, {other}, {y}, {count}, zeros{number}, multipliers{number}, {shift}, {low})")
        }
    };
    let is_last = number == network.plan.steps.len();
    if is_last && program.buffers.of[number].is_some() {
        return format!("{call};\n    as_logits({y}, logits, {count}, {})", network.scales[number].zero);
    }
    call
}

fn shape(sizes: Sizes) -> String {
    braced(&sizes)
}

fn braced(numbers: &[usize]) -> String {
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    format!("{{{}}}", numbers.join(", "))
}

/// An array; -2^31 is no literal in C, and no such number is among these.
fn array<T: Display>(name: &str, values: &[T]) -> String {
    format!("static const {name}[{}] = {{\n{}}};\n\n", values.len(), list(values, T::to_string))
}

fn test(program: &Program<'_>) -> String {
    let spec = program.model.architecture.input();
    let (classes, bytes) = (spec.classes(), spec.image_bytes());
    format!(
        "
#ifdef LOCKSTEP_TEST
#include <stdio.h>

{}static uint8_t image[{bytes}];

int main(void)
{{
    int32_t logits[{classes}];
    uint32_t state = 1;
    int vector, at, failures = 0;
    for (vector = 0; vector < {VECTORS}; vector++) {{
        for (at = 0; at < {bytes}; at++) {{
            state = state * 1664525u + 1013904223u;
            image[at] = (uint8_t)(state >> 24);
        }}
        lockstep_predict(image, logits);
        for (at = 0; at < {classes}; at++)
            failures += logits[at] != expected[vector * {classes} + at];
    }}
    printf(\"%d of {} logits differ\\n\", failures);
    return failures > 0;
}}
#endif
",
        array("int32_t expected", &program.expected),
        program.expected.len(),
    )
}
