//! A program in one file of C99, for anything with a compiler: no heap, no library, no floating-point
//! functions, and no include but `stddef.h` and `stdint.h`.
//!
//! `int lockstep_predict(const uint8_t *image, float *logits)` takes an image as the data sets have them, by
//! row, column and channel, fills the logits, and returns the most likely class. It computes in `float`, in
//! static buffers: one call at a time. Every kind of layer is there; `tanh`, `sigmoid`, `silu` and `gelu` use
//! an exponential function of the file's own, whose error stands beside it.
//!
//! Numbers are hexadecimal, which C99 reads without rounding. With `-DLOCKSTEP_TEST` the file is a program
//! that computes ten images and compares the logits with the model's: it exits with 0 if they agree.

use super::ExportError;
use super::program::plan::{Op, Plan, Span, Step};
use super::program::sources::{list, used};
use super::program::{IN_C, Program, VECTORS};
use common::checkpoint::Model;
use common::model::activation::Activation;
use common::model::layer::Window;
use std::fmt::Write as _;

/// First bytes of a file.
pub(super) const START: &[u8] = b"/* Written by lockstep export --format c.";

/// The file, and what was checked.
pub(super) fn encode(model: &Model) -> Result<(Vec<u8>, String), ExportError> {
    let program = Program::of(model, "c")?;
    Ok((text(&program).into_bytes(), program.checked))
}

fn text(program: &Program<'_>) -> String {
    let Program { plan, .. } = program;
    let steps: String = plan.steps.iter().map(|step| format!("    {};\n", call(plan, step))).collect();
    let mut text = head(program);
    text += &used(IN_C, &steps);
    for table in &plan.tables {
        text += &array(&format!("static const float {}", table.name), &table.values);
    }
    for (number, len) in plan.buffers.iter().enumerate() {
        // Writing to a string can't fail.
        let _ = writeln!(text, "static float b{number}[{len}];");
    }
    let Span { buffer, len } = plan.output;
    let _ = writeln!(
        text,
        "\nint lockstep_predict(const uint8_t *image, float *logits)\n{{\n    int class = 0, i;\n{steps}    \
         for (i = 0; i < {len}; i++) {{\n        logits[i] = b{buffer}[i];\n        if (logits[i] > \
         logits[class])\n            class = i;\n    }}\n    return class;\n}}"
    );
    text + &test(program)
}

fn head(program: &Program<'_>) -> String {
    let [constants, buffers] = program.memory();
    let classes = program.classes();
    let text = format!(
        "lockstep_predict fills {classes} logits and returns the most
   likely class. It uses {constants} bytes of constants and {buffers} bytes of static buffers: one call at a time.
   With -DLOCKSTEP_TEST this is a program that compares {VECTORS} answers with the model's own."
    );
    preamble(program.model, START, &text, "float")
}

/// What a program begins with: a comment that ends in `text`, what it includes, its function with logits of a
/// type, and the names of the classes.
pub(super) fn preamble(model: &Model, start: &[u8], text: &str, logits: &str) -> String {
    let spec = model.architecture.input();
    let classes = spec.classes();
    let names: Vec<_> = (0..classes).map(|class| model.classes.get(class)).collect();
    format!(
        "{} Its network:

   {}

   An image is {} rows of {} pixels with {} bytes each. {text} */

#include <stddef.h>
#include <stdint.h>

int lockstep_predict(const uint8_t *image, {logits} *logits);

extern const char *const lockstep_class_names[{classes}];

const char *const lockstep_class_names[{classes}] = {{
{}}};

",
        String::from_utf8_lossy(start),
        model.architecture.layers(),
        spec.height(),
        spec.width(),
        spec.channels(),
        list(&names, |name| quoted(name)),
    )
}

