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

/// The newest checkpoint in a folder.
fn newest(folder: &Path) -> std::path::PathBuf {
    let step = *tests::process::checkpoints(folder).last().expect("a checkpoint");
    folder.join(coordinator::store::directory(common::ids::Step(step)))
}
