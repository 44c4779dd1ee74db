//! A program outside drives a search: what it is told of a trial is the same whoever computes and whatever
//! else is open, and nothing that it tells ends more than it should.

use common::checkpoint::digest;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tests::driven::Driven;
use tests::process::{Process, checkpoints};
use tests::small_data::SmallData;

/// Flags of all trials, but for where they are and who computes.
const ALL: [&str; 6] = ["--model", "mlp(12)", "--batch-size", "50", "--micro-batch", "10"];

/// Data, and a folder for searches.
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

    /// All flags of a search or a run in that folder.
    fn flags(&self, name: &str, more: &[&str]) -> Vec<String> {
        let folder = self.path(name).to_str().expect("a name").to_owned();
        let place = ["--dataset", self.data.folder(), "--checkpoint-dir", &folder];
        [&ALL[..], &place, more].concat().into_iter().map(str::to_owned).collect()
    }

    fn start(&self, name: &str, more: &[&str]) -> Driven {
        let flags = self.flags(name, more);
        Driven::start(&flags.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// SHA-256 of the model that a run with these flags alone ends with.
    fn alone(&self, name: &str, own: &[&str]) -> String {
        let flags = self.flags(name, &[&["--local", "--threads", "1"], own].concat());
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let outcome = Process::start("coordinator", &flags).wait();
        assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
        model(&self.path(name))
    }
}

/// SHA-256 of the newest model in a folder.
fn model(folder: &Path) -> String {
    let newest = checkpoints(folder).last().copied().expect("a checkpoint");
    let file = folder.join(format!("step-{newest:012}/model.safetensors"));
    digest(&std::fs::read(file).expect("a model"))
}

fn local(workers: &str) -> [&str; 5] {
    ["--local", "--threads", "1", "--workers", workers]
}

fn begin(trial: u32, flags: &Value) -> String {
    json!({ "trial": trial, "flags": flags }).to_string()
}

fn is_over(answer: &Value) -> bool {
    answer.get("done").is_some() || answer.get("error").is_some()
}

/// The answers of each trial, without the folder that some name.
fn by_trial(answers: &[Value]) -> BTreeMap<u64, Vec<Value>> {
    let mut all = BTreeMap::<u64, Vec<Value>>::new();
    for answer in answers {
        let mut answer = answer.clone();
        answer.as_object_mut().expect("each line is an object").remove("checkpoint");
        all.entry(answer["trial"].as_u64().expect("a trial")).or_default().push(answer);
    }
    all
}

#[test]
fn a_trial_has_the_bits_of_its_lone_run_whoever_computes_and_whatever_else_is_open() {
    let bench = Bench::new();
    let trials = [
        (json!({ "lr": 0.01, "epochs": 2 }), &["--lr", "0.01", "--epochs", "2"][..]),
        (
            json!({ "lr": 0.003, "epochs": 3, "augment": "digits", "average": "ema(0.9)" }),
            &["--lr", "0.003", "--epochs", "3", "--augment", "digits", "--average", "ema(0.9)"],
        ),
        (
            json!({ "epochs": 1, "optimizer": "sgd", "nesterov": true, "seed": 7, "hidden": [9, 5] }),
            &["--epochs", "1", "--optimizer", "sgd", "--nesterov", "--seed", "7", "--hidden", "9,5"],
        ),
    ];
    let mut one_by_one = bench.start("one by one", &local("1"));
    let mut answers = Vec::new();
    for (trial, (flags, _)) in (0..).zip(&trials) {
        one_by_one.tell(begin(trial, flags));
        answers.extend(one_by_one.answers_until(is_over));
    }
    let (left, outcome) = one_by_one.end();
    assert_eq!((left, outcome.code), (vec![], Some(0)), "{}", outcome.errors);
    let answers = by_trial(&answers);
    for (trial, (flags, own)) in (0..).zip(&trials) {
        let expected = bench.alone(&format!("alone {trial}"), own);
        let of_trial = &answers[&trial];
        let done = of_trial.last().expect("an end");
        assert_eq!((&done["done"], &done["model_sha256"]), (&json!("complete"), &json!(expected)));
        let is_validation = |answer: &&Value| !is_over(answer) && answer.get("weights").is_none();
        let validations: Vec<&Value> = of_trial.iter().filter(is_validation).collect();
        let epochs: Vec<u64> = validations.iter().filter_map(|answer| answer["epoch"].as_u64()).collect();
        let all: Vec<u64> = (1..=flags["epochs"].as_u64().expect("a number")).collect();
        assert_eq!(epochs, all);
        let last = validations.last().expect("a validation");
        for key in ["validation_accuracy", "validation_loss"] {
            assert!(last[key].is_f64() && last[key] == done[key], "{last} {done}");
        }
    }
    assert!(answers[&1].iter().any(|answer| answer["weights"] == "averaged"), "{answers:?}");

    let mut at_once = bench.start("at once", &local("3"));
    (0..).zip(&trials).for_each(|(trial, (flags, _))| at_once.tell(begin(trial, flags)));
    let (at_once, outcome) = at_once.end();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert_eq!(by_trial(&at_once), answers, "the end of the input stops no trial");
}

#[test]
fn what_is_wrong_with_a_line_or_a_trial_ends_nothing_else() {
    let bench = Bench::new();
    let mut search = bench.start("search", &[&local("2")[..], &["--lr", "0.01"]].concat());
    search.tell(begin(1, &json!({ "epochs": 1000 })));
    let first = search.answer();
    assert_eq!((&first["trial"], &first["epoch"]), (&json!(1), &json!(1)), "{first}");
    let mut line = 1;
    let mut answered = |text: &[u8], is_it: &dyn Fn(&Value) -> bool, named: &str| {
        line += 1;
        search.tell(text);
        // Trial 1 goes on meanwhile.
        let answer = search.answers_until(|answer| answer.get("epoch").is_none()).pop().expect("an answer");
        assert!(is_it(&answer) && answer.to_string().contains(named), "{named}: {answer}");
        let refused = answer.get("refused").is_some();
        assert!(!refused || answer["line"] == line, "{answer}");
    };
    let long = vec![b'x'; 100_000];
    for (text, named) in [
        (&b"hello"[..], "a line is {\\\"trial\\\": 1"),
        (b"\xff\xfe", "no text in UTF-8"),
        (&long, "longer than 65536 bytes"),
        (b"{\"trial\": 1, \"flags\": {}}", "trial 1 is open; tell it again when it has ended"),
        (b"{\"trial\": 2, \"stop\": true}", "trial 2 is not open"),
    ] {
        answered(text, &|answer| answer.get("refused").is_some(), named);
    }
    for (flags, named) in [
        (json!({ "speed": 3 }), "there is no flag --speed"),
        (json!({ "lr": 0.5 }), "lr: the command line or the environment sets it"),
        (json!({ "checkpoint-dir": "/" }), "checkpoint-dir: the command line or the environment sets it"),
        (json!({ "bind": "0.0.0.0:0" }), "bind: it changes no bit of a training"),
        (json!({ "augment": "\u{1b}[31m" }), "control characters"),
        (json!({ "epochs": "many" }), "invalid value 'many'"),
        (json!({ "epochs": { "many": 1 } }), "a table is not a flag's value"),
        (json!({ "optimizer": "sgd", "beta1": 0.5 }), "--beta1 has a meaning with"),
        (json!({ "val-split": 0 }), "set val-split above 0"),
        (json!({ "init-from": "/no/such.pth" }), "/no/such.pth"),
    ] {
        let is_it = |answer: &Value| answer["trial"] == 2 && answer.get("error").is_some();
        answered(begin(2, &flags).as_bytes(), &is_it, named);
    }
    search.tell(begin(2, &json!({ "epochs": 1 })));
    let two = search.answers_until(|answer| answer["trial"] == 2 && is_over(answer));
    assert_eq!(two.last().expect("an end")["done"], "complete");
    search.tell(json!({ "trial": 1, "stop": true }).to_string());
    let (left, outcome) = search.end();
    assert_eq!(left.last().expect("an end")["done"], "stopped");
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
}

#[test]
fn a_trial_that_diverges_says_so_and_costs_no_worker() {
    let bench = Bench::new();
    let mut search = bench.start("search", &local("1"));
    search.tell(begin(1, &json!({ "optimizer": "sgd", "lr": 1e30, "epochs": 1 })));
    let diverged = search.answer();
    assert_eq!((&diverged["trial"], &diverged["diverged"]), (&json!(1), &json!(true)), "{diverged}");
    search.tell(begin(2, &json!({ "epochs": 1 })));
    let (left, outcome) = search.end();
    assert_eq!((&left.last().expect("an end")["done"], outcome.code), (&json!("complete"), Some(0)));
}

#[test]
fn a_trial_that_was_stopped_or_killed_goes_on_when_it_is_told_again() {
    let bench = Bench::new();
    let flags = json!({ "epochs": 9 });
    let expected = bench.alone("alone", &["--epochs", "9"]);
    let mut search = bench.start("search", &local("2"));
    let stop = json!({ "trial": 1, "stop": true }).to_string();
    search.tell(begin(1, &flags));
    let epoch = |number: u64| move |answer: &Value| answer["epoch"] == number || is_over(answer);
    let _ = search.answers_until(epoch(1));
    search.tell(&stop);
    let stopped = search.answers_until(is_over).pop().expect("an end");
    assert_eq!((&stopped["done"], stopped.get("validation_loss")), (&json!("stopped"), None), "{stopped}");
    search.tell(begin(1, &json!({ "epochs": 8 })));
    let other = search.answer();
    assert!(other["error"].as_str().expect("an error").contains("epochs"), "{other}");
    search.tell(begin(1, &flags));
    let _ = search.answers_until(|answer| answer.get("epoch").is_some());
    search.process.signal(Signal::SIGKILL);
    let (_, outcome) = search.end();
    assert_eq!(outcome.code, None);

    let mut search = bench.start("search", &local("1"));
    search.tell(begin(1, &flags));
    let _ = search.answers_until(|answer| answer.get("epoch").is_some());
    search.process.signal(Signal::SIGTERM);
    let stopped = search.answers_until(is_over).pop().expect("an end");
    let outcome = search.process.wait();
    assert_eq!((&stopped["done"], outcome.code), (&json!("stopped"), Some(75)), "{}", outcome.errors);

    let mut search = bench.start("search", &local("3"));
    for _ in ["to the end", "when there is nothing left to do"] {
        search.tell(begin(1, &flags));
        let done = search.answers_until(is_over).pop().expect("an end");
        assert_eq!((&done["done"], &done["model_sha256"]), (&json!("complete"), &json!(expected)));
        assert!(done["validation_accuracy"].is_f64(), "{done}");
    }
    let (left, outcome) = search.end();
    assert_eq!((left, outcome.code), (vec![], Some(0)), "{}", outcome.errors);
    // Its folder is that of a run, which only lacks the test.
    let flags = bench.flags("search/trials/0001", &["--local", "--epochs", "9"]);
    let outcome = Process::start("coordinator", &flags.iter().map(String::as_str).collect::<Vec<_>>()).wait();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(
        outcome.output.contains("test: accuracy") && outcome.output.contains(&expected),
        "{}",
        outcome.output
    );
}

#[test]
fn open_trials_are_bounded() {
    let bench = Bench::new();
    // Nobody computes.
    let mut search = bench.start("search", &["--bind", "127.0.0.1:0"]);
    (0..65).for_each(|trial| search.tell(begin(trial, &json!({}))));
    let refused = search.answer();
    assert_eq!(refused["trial"], 64, "{refused}");
    assert!(refused["error"].as_str().expect("an error").contains("64 trials are open"), "{refused}");
    search.tell(json!({ "trial": 7, "stop": true }).to_string());
    let stopped = search.answer();
    assert_eq!((&stopped["trial"], &stopped["done"]), (&json!(7), &json!("stopped")), "{stopped}");
    search.tell(begin(64, &json!({})));
    search.tell(begin(7, &json!({})));
    let refused = search.answer();
    assert!(refused["trial"] == 7 && refused.get("error").is_some(), "64 has the place: {refused}");
}

#[test]
fn a_program_that_does_not_read_ends_the_search_and_not_its_trials() {
    let bench = Bench::new();
    let expected = bench.alone("alone", &["--epochs", "200"]);
    let flags = json!({ "epochs": 200 });
    let all = bench.flags("search", &local("1"));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for (closes, named) in [(true, "standard output can't be written"), (false, "is read too slowly")] {
        let (process, mut input, output) = Driven::start_unread(&all);
        writeln!(input, "{}", begin(1, &flags)).expect("the line is taken");
        let output = (!closes).then_some(output);
        if !closes {
            // Each is answered. It fails when the search has ended.
            while input.write_all(b"no\n").is_ok() {}
        }
        let outcome = process.wait();
        assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
        assert!(outcome.errors.contains(named), "{named}:\n{}", outcome.errors);
        drop((input, output));
    }
    let mut search = bench.start("search", &local("2"));
    search.tell(begin(1, &flags));
    let done = search.answers_until(is_over).pop().expect("an end");
    assert_eq!((&done["done"], &done["model_sha256"]), (&json!("complete"), &json!(expected)));
    let (_, outcome) = search.end();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
}

#[test]
fn what_a_search_lacks_is_named_before_it_begins() {
    let bench = Bench::new();
    let refused = |flags: &[&str], named: &str| {
        let outcome = Process::start("coordinator", &[&["--ask-tell"], flags].concat()).wait();
        assert_eq!(outcome.code, Some(2), "{}", outcome.errors);
        assert!(outcome.errors.contains(named) && outcome.output.is_empty(), "{named}:\n{}", outcome.errors);
    };
    let folder = bench.path("search");
    let place = ["--dataset", "digits", "--checkpoint-dir", folder.to_str().expect("a name")];
    refused(&["--dataset", "digits"], "say with --checkpoint-dir where the trials are kept");
    refused(&[&place[..], &["--resume", "never"]].concat(), "leave out --resume");
    refused(&[&place[..], &["--sweep", "s.toml"]].concat(), "cannot be used with");
    refused(&[&place[..], &["--max-steps", "3"]].concat(), "cannot be used with");
    assert!(!folder.exists());
}
