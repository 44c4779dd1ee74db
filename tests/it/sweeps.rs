//! A search over settings has the same winner, the same tables and the same bits whoever computes, however
//! many trials there are at a time, and wherever it was stopped.

use common::checkpoint::digest;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tests::process::{Outcome, Process, checkpoints};
use tests::small_data::SmallData;

/// Nine trials, of which three and then one go on.
const SEARCH: &str = "
method = \"halving\"
trials = 9
rungs = [1, 2, 4]
repeats = 2
[fixed]
model = \"mlp(12)\"
epochs = 4
batch-size = 50
micro-batch = 10
val-split = 143
checkpoint-every = 7
[search]
lr = { from = 1e-4, to = 1e-1, log = true }
label-smoothing = [0.0, 0.1]
";

/// What a search leaves behind that must not depend on who computed.
#[derive(Debug, PartialEq)]
struct Left {
    /// The files about all trials.
    tables: BTreeMap<&'static str, String>,
    /// Digests of the newest checkpoint's files in each folder.
    newest: BTreeMap<PathBuf, BTreeMap<String, String>>,
    /// Folders of the runs that were tested.
    tested: Vec<PathBuf>,
    /// What was printed, but for the line that names the folder.
    summary: String,
}

/// A folder for a search, and its file.
struct Bench {
    data: SmallData,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { data: SmallData::write(), folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a search with that file in that folder.
    fn start(&self, name: &str, text: &str, flags: &[&str]) -> Process {
        // The state names the file.
        let file = self.path(&format!("{name}-file"));
        std::fs::create_dir_all(&file).expect("room for a folder");
        let file = file.join("search.toml");
        std::fs::write(&file, text).expect("room for a file");
        let [file, folder] = [file, self.path(name)].map(|path| path.to_str().expect("a name").to_owned());
        let own = ["--sweep", &file, "--checkpoint-dir", &folder, "--dataset", self.data.folder()];
        Process::start("coordinator", &[&own, flags].concat())
    }

    fn left(&self, name: &str, outcome: &Outcome) -> Left {
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
        let folder = self.path(name);
        let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a file of the search");
        let tables = ["sweep.json", "trials.csv", "journal.log"].map(|file| (file, read(file)));
        let mut runs: Vec<PathBuf> =
            ["trials", "repeats"].iter().flat_map(|kind| folders(&folder, kind)).collect();
        runs.sort_unstable();
        let newest = runs.iter().map(|run| (run.clone(), newest(&folder.join(run)))).collect();
        let is_tested =
            |run: &PathBuf| read(&format!("{}/metrics.jsonl", run.display())).contains("\"kind\":\"test\"");
        let tested = runs.iter().filter(|run| is_tested(run)).cloned().collect();
        let summary = outcome.output.lines().filter(|line| !line.contains(folder.to_str().expect("a name")));
        let summary = summary.map(|line| format!("{line}\n")).collect();
        Left { tables: tables.into(), newest, tested, summary }
    }
}

/// The folders below a folder of the search, from the search's folder on.
fn folders(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join(kind)).into_iter().flatten().flatten();
    entries.map(|entry| Path::new(kind).join(entry.file_name())).collect()
}

/// Digests of the newest checkpoint's files; none where nothing was saved.
fn newest(run: &Path) -> BTreeMap<String, String> {
    let Some(step) = checkpoints(run).last().copied() else { return BTreeMap::new() };
    let files = std::fs::read_dir(run.join(format!("step-{step:012}"))).expect("a checkpoint").flatten();
    files
        .map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            (name, digest(&std::fs::read(file.path()).expect("a file of the checkpoint")))
        })
        .collect()
}

