use super::super::tests::{NETWORKS, model};
use super::super::{c, rust};
use super::*;
use std::path::Path;
use std::process::Command;

/// Networks besides the usual ones: branches that keep values which are changed in place, and names of
/// classes that would end a literal.
const BRANCHES: [&str; 2] = [
    "residual relu residual tanh add shortcut conv(1,1) add residual add flatten dense",
    "conv(4,3,padding=2,groups=1) residual residual shortcut relu add shortcut residual sigmoid add add \
     globalavgpool residual gelu layernorm add dense",
];

fn every_network() -> impl Iterator<Item = Model> {
    let standard = "standard(mean=0.5 0.3,deviation=0.25 0.5)";
    NETWORKS
        .iter()
        .enumerate()
        .map(move |(at, layers)| {
            let (channels, normalize) = if at % 2 == 1 { (2, standard) } else { (1, "unit") };
            model(channels, layers, normalize)
        })
        .chain(BRANCHES.map(|layers| Model { classes: odd_names(), ..model(1, layers, "unit") }))
}

fn odd_names() -> common::data::classes::ClassNames {
    common::data::classes::ClassNames::new(["a\"; b", "??/", "*/ \\", "\u{202e}käse"])
}

/// Runs a compiler or a program; `None` if there is none, which is said.
fn run(command: &mut Command) -> Option<(bool, String)> {
    match command.output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Some((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
        }
        Err(error) => {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("not checked: {command:?}: {error}\n").as_bytes(),
            );
            None
        }
    }
}

/// Compiles a file silently and runs what comes of it; whether that succeeds, and what it says.
pub(in super::super) fn compiled(compiler: &str, flags: &[&str], source: &Path) -> Option<(bool, String)> {
    let program = source.with_extension("program");
    let (is_compiled, said) = run(Command::new(compiler).args(flags).arg(source).arg("-o").arg(&program))?;
    assert!(is_compiled && said.is_empty(), "{compiler} {flags:?}: {said}");
    run(&mut Command::new(program))
}

pub(in super::super) const C_FLAGS: [&str; 6] =
    ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-O1", "-DLOCKSTEP_TEST"];
pub(in super::super) const RUST_FLAGS: [&str; 5] =
    ["--edition=2021", "--test", "-Copt-level=1", "-Cdebuginfo=0", "--color=never"];

#[test]
fn every_network_computes_the_models_logits_in_c() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("model.c");
    for model in every_network() {
        let (text, checked) = c::encode(&model).unwrap();
        assert!(checked.contains("largest difference") && text.starts_with(c::START), "{checked}");
        assert!(c::encode(&model).unwrap() == (text.clone(), checked), "the same model gives the same file");
        std::fs::write(&source, text).unwrap();
        let Some((is_good, said)) = compiled("gcc", &C_FLAGS, &source) else { return };
        assert!(is_good && said.starts_with("0 of 40 logits differ"), "{}: {said}", model.architecture);
        // Without its test, as a part of another program.
        let flags = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-O1", "-c", "-o"];
        let object = source.with_extension("o");
        let part = run(Command::new("gcc").args(flags).args([&object, &source]));
        assert_eq!(part, Some((true, String::new())), "{}", model.architecture);
    }
}

#[test]
fn every_network_computes_the_models_logits_in_rust() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("model.rs");
    let without_std = folder.path().join("part.rs");
    std::fs::write(&without_std, "#![no_std]\npub mod model;\n").unwrap();
    for model in every_network() {
        let (text, checked) = rust::encode(&model).unwrap();
        assert!(checked.contains("largest difference") && text.starts_with(rust::START), "{checked}");
        assert!(rust::encode(&model).unwrap() == (text.clone(), checked), "the same model, the same file");
        std::fs::write(&source, text).unwrap();
        let Some((is_good, said)) = compiled("rustc", &RUST_FLAGS, &source) else { return };
        assert!(is_good && said.contains("1 passed"), "{}: {said}", model.architecture);
        let flags = ["--edition=2021", "--crate-type=lib", "--emit=metadata", "--out-dir"];
        let part = run(Command::new("rustc").args(flags).args([folder.path(), &without_std]));
        assert_eq!(part, Some((true, String::new())), "{}", model.architecture);
    }
}

