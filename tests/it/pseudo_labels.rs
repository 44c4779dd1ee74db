//! A run that learns from samples without their labels has the same bits whatever the number of workers, and
//! after any kill and stop, also in the middle of an epoch whose labels come from weights that are gone.

use common::train::metrics::Confusion;
use common::train::pseudo::Guess;
use coordinator::run::Summary;
use nix::sys::signal::Signal::SIGKILL;
use proto::message::{Answer, AnswerBody, WorkerMessage};
use std::path::Path;
use tempfile::TempDir;
use tests::cluster::{digests, train};
use tests::process::Process;
use tests::scripted::{hello, work};
use tests::small_data::SmallData;

/// 600 samples an epoch, of which 100 have labels: 6 steps. The threshold is where this small network is
/// sure of some and not of others.
const LEARNING: [&str; 24] = [
    "--model",
    "mlp(33)",
    "--per-class",
    "10",
    "--pseudo-labels",
    "0.3",
    "--labelled-share",
    "0.2",
    "--val-split",
    "43",
    "--batch-size",
    "100",
    "--micro-batch",
    "25",
    "--epochs",
    "4",
    "--average",
    "ema(0.9)",
    "--lr",
    "0.01",
    "--augment",
    "rotate(10) shift(0.1)",
    "--checkpoint-every",
    "2",
];

/// Data, and folders for checkpoints.
struct Bench {
    data: SmallData,
    folders: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { data: SmallData::write(), folders: tempfile::tempdir().expect("a folder") }
    }

    /// Flags of the run in that folder, but for those that `more` has itself.
    fn flags<'a>(&'a self, folder: &str, more: &[&'a str]) -> Vec<&'a str> {
        let folder = self.folders.path().join(folder).to_str().expect("a readable name").to_owned().leak();
        let own = LEARNING.chunks(2).filter(|pair| !more.contains(&pair[0])).flatten().copied();
        let place = ["--dataset", self.data.folder(), "--checkpoint-dir", folder];
        [&place[..], &own.collect::<Vec<_>>(), more].concat()
    }

    fn run(&self, folder: &str, more: &[&str], threads: &[u32]) -> Summary {
        train(&self.flags(folder, more), threads)
    }
}

/// All bytes of a run's last checkpoint.
fn bytes(summary: &Summary) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(&summary.checkpoint).expect("a checkpoint").flatten();
    let mut files: Vec<_> = files
        .map(|file| {
            (file.file_name().into_string().expect("a name"), std::fs::read(file.path()).expect("it"))
        })
        .collect();
    files.sort();
    files
}

/// The `pseudo_labels` lines of a run's metrics: step, samples, labelled, right.
fn told(folder: &Path) -> Vec<[u64; 4]> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).expect("metrics");
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let lines = lines.filter(|line| line["kind"] == "pseudo_labels");
    let number = |line: &serde_json::Value, name: &str| line[name].as_u64().expect("a number");
    lines.map(|line| ["step", "samples", "labelled", "right"].map(|name| number(&line, name))).collect()
}

#[test]
fn a_run_with_pseudo_labels_has_the_same_bits_for_any_workers_and_after_stops_in_mid_epoch() {
    let bench = Bench::new();
    let alone = bench.run("alone", &[], &[1]);
    assert_eq!(alone.steps, 24);
    let labels = told(&bench.folders.path().join("alone"));
    assert_eq!(labels.iter().map(|line| line[0]).collect::<Vec<_>>(), [6, 12, 18]);
    for [_, samples, labelled, right] in &labels {
        assert!(*samples == 500 && (20..480).contains(labelled) && right <= labelled, "{labels:?}");
    }
    for (folder, threads) in [("two", &[1, 1][..]), ("three", &[1, 2, 1])] {
        assert!(bytes(&bench.run(folder, &[], threads)) == bytes(&alone), "{threads:?}");
    }
    // In an epoch with labels, right before one, and after its first step.
    for (steps, threads) in [("9", &[1][..]), ("12", &[1, 1]), ("13", &[2])] {
        let stopped = bench.run("stopped", &["--max-steps", steps], threads);
        let has_labels = bytes(&stopped).iter().any(|(name, _)| name == "pseudo-labels.safetensors");
        assert_eq!(has_labels, steps != "12", "{steps}");
    }
    assert!(bytes(&bench.run("stopped", &[], &[1, 1, 1])) == bytes(&alone));
    assert_eq!(told(&bench.folders.path().join("stopped")), labels, "each epoch once, and the same");
}