#[test]
fn the_winner_and_all_bits_are_the_same_whoever_computes_and_wherever_it_was_stopped() {
    let bench = Bench::new();
    let parallel = |parallel: u32| format!("parallel = {parallel}\n{SEARCH}");
    let run = |name: &str, workers: &str, at_a_time: u32| {
        let flags = ["--local", "--threads", "1", "--workers", workers];
        bench.start(name, &parallel(at_a_time), &flags)
    };
    let alone = bench.left("alone", &run("alone", "1", 1).wait());
    assert_eq!(alone.newest.len(), 9 + 2);
    let winner = alone.tables["trials.csv"].lines().nth(1).expect("a winner").to_owned();
    let winner: u32 = winner.split(',').nth(1).expect("its number").parse().expect("a number");
    let tested = ["repeats/seed-2".to_owned(), "repeats/seed-3".to_owned(), format!("trials/{winner:04}")];
    assert_eq!(alone.tested, tested.map(PathBuf::from), "only the winner and its repeats see the test");
    let ends = alone.tables["trials.csv"].lines().filter(|line| line.contains(",complete,")).count();
    assert_eq!(ends, 1, "{}", alone.tables["trials.csv"]);
    assert!(alone.summary.contains("standard deviation"), "{}", alone.summary);
    // As Optuna has it: 0 creates a study whose values are maximized (2), 4 a trial that is complete (1) or
    // pruned (2).
    let journal: Vec<Value> =
        alone.tables["journal.log"].lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&journal[0]["op_code"], &journal[0]["directions"]), (&json!(0), &json!([2])));
    for (number, trial) in (0..).zip(&journal[1..]) {
        let state = if number == winner { 1 } else { 2 };
        assert_eq!((&trial["op_code"], &trial["state"]), (&json!(4), &json!(state)), "{trial}");
        let values = trial["intermediate_values"].as_object().expect("a value for each rung");
        assert_eq!(values.values().next_back(), Some(&trial["value"]), "{trial}");
    }

    for (name, workers, at_a_time) in [("few", "1", 3), ("many", "3", 1), ("both", "3", 3)] {
        let outcome = run(name, workers, at_a_time).wait();
        assert_eq!(bench.left(name, &outcome), alone, "{name}");
    }

    let mut stopped = run("stopped", "3", 3);
    stopped.wait_for_line("trial 4: 1 epoch");
    stopped.signal(Signal::SIGTERM);
    let outcome = stopped.wait();
    assert_eq!(outcome.code, Some(75), "{}", outcome.errors);
    assert!(outcome.output.contains("the same command goes on from here"), "{}", outcome.output);
    let mut killed = run("stopped", "1", 2);
    killed.wait_for_line("rung 1 of 3 is done");
    killed.signal(Signal::SIGKILL);
    assert_eq!(killed.wait().code, None);
    let outcome = run("stopped", "2", 3).wait();
    assert!(outcome.errors.contains("going on; "), "{}", outcome.errors);
    assert_eq!(bench.left("stopped", &outcome), alone, "stopped");
    // Nothing is left to do.
    let outcome = run("stopped", "1", 1).wait();
    assert!(!outcome.errors.contains("trial"), "{}", outcome.errors);
    assert_eq!(bench.left("stopped", &outcome), alone, "once more");
}

#[test]
fn a_trial_that_was_paused_has_the_bits_of_its_lone_run() {
    let bench = Bench::new();
    let file = "method = \"grid\"\nrepeats = 0\nparallel = 2\n[fixed]\nmodel = \"linear\"\nepochs = 2\nval-split = 43\n\
                [search]\nlr = [0.001, 0.01]";
    let outcome = bench.start("search", file, &["--local"]).wait();
    let left = bench.left("search", &outcome);
    for (number, lr) in ["0.001", "0.01"].iter().enumerate() {
        let lone = bench.path(lr);
        let flags = ["--local", "--model", "linear", "--epochs", "2", "--val-split", "43", "--lr", lr];
        let place = ["--dataset", bench.data.folder(), "--checkpoint-dir", lone.to_str().expect("a name")];
        let outcome = Process::start("coordinator", &[&flags[..], &place].concat()).wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
        let of_trial = &left.newest[Path::new(&format!("trials/{number:04}"))];
        assert_eq!(&newest(&lone), of_trial, "trial {number}");
    }
}

