//! The embedded data set is worth training on: a linear model stays below 95 %, the CNN passes 98 %.

use std::time::Duration;
use tests::cluster::train;
use tests::process::{Process, with_argument};
use tests::told::joined;

#[test]
fn a_linear_model_learns_digits_but_not_well() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().to_str().unwrap();
    let flags =
        ["--dataset", "digits", "--model", "linear", "--epochs", "5", "--checkpoint-dir", checkpoints];
    let test = train(&flags, &[1, 1]).test.unwrap();
    assert_eq!(test.totals.samples, 10_000);
    let accuracy = test.confusion.accuracy();
    assert!((0.75..0.95).contains(&accuracy), "{accuracy}");
}

#[test]
fn the_cnn_learns_digits_in_local_workers_that_end_with_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().to_str().unwrap();
    let flags = ["--workers", "2", "--local", "--dataset", "digits", "--epochs", "1"];
    let (mut process, address) =
        Process::coordinator("127.0.0.1:0", &[&flags[..], &["--checkpoint-dir", checkpoints]].concat());
    for worker in ["local-0", "local-1"] {
        let _ = process.wait_for_event("lets it in", joined(worker));
    }
    let ways = [format!("unix:@lockstep-{}-", process.id()), address];
    let workers = || ways.iter().flat_map(|way| with_argument(way)).collect::<Vec<u32>>();
    assert_eq!(workers().len(), 2);
    // This run is the only one here with real training: on a busy machine it takes minutes.
    let outcome = process.wait_for(Duration::from_secs(900));
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let metrics = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    let records = metrics.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let test = records.into_iter().find(|record| record["kind"] == "test").expect("it was tested");
    assert!(test["accuracy"].as_f64().unwrap() >= 0.98, "{test}");
    assert!(outcome.output.contains("confusion"), "{}", outcome.output);
    assert_eq!(workers(), Vec::<u32>::new(), "workers are left behind");
}