#[test]
fn a_run_with_pseudo_labels_that_is_killed_goes_on_with_the_same_bits() {
    let bench = Bench::new();
    let long = ["--epochs", "40"];
    let alone = bench.run("alone", &long, &[1]);
    let flags = bench.flags("killed", &[&long[..], &["--workers", "2"]].concat());
    let (mut run, address) = Process::coordinator("127.0.0.1:0", &flags);
    let workers = ["a", "b"].map(|name| Process::worker(&address, name));
    let folder = bench.folders.path().join("killed");
    run.wait_for_checkpoint(&folder, 8);
    workers[0].signal(SIGKILL);
    let _third = Process::worker(&address, "c");
    run.wait_for_checkpoint(&folder, 16);
    run.signal(SIGKILL);
    let _ = run.wait();
    let outcome = Process::coordinator(&address, &flags).0.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.output.contains(&alone.model_sha256), "{}", outcome.output);
}

#[test]
fn each_setting_of_pseudo_labels_makes_another_run() {
    let bench = Bench::new();
    let of = |folder, more: &[&str]| digests(&bench.run(folder, more, &[1]));
    let alone = of("alone", &[]);
    for (folder, more) in [
        ("threshold", ["--pseudo-labels", "0.5"]),
        ("from", ["--pseudo-from", "3"]),
        ("share", ["--labelled-share", "0.9"]),
        ("teacher", ["--average", "none"]),
    ] {
        assert_ne!(of(folder, &more), alone, "{more:?}");
    }
}

/// A worker that spoils its guesses, and what it is told for that.
type Liar = (&'static str, fn(&mut Answer, Vec<Guess>), &'static str);

const LIARS: [Liar; 3] = [
    (
        "few",
        |answer, guesses| answer.body = AnswerBody::Guesses(guesses[1..].to_vec()),
        "bytes of guesses for",
    ),
    (
        "outside",
        |answer, mut guesses| {
            guesses[0].class = 10;
            answer.body = AnswerBody::Guesses(guesses);
        },
        "class of a guess is 10, which is not in 0..=9",
    ),
    (
        "counts",
        |answer, guesses| {
            let mut confusion = Confusion::new(10);
            confusion.count(0, 1, guesses.len() as u64);
            answer.body = AnswerBody::Confusion(Box::new(confusion));
        },
        "of a round that asks for guesses",
    ),
];

#[test]
fn wrong_guesses_are_refused_and_found_by_others() {
    let bench = Bench::new();
    let alone = bench.run("alone", &[], &[1]);
    let (run, address) = Process::coordinator("127.0.0.1:0", &bench.flags("attacked", &["--workers", "1"]));
    // One after the other each is the only worker, and honest until it is asked for guesses.
    for (name, spoil, expected) in LIARS {
        let told = work(&address, hello(name), |mut answer| {
            if let AnswerBody::Guesses(guesses) = answer.body.clone() {
                spoil(&mut answer, guesses);
            }
            vec![WorkerMessage::Answer(answer)]
        });
        assert!(told.as_ref().is_err_and(|told| told.contains(expected)), "{name}: {told:?}");
    }
    let _honest = Process::worker(&address, "honest");
    let outcome = run.wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.output.contains(&alone.model_sha256), "{}", outcome.output);
}