#[test]
fn trials_that_diverge_are_out_and_without_another_there_is_no_winner() {
    let bench = Bench::new();
    let file = |rates: &str| {
        format!(
            "method = \"grid\"\nrepeats = 0\nparallel = 2\n[fixed]\nmodel = \"mlp(9)\"\noptimizer = \"sgd\"\nepochs = 1\n\
             val-split = 43\n[search]\nlr = {rates}"
        )
    };
    let outcome = bench.start("one", &file("[1e30, 0.05]"), &["--local", "--workers", "2"]).wait();
    let left = bench.left("one", &outcome);
    let rows: Vec<&str> = left.tables["trials.csv"].lines().skip(1).collect();
    assert!(rows[0].starts_with("1,1,1,") && rows[1] == ",0,0,,,diverged,1e30", "{rows:?}");
    let outcome = bench.start("none", &file("[1e30, 1e31]"), &["--local"]).wait();
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains("all trials that were left have diverged"), "{}", outcome.errors);
    let table =
        std::fs::read_to_string(bench.path("none").join("trials.csv")).expect("what the message names");
    assert_eq!(table.matches("diverged").count(), 2, "{table}");
}

#[test]
fn trials_that_diverge_cost_no_worker() {
    let bench = Bench::new();
    let file = "method = \"grid\"\nrepeats = 0\nparallel = 2\n[fixed]\nmodel = \"mlp(9)\"\noptimizer = \"sgd\"\nepochs = 1\n\
                val-split = 43\n[search]\nlr = [1e30, 1e31, 1e32, 1e33, 1e34, 0.05]";
    let mut search = bench.start("search", file, &["--bind", "127.0.0.1:0", "--workers", "2"]);
    let line = search.wait_for_line("workers join with: worker --connect ");
    let address = line.rsplit(' ').next().expect("an address");
    let workers = ["one", "other"].map(|name| Process::worker(address, name));
    let outcome = search.wait();
    let left = bench.left("search", &outcome);
    assert_eq!(left.tables["trials.csv"].matches("diverged").count(), 5, "{}", left.tables["trials.csv"]);
    // Else one might be away when the search ends, and dial in vain.
    assert!(!outcome.errors.contains("worker dropped"), "{}", outcome.errors);
    for worker in workers {
        let outcome = worker.wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    }
}

#[test]
fn another_file_other_flags_and_damage_are_refused_by_name() {
    let bench = Bench::new();
    let file = "method = \"grid\"\nrepeats = 0\n[fixed]\nmodel = \"linear\"\nepochs = 1\nval-split = 43\n[search]\n\
                lr = [0.001, 0.01]";
    let outcome = bench.start("search", file, &["--local", "--dry-run"]).wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(
        outcome.output.contains("a grid of 2 trials") && !bench.path("search").exists(),
        "{}",
        outcome.output
    );
    let before = bench.left("search", &bench.start("search", file, &["--local"]).wait());
    let refused = |text: &str, flags: &[&str], code: i32, named: &str| {
        let outcome = bench.start("search", text, &[&["--local"], flags].concat()).wait();
        assert_eq!(outcome.code, Some(code), "{}", outcome.errors);
        assert!(outcome.errors.contains(named), "{named}:\n{}", outcome.errors);
    };
    refused(&file.replace("0.01]", "0.02]"), &[], 1, "it began with search.toml");
    refused(file, &["--batch-size", "64"], 1, "trial 0 had other settings");
    refused(file, &["--dataset", "digits"], 1, "and now the data is digits");
    refused(
        &file.replace("grid", "net"),
        &[],
        2,
        "method is \"net\"; it is \"grid\", \"random\" or \"halving\"",
    );
    refused(file, &["--metrics", "m.jsonl"], 2, "--metrics");
    let outcome = bench.start("search", file, &["--local"]).wait();
    assert_eq!(bench.left("search", &outcome), before);
    let state = bench.path("search").join("sweep.json");
    for damaged in ["{", &before.tables["sweep.json"].replace("\"trial\": 1", "\"trial\": 7")] {
        std::fs::write(&state, damaged).expect("room for a file");
        refused(file, &[], 1, "sweep.json can't be used");
    }
}

#[test]
fn the_recipe_is_a_search_that_can_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let recipe = tests::documents::root().join("recipes/sweep.toml");
    let place = folder.path().join("new");
    let [recipe, place] = [&recipe, &place].map(|path| path.to_str().expect("a name"));
    let flags = ["--sweep", recipe, "--checkpoint-dir", place, "--dataset", "digits", "--local", "--dry-run"];
    let outcome = Process::start("coordinator", &flags).wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.output.contains("successive halving of 27 trials"), "{}", outcome.output);
}