fn call(plan: &Plan, Step { op, from, to }: &Step) -> String {
    let table = |place: usize| plan.tables[place].name.as_str();
    let [x, y] = [from, to].map(|span| format!("b{}", span.buffer));
    let [inputs, count] = [from.len, to.len];
    let pool = |function, Window { window, stride }, input, output| {
        let [input, output] = [input, output].map(shape);
        format!("{function}({x}, {y}, {input}, {output}, (window){{{window}, {stride}, 0}})")
    };
    let channels = |table: usize| plan.tables[table].values.len();
    match *op {
        Op::Pixels { table: values, channels: of } => {
            format!("pixels(image, {y}, {count}, {}, {}, {of})", table(values), channels(values))
        }
        Op::Conv { conv, weight, bias, input, output } => {
            let [weight, bias] = [table(weight), bias.map_or("NULL", table)];
            let window = format!("(window){{{}, {}, {}}}", conv.kernel, conv.stride, conv.padding);
            let [input, output] = [input, output].map(shape);
            format!("conv({x}, {y}, {weight}, {bias}, {input}, {output}, {window}, {})", conv.groups)
        }
        Op::MaxPool { window, input, output } => pool("max_pool", window, input, output),
        Op::AvgPool { window, input, output } => pool("avg_pool", window, input, output),
        Op::GlobalAvgPool => format!("global_avg_pool({x}, {inputs}, {y}, {count})"),
        Op::Dense { weight, bias } => {
            format!("dense({x}, {inputs}, {y}, {count}, {}, {})", table(weight), table(bias))
        }
        Op::ScaleShift { scale, shift } => {
            format!("scale_shift({y}, {count}, {}, {}, {})", table(scale), table(shift), channels(scale))
        }
        Op::GroupNorm { weight, bias, groups } => {
            let [weight, bias, channels] = [table(weight), table(bias), &channels(weight).to_string()];
            format!("group_norm({y}, {count}, {weight}, {bias}, {channels}, {groups})")
        }
        Op::LayerNorm { weight, bias } => {
            format!("layer_norm({y}, {count}, {}, {}, {})", table(weight), table(bias), channels(weight))
        }
        Op::Activation(Activation::LeakyRelu { slope }) => {
            format!("leaky_relu({y}, {count}, {})", number(&slope))
        }
        Op::Activation(activation) => format!("{}({y}, {count})", function(activation)),
        Op::Add => format!("add({y}, {x}, {count})"),
        Op::Copy => format!("copy({x}, {y}, {count})"),
    }
}

/// The function of an activation without settings.
pub(super) fn function(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::LeakyRelu { .. } => "leaky_relu",
        Activation::Gelu => "gelu",
        Activation::Silu => "silu",
        Activation::Tanh => "tanh_of",
        Activation::Sigmoid => "sigmoid",
    }
}

fn shape([channels, rows, columns]: [usize; 3]) -> String {
    format!("(shape){{{channels}, {rows}, {columns}}}")
}

fn array(name: &str, values: &[f32]) -> String {
    format!("{name}[{}] = {{\n{}}};\n\n", values.len(), list(values, number))
}

/// A number without rounding: a whole number times a power of two.
fn number(value: &f32) -> String {
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let bits = value.to_bits();
    let exponent = bits >> 23 & 0xff;
    let fraction = bits & 0x7f_ffff;
    let (whole, power) = if exponent == 0 { (fraction, 1) } else { (fraction | 0x80_0000, exponent) };
    if whole == 0 {
        return format!("{sign}0.0f");
    }
    let zeros = whole.trailing_zeros();
    format!("{sign}0x{:x}p{}f", whole >> zeros, power as i32 - 150 + zeros as i32)
}

/// A text as a literal of printable ASCII; a question mark could begin a trigraph.
fn quoted(text: &str) -> String {
    let mut literal = "\"".to_owned();
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | b'?' | 0..=0x1f | 0x7f.. => {
                // Writing to a string can't fail.
                let _ = write!(literal, "\\{byte:03o}");
            }
            _ => literal.push(char::from(byte)),
        }
    }
    literal + "\""
}

fn test(program: &Program<'_>) -> String {
    let classes = program.classes();
    let bytes = program.image_bytes();
    format!(
        "
#ifdef LOCKSTEP_TEST
#include <stdio.h>

{}static uint8_t image[{bytes}];

int main(void)
{{
    float logits[{classes}], largest = 0.0f;
    uint32_t state = 1;
    int vector, at, failures = 0;
    for (vector = 0; vector < {VECTORS}; vector++) {{
        for (at = 0; at < {bytes}; at++) {{
            state = state * 1664525u + 1013904223u;
            image[at] = (uint8_t)(state >> 24);
        }}
        lockstep_predict(image, logits);
        for (at = 0; at < {classes}; at++) {{
            float difference = logits[at] - expected[vector * {classes} + at];
            difference = difference < 0.0f ? -difference : difference;
            largest = difference > largest ? difference : largest;
            if (!(difference <= {}))
                failures++;
        }}
    }}
    printf(\"%d of {} logits differ from the model's; the largest difference is %.1e\\n\", failures, (double)largest);
    return failures > 0;
}}
#endif
",
        array("static const float expected", &program.expected),
        number(&program.limit),
        program.expected.len(),
    )
}
