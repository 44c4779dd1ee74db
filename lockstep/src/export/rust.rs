//! A program in one file of Rust, for anything with a compiler: only `core`, so it may be a module of
//! a `#![no_std]` crate, no allocation and no floating-point functions.
//!
//! `predict(&image, &mut buffers, &mut logits)` takes an image as the data sets have them, by row, column and
//! channel, fills the logits, and returns the most likely class. `Buffers` is what it computes in, wherever
//! the caller has room for it; `Buffers::new` is a `const fn`. Every kind of layer is there; `tanh`,
//! `sigmoid`, `silu` and `gelu` use an exponential function of the file's own, whose error stands beside it.
//!
//! Numbers are decimal with the digits that give the same bits. Its own test, under `cfg(test)`, computes ten
//! images and compares the logits with the model's: `rustc --test FILE` makes a program of it.

use super::ExportError;
use super::c::function;
use super::program::plan::{Op, Plan, Span, Step};
use super::program::sources::{list, used};
use super::program::{IN_RUST, Program, VECTORS};
use common::checkpoint::Model;
use common::model::activation::Activation;
use common::model::layer::Window;
use std::fmt::Write as _;

/// First bytes of a file.
pub(super) const START: &[u8] = b"//! Written by lockstep export --format rust.";

/// The file, and what was checked.
pub(super) fn encode(model: &Model) -> Result<(Vec<u8>, String), ExportError> {
    let program = Program::of(model, "rust")?;
    Ok((text(&program).into_bytes(), program.checked))
}

fn text(program: &Program<'_>) -> String {
    let Program { plan, .. } = program;
    let steps: String = plan.steps.iter().map(|step| format!("    {};\n", call(plan, step))).collect();
    let mut text = head(program);
    let Span { buffer, len } = plan.output;
    let bytes = program.image_bytes();
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "/// Fills the logits of an image, and returns the most likely class.
pub fn predict(image: &[u8; {bytes}], buffers: &mut Buffers, logits: &mut [f32; {len}]) -> usize {{
{steps}    logits.copy_from_slice(&buffers.b{buffer}[..{len}]);
    let mut class = 0;
    for at in 1..{len} {{
        if logits[at] > logits[class] {{
            class = at;
        }}
    }}
    class
}}
"
    );
    text += &used(IN_RUST, &steps);
    for table in &plan.tables {
        let name = table.name.to_uppercase();
        text += &array(&format!("static {name}"), &table.values);
    }
    text + &test(program)
}

fn head(program: &Program<'_>) -> String {
    let [constants, bytes] = program.memory();
    let classes = program.classes();
    let text = format!(
        "[`predict`] fills {classes} logits and returns the most likely
//! class. It uses {constants} bytes of constants and {bytes} bytes of [`Buffers`]. Nothing but `core` is needed. The test
//! compares {VECTORS} answers with the model's own."
    );
    preamble(program.model, START, &text) + &buffers(&program.plan.buffers, "f32", "0.0")
}

/// What a program begins with: a comment that ends in `text`, and the names of the classes.
pub(super) fn preamble(model: &Model, start: &[u8], text: &str) -> String {
    let spec = model.architecture.input();
    let classes = spec.classes();
    let names: Vec<_> = (0..classes).map(|class| model.classes.get(class)).collect();
    format!(
        "{} Its network:
//!
//! {}
//!
//! An image is {} rows of {} pixels with {} bytes each. {text}

/// Names of the classes.
pub const CLASS_NAMES: [&str; {classes}] = [
{}];

",
        String::from_utf8_lossy(start),
        model.architecture.layers(),
        spec.height(),
        spec.width(),
        spec.channels(),
        list(&names, |name| format!("\"{}\"", name.escape_default())),
    )
}