#[test]
fn a_programs_own_test_notices_other_weights() {
    let model = model(1, NETWORKS[0], "unit");
    let folder = tempfile::tempdir().unwrap();
    let weight = model.params[model.architecture.layout().find("fc2.bias").unwrap().1][1];
    let sides = [
        (c::encode(&model).unwrap().0, "fc2_bias[4] = {\n", "model.c"),
        (rust::encode(&model).unwrap().0, "FC2_BIAS: [f32; 4] = [\n", "model.rs"),
    ];
    for (text, table, name) in sides {
        let text = String::from_utf8(text).unwrap();
        let (before, after) = text.split_once(table).unwrap();
        let numbers: Vec<&str> = after.splitn(3, ',').collect();
        let other = format!("{before}{table}{}, {:?},{}", numbers[0], weight + 0.01, numbers[2]);
        let source = folder.path().join(name);
        std::fs::write(&source, other).unwrap();
        let is_c = name.ends_with(".c");
        let flags = if is_c { &C_FLAGS[..] } else { &RUST_FLAGS };
        let Some((is_good, said)) = compiled(if is_c { "gcc" } else { "rustc" }, flags, &source) else {
            continue;
        };
        assert!(!is_good, "{said}");
        assert!(said.contains("10 of 40 logits differ") || said.contains("1 failed"), "{said}");
    }
}

#[test]
fn a_chain_has_two_buffers_and_works_in_place() {
    let model = model(1, "conv(4,3) relu maxpool(2) batchnorm flatten dense(5) tanh dense", "unit");
    let plan = Plan::of(&model);
    assert_eq!(plan.buffers, [144, 400]);
    let in_place = plan.steps.iter().filter(|step| step.from == step.to).count();
    assert_eq!((plan.steps.len(), in_place), (8, 3));
}

#[test]
fn too_many_numbers_are_refused() {
    let model = model(1, "flatten dense(40000) dense", "unit");
    let error = Program::of(&model, "c").map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("--format c: 5960004 numbers are too many"), "{error}");
}

#[test]
fn only_what_is_used_is_written() {
    let text = sources::used(IN_C, "sigmoid(b0, 3); add(b0, b1, 3)");
    let names = ["word;", "exp_of(float", "sigmoid(float", "add(float", "conv(", "inverse_root(", "} shape"];
    assert_eq!(names.map(|name| text.contains(name)), [true, true, true, true, false, false, false]);
    let text = sources::used(IN_RUST, "max_pool(x, y, ([1, 2, 3], [1, 2, 3]), Window {})");
    let names = ["struct Window", "type Shape", "fn max_pool(", "fn exp_of(", "pub(super)", "fn avg_pool("];
    assert_eq!(names.map(|name| text.contains(name)), [true, true, true, false, false, false]);
}

#[test]
fn functions_keep_their_stated_errors() {
    let numbers = || (-4000..=4000).map(|step| step as f32 / 40.0 + 0.001_3);
    let error = |function: fn(&mut [f32]), exact: fn(f64) -> f64| {
        let error = |x: f32| {
            let mut value = [x];
            function(&mut value);
            (f64::from(value[0]) - exact(f64::from(x))).abs() / exact(f64::from(x)).abs().max(1.0)
        };
        numbers().map(error).fold(0.0, f64::max)
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    for (name, error, limit) in [
        ("tanh", error(kernels::tanh_of, libm::tanh), 3e-7),
        ("sigmoid", error(kernels::sigmoid, sigmoid), 2e-7),
        ("silu", error(kernels::silu, |x| x / (1.0 + libm::exp(-x))), 3e-7),
        ("gelu", error(kernels::gelu, |x| x * 0.5 * libm::erfc(-x / 2f64.sqrt())), 5e-7),
    ] {
        assert!(error < limit && error > limit / 20.0, "{name}: {error:e}");
    }
    let relative = |got: f32, exact: f64| (f64::from(got) - exact).abs() / exact;
    let exp = numbers().filter(|x| x.abs() < 87.0).map(|x| relative(kernels::exp_of(x), libm::exp(x.into())));
    let exp = exp.fold(0.0, f64::max);
    assert!(exp < 2e-7, "exp: {exp:e}");
    let roots = numbers().map(|x| libm::exp(f64::from(x) / 8.0) as f32);
    let root = |x: f32| relative(kernels::inverse_root(x), 1.0 / f64::from(x).sqrt());
    let root = roots.filter(|x| *x >= 1e-5).map(root).fold(0.0, f64::max);
    assert!(root < 4e-7, "inverse root: {root:e}");
}
