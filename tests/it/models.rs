//! What `lockstep` says of a model is what its training said, from a checkpoint and from the file that is
//! handed on.

use std::path::Path;
use tempfile::TempDir;
use tests::cluster::train;
use tests::process::{Outcome, Process};
use tests::small_data::SmallData;

const NETWORK: [&str; 4] =
    ["--model", "conv(4,3) batchnorm relu maxpool(2) flatten dense", "--normalize", "standard"];

/// Data, and a checkpoint with averaged weights.
struct Bench {
    data: SmallData,
    folder: TempDir,
}

impl Bench {
    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a readable name").to_owned()
    }

    fn flags<'a>(&'a self, checkpoints: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let place = ["--dataset", self.data.folder(), "--checkpoint-dir", checkpoints];
        [&place[..], &NETWORK, more].concat()
    }

    fn evaluated(&self, more: &[&str]) -> serde_json::Value {
        let flags = ["evaluate", "--dataset", self.data.folder(), "--json"];
        let Outcome { code, output, errors, .. } =
            Process::start("lockstep", &[&flags[..], more].concat()).wait();
        assert_eq!(code, Some(0), "{errors}");
        serde_json::from_str(&output).expect("JSON")
    }
}

fn lockstep(args: &[&str]) -> Outcome {
    Process::start("lockstep", args).wait()
}

#[test]
fn an_evaluation_counts_what_the_trainings_test_counted() {
    let bench = Bench { data: SmallData::write(), folder: tempfile::tempdir().expect("a folder") };
    let run = bench.at("run");
    let more = ["--epochs", "2", "--average", "ema(0.9)", "--val-split", "40"];
    let summary = train(&bench.flags(&run, &more), &[1]);
    let test = summary.test.expect("a test");
    let report = bench.evaluated(&["--checkpoint", &run]);
    assert_eq!(report["confusion"], serde_json::to_value(&test.confusion).expect("JSON"));
    let loss = report["loss"].as_f64().expect("a number");
    assert!((loss - test.totals.loss()).abs() < 1e-9, "{loss} and {}", test.totals.loss());
    let averaged = summary.other_tests.first().expect("a test of the averaged weights");
    let of_averaged = bench.evaluated(&["--checkpoint", &run, "--weights", "averaged", "--threads", "3"]);
    assert_eq!(of_averaged["correct"], averaged.totals.correct);

    let file = bench.at("model.safetensors");
    let exported = lockstep(&["export", "--checkpoint", &run, "--format", "safetensors", "--output", &file]);
    assert_eq!(exported.code, Some(0), "{}", exported.errors);
    let from_file = bench.evaluated(&["--checkpoint", &file, "--against", &run]);
    assert_eq!(from_file["confusion"], report["confusion"]);
    assert_eq!(
        (&from_file["against"]["different_answers"], &from_file["against"]["p_value"]),
        (&0.into(), &1.0.into())
    );

    // A run that begins with the file, and takes no step, has its values.
    let begun = bench.at("begun");
    let more = ["--init-from", &file, "--max-steps", "0", "--val-split", "40"];
    assert_eq!(train(&bench.flags(&begun, &more), &[1]).model_sha256, summary.model_sha256);
}