/// The type of a program's buffers, which hold so many numbers of a type each.
pub(super) fn buffers(lengths: &[usize], of: &str, zero: &str) -> String {
    let buffers = || lengths.iter().enumerate();
    let fields: String = buffers().map(|(at, len)| format!("    b{at}: [{of}; {len}],\n")).collect();
    let zeros: Vec<String> = buffers().map(|(at, len)| format!("b{at}: [{zero}; {len}]")).collect();
    format!(
        "/// What the network computes in.
pub struct Buffers {{
{fields}}}

impl Buffers {{
    /// Buffers for any number of images, one after the other.
    pub const fn new() -> Self {{
        Self {{ {} }}
    }}
}}

impl Default for Buffers {{
    fn default() -> Self {{
        Self::new()
    }}
}}

",
        zeros.join(", "),
    )
}

fn call(plan: &Plan, Step { op, from, to }: &Step) -> String {
    let table = |place: usize| format!("&{}", plan.tables[place].name.to_uppercase());
    let pair = |one: usize, other: usize| format!("({}, {})", table(one), table(other));
    let x = format!("&buffers.b{}[..{}]", from.buffer, from.len);
    let y = format!("&mut buffers.b{}[..{}]", to.buffer, to.len);
    let pool = |function, Window { window, stride }, input, output| {
        let window = self::window(window, stride, 0);
        format!("{function}({x}, {y}, ({input:?}, {output:?}), {window})")
    };
    match *op {
        Op::Pixels { table: values, channels } => {
            format!("pixels(image, {y}, {}, {channels})", table(values))
        }
        Op::Conv { conv, weight, bias, input, output } => {
            let weights = format!("({}, {})", table(weight), bias.map_or_else(|| "&[]".to_owned(), table));
            let window = window(conv.kernel, conv.stride, conv.padding);
            format!("conv({x}, {y}, {weights}, ({input:?}, {output:?}), {window}, {})", conv.groups)
        }
        Op::MaxPool { window, input, output } => pool("max_pool", window, input, output),
        Op::AvgPool { window, input, output } => pool("avg_pool", window, input, output),
        Op::GlobalAvgPool => format!("global_avg_pool({x}, {y})"),
        Op::Dense { weight, bias } => format!("dense({x}, {y}, {})", pair(weight, bias)),
        Op::ScaleShift { scale, shift } => format!("scale_shift({y}, {})", pair(scale, shift)),
        Op::GroupNorm { weight, bias, groups } => {
            format!("group_norm({y}, {}, {groups})", pair(weight, bias))
        }
        Op::LayerNorm { weight, bias } => format!("layer_norm({y}, {})", pair(weight, bias)),
        Op::Activation(Activation::LeakyRelu { slope }) => format!("leaky_relu({y}, {slope:?})"),
        Op::Activation(activation) => format!("{}({y})", function(activation)),
        Op::Add => format!("add({y}, {x})"),
        Op::Copy => format!("copy({x}, {y})"),
    }
}

fn window(size: usize, stride: usize, padding: usize) -> String {
    format!("Window {{ size: {size}, stride: {stride}, padding: {padding} }}")
}

fn array(name: &str, values: &[f32]) -> String {
    format!("{name}: [f32; {}] = [\n{}];\n\n", values.len(), list(values, |value| format!("{value:?}")))
}

fn test(program: &Program<'_>) -> String {
    let classes = program.classes();
    let bytes = program.image_bytes();
    format!(
        "#[cfg(test)]
mod tests {{
    extern crate std;

    use super::*;

    #[test]
    fn the_logits_are_the_models() {{
        static BUFFERS: std::sync::Mutex<Buffers> = std::sync::Mutex::new(Buffers::new());
        let mut buffers = BUFFERS.lock().unwrap();
        let mut state = 1u32;
        for expected in EXPECTED.chunks({classes}) {{
            let mut image = [0; {bytes}];
            for byte in &mut image {{
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }}
            let mut logits = [0.0; {classes}];
            let class = predict(&image, &mut buffers, &mut logits);
            assert!(class < CLASS_NAMES.len());
            for (logit, expected) in logits.iter().zip(expected) {{
                assert!((logit - expected).abs() <= {:?}, \"{{logits:?}} instead of {{expected:?}}\");
            }}
        }}
    }}

{}}}
",
        program.limit,
        array("    static EXPECTED", &program.expected).trim_end().to_owned() + "\n",
    )
}