#[test]
fn what_is_no_model_is_named_and_a_path_in_a_model_is_not_read() {
    let bench = Bench { data: SmallData::write(), folder: tempfile::tempdir().expect("a folder") };
    let run = bench.at("run");
    let _ = train(&bench.flags(&run, &["--epochs", "1"]), &[1]);
    let said = |args: &[&str]| {
        let Outcome { code, errors, .. } = lockstep(&[&["evaluate", "--checkpoint"], args].concat());
        assert_eq!(code, Some(1), "{errors}");
        errors
    };
    assert!(said(&[&bench.at("missing")]).contains("there is no such file or folder"));
    assert!(said(&[bench.data.folder()]).contains("there is no valid checkpoint in this folder"));
    assert!(said(&[&run]).contains("give --dataset"), "the model names a folder");
    assert!(said(&[&run, "--weights", "best"]).contains("has no best weights; it has last"));
    let file = bench.at("model.safetensors");
    let exported = lockstep(&["export", "--checkpoint", &run, "--format", "safetensors", "--output", &file]);
    assert_eq!(exported.code, Some(0), "{}", exported.errors);
    let bytes = std::fs::read(&file).expect("the file");
    std::fs::write(&file, &bytes[..bytes.len() - 1]).expect("room");
    assert!(said(&[&file]).contains("it is no file of safetensors"));
    let tensors = newest(Path::new(&run)).join("model.safetensors");
    assert!(said(&[tensors.to_str().expect("a readable name")]).contains("no entry \"lockstep\""));
    let missing = bench.at("missing");
    let against = said(&[&run, "--dataset", "digits", "--against", &missing]);
    assert!(against.contains(&format!("{missing}: there is no such file")), "{against}");
    assert!(said(&[&run, "--dataset", "digits", "--mistakes", &run]).contains("the folder is not empty"));
}

#[test]
fn a_smaller_model_is_measured_and_can_be_trained_on() {
    let bench = Bench { data: SmallData::write(), folder: tempfile::tempdir().expect("a folder") };
    let run = bench.at("run");
    let _ = train(&bench.flags(&run, &["--epochs", "2"]), &[1]);
    let compressed = |how: &[&str], output: &str| {
        let place = ["compress", "--checkpoint", &run, "--dataset", bench.data.folder(), "--output", output];
        let Outcome { code, output, errors, .. } = lockstep(&[&place[..], how].concat());
        assert_eq!(code, Some(0), "{errors}");
        output
    };
    let accuracies = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("test accuracy")).expect("a line").to_owned();
        let numbers = line.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
        numbers.collect::<Vec<_>>()
    };
    let before = bench.evaluated(&["--checkpoint", &run])["accuracy"].as_f64().expect("a number");

    let program = bench.at("model.c");
    let logits = bench.at("logits.npy");
    let said = compressed(&["--int8", "--format", "c", "--logits", &logits, "--calibration", "50"], &program);
    let [f32s, int8s] = accuracies(&said)[..] else { panic!("{said}") };
    assert!((f32s - 100.0 * before).abs() < 0.01 && (f32s - int8s).abs() < 5.0, "{said}");
    assert!(
        said.contains("calibrated on       50 training images") && said.contains("equal integers"),
        "{said}"
    );
    assert!(Path::new(&logits).is_file());

    let pruned = bench.at("pruned.safetensors");
    let said = compressed(&["--prune", "0.5"], &pruned);
    assert!(said.contains(" of ") && said.contains("--mask \"*.weight\""), "{said}");
    let after = bench.evaluated(&["--checkpoint", &pruned])["accuracy"].as_f64().expect("a number");
    assert!((accuracies(&said)[1] - 100.0 * after).abs() < 0.01, "{said}");

    let half = bench.at("half.safetensors");
    let said = compressed(&["--prune-channels", "0.5"], &half);
    let network = said.lines().find_map(|line| line.strip_prefix("network")).expect("a line").trim();
    assert!(network.starts_with("conv(2,3) batchnorm relu"), "{said}");
    let begun = bench.at("begun");
    let flags = ["--dataset", bench.data.folder(), "--checkpoint-dir", &begun, "--normalize", "standard"];
    let more = ["--model", network, "--init-from", &half, "--max-steps", "2"];
    let _ = train(&[&flags[..], &more].concat(), &[1]);

    let Outcome { code, errors, .. } = lockstep(&[
        "compress",
        "--checkpoint",
        &run,
        "--dataset",
        bench.data.folder(),
        "--prune",
        "0.5",
        "--output",
        &program,
    ]);
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("there is a file of another kind"), "{errors}");
}

/// The newest checkpoint in a folder.
fn newest(folder: &Path) -> std::path::PathBuf {
    let step = *tests::process::checkpoints(folder).last().expect("a checkpoint");
    folder.join(coordinator::store::directory(common::ids::Step(step)))
}
