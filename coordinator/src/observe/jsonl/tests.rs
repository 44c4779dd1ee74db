use super::*;
use crate::observe::step_record;
use common::data::classes::ClassNames;
use common::event::{Evaluation, Event, RunRecord, StepRecord, ValidationRecord};
use common::ids::Epoch;
use common::train::metrics::Confusion;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    (folder, path)
}

fn create(path: &Path) -> MetricsFile {
    MetricsFile::create(&Place::Own(path.to_owned()), "f0").unwrap()
}

fn resume(path: &Path, step: u64) -> (MetricsFile, Found) {
    MetricsFile::resume(&Place::Own(path.to_owned()), "f0", Step(step)).unwrap()
}

/// Writes the first line of a run.
fn begin(file: &mut MetricsFile) {
    file.write(&Record::run(RunEvent::Start, &run(&[]))).unwrap();
}

fn run(config: &[(&str, &str)]) -> RunRecord {
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    RunRecord { run_id: "a".into(), fingerprint: "f0".into(), config, ..RunRecord::default() }
}

/// Writes steps and validations: five steps per epoch, a validation after each epoch.
fn train(file: &mut MetricsFile, steps: std::ops::Range<u64>) {
    for step in steps {
        file.write(&Record::step(&step_record(step, step / 5))).unwrap();
        if step % 5 == 4 {
            let evaluation = Evaluation::new(
                Step(step),
                Epoch(step / 5),
                0.5,
                Confusion::new(10),
                &ClassNames::numbers(10),
            );
            let validation =
                ValidationRecord { evaluation, best: true, train_loss: None, train_accuracy: None };
            file.write(&Record::validation(&validation)).unwrap();
        }
    }
    file.flush().unwrap();
}

#[test]
fn a_line_is_one_object_with_kind_step_and_numbers() {
    let (_folder, path) = folder();
    let mut file = create(&path);
    file.write(&Record::run(RunEvent::Start, &run(&[("seed", "1")]))).unwrap();
    file.write(&Record::step(&step_record(0, 0))).unwrap();
    let broken = StepRecord { loss: f64::NAN, grad_norm: Some(1.5), ..step_record(1, 0) };
    file.write(&Record::step(&broken)).unwrap();
    let waiting = Event::WaitingForWorkers { live: 0, needed: 1, step: Step(2) };
    file.write(&Record::other(&waiting, Step(9), None)).unwrap();
    let lost = Event::EventsLost { observer: "log".into(), events: 4 };
    file.write(&Record::other(&lost, Step(1), Some(3))).unwrap();
    file.flush().unwrap();
    let expected = r#"{"kind":"run","event":"start","step":0,"run_id":"a","fingerprint":"f0","config":{"seed":"1"},"steps_total":0,"steps_per_epoch":0,"epochs":0,"parameters":0,"train_samples":0,"validation_samples":0}
{"kind":"step","step":0,"epoch":0,"loss":0.25,"accuracy":0.875,"learning_rate":0.001,"samples_per_s":1234.5,"train_seconds":12.5,"workers":2}
{"kind":"step","step":1,"epoch":0,"loss":null,"accuracy":0.875,"learning_rate":0.001,"samples_per_s":1234.5,"train_seconds":12.5,"grad_norm":1.5,"workers":2}
{"kind":"waiting_for_workers","step":2,"live":0,"needed":1}
{"kind":"events_lost","step":1,"events":4,"left_out":3,"observer":"log"}
"#;
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn an_evaluation_carries_what_follows_from_its_counts() {
    let mut confusion = Confusion::new(10);
    [(0, 0), (0, 0), (0, 1), (1, 1)].into_iter().for_each(|(label, guess)| confusion.count(label, guess, 1));
    let test = Evaluation::new(Step(9), Epoch(1), 0.5, confusion, &ClassNames::new(["cat", "a\n\u{1b}\""]));
    let json: serde_json::Value = serde_json::to_value(Record::test(&test)).unwrap();
    assert_eq!((&json["kind"], &json["step"], &json["epoch"]), (&"test".into(), &9.into(), &1.into()));
    assert_eq!((&json["loss"], &json["accuracy"]), (&0.5.into(), &0.75.into()));
    // Class 0: precision 2/2, recall 2/3, F1 4/5, three samples. Class 1: 1/2, 1/1, 2/3, one sample. The
    // other eight do not count. As scikit-learn 1.9.1 prints them:
    //   from sklearn.metrics import precision_recall_fscore_support as quality
    //   for average in "macro", "weighted":
    //       print(quality([0, 0, 0, 1], [0, 0, 1, 1], average=average))
    let expected = [
        ("macro", [0.75, 0.8333333333333333, 0.7333333333333334]),
        ("weighted", [0.875, 0.75, 0.7666666666666667]),
    ];
    for (average, values) in expected {
        for (name, value) in ["precision", "recall", "f1"].into_iter().zip(values) {
            let mean = json[format!("{average}_{name}")].as_f64().unwrap();
            assert!((mean - value).abs() < 1e-15, "{average}_{name}: {mean}");
        }
    }
    assert_eq!(json["per_class"][1]["precision"], 0.5);
    assert_eq!(json["per_class"][0]["support"], 3);
    let names = [0, 1].map(|class| json["per_class"][class]["name"].as_str().unwrap());
    assert_eq!(names, ["cat", "a\n\u{1b}\""]);
    assert_eq!(json["confusion"][0], serde_json::json!([2, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn a_resumed_file_reads_as_if_nothing_had_happened() {
    let (_folder, path) = folder();
    train(&mut create(&path), 0..15);
    let whole = fs::read(&path).unwrap();
    for at in 0..=15 {
        let (mut file, found) = resume(&path, at);
        assert_eq!((found.kept, found.later), (at + at / 5, 18 - at - at / 5));
        train(&mut file, at..15);
        assert_eq!(fs::read(&path).unwrap(), whole, "resumed at {at}");
    }
}

#[test]
fn what_happened_to_the_cluster_stays_when_steps_are_done_again() {
    let (_folder, path) = folder();
    let mut file = create(&path);
    begin(&mut file);
    train(&mut file, 0..3);
    let waiting = Event::WaitingForWorkers { live: 0, needed: 1, step: Step(3) };
    file.write(&Record::other(&waiting, Step(0), None)).unwrap();
    train(&mut file, 3..7);
    drop(file);
    let (_, found) = resume(&path, 0);
    assert_eq!(found, Found { kept: 2, later: 8, unreadable: 0 });
    let text = fs::read_to_string(&path).unwrap();
    let kinds: Vec<&str> = text.lines().map(|line| &line[..30]).collect();
    assert_eq!(kinds, [r#"{"kind":"run","event":"start","#, r#"{"kind":"waiting_for_workers","#]);
}

#[test]
fn a_torn_last_line_is_dropped_wherever_it_is_torn() {
    let (_folder, path) = folder();
    train(&mut create(&path), 0..4);
    let whole = fs::read(&path).unwrap();
    let third_line = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(2).unwrap().0 + 1;
    for end in third_line + 1..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let (mut file, found) = resume(&path, 4);
        assert_eq!(found, Found { kept: 3, later: 0, unreadable: 1 }, "torn at {end}");
        file.write(&Record::step(&step_record(3, 0))).unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn lines_that_are_no_records_are_dropped_and_counted() {
    let (_folder, path) = folder();
    fs::write(&path, b"{\"step\":0}\n\0\0\0\n{\"step\":-1}\n\n[1]\n{\"step\":1}\n{\"step\":7}\n").unwrap();
    let (_, found) = resume(&path, 7);
    assert_eq!(found, Found { kept: 2, later: 1, unreadable: 4 });
    assert_eq!(fs::read(&path).unwrap(), b"{\"step\":0}\n{\"step\":1}\n");
}

#[test]
fn a_fresh_run_empties_the_file_and_a_resumed_one_may_find_none() {
    let (folder, path) = folder();
    train(&mut create(&path), 0..3);
    drop(create(&path));
    assert_eq!(fs::read(&path).unwrap(), b"");
    let (_, found) = resume(&folder.path().join("none.jsonl"), 3);
    assert_eq!(found, Found::default());
}

#[test]
fn a_link_is_followed_only_where_a_person_named_it() {
    let (folder, path) = folder();
    let mut file = create(&path);
    begin(&mut file);
    train(&mut file, 0..3);
    let link = folder.path().join("link.jsonl");
    symlink(&path, &link).unwrap();
    let [own, named] = [Place::Own(link.clone()), Place::Named(link.clone())];
    for refused in
        [MetricsFile::create(&own, "f0").unwrap_err(), MetricsFile::resume(&own, "f0", Step(1)).unwrap_err()]
    {
        assert!(refused.to_string().contains("link.jsonl: it is a symbolic link"), "{refused}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4);
    drop(MetricsFile::resume(&named, "f0", Step(1)).unwrap());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    // The run's line and step 0.
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn what_another_run_or_program_wrote_in_our_place_is_moved_aside() {
    let (folder, path) = folder();
    let other = "{\"kind\":\"run\",\"step\":0,\"fingerprint\":\"f1\"}\n";
    let at = |n: u32| folder.path().join(format!("metrics.jsonl.earlier-{n}"));
    for (n, text) in [(1, other), (2, "somebody's notes\n"), (3, other)] {
        fs::write(&path, text).unwrap();
        if n == 3 {
            drop(resume(&path, 0))
        } else {
            drop(create(&path))
        }
        assert_eq!(fs::read_to_string(at(n)).unwrap(), text);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
    begin(&mut create(&path));
    drop(create(&path));
    assert!(!at(4).exists(), "its own earlier start");
}

#[test]
fn what_another_run_or_program_wrote_is_left_alone() {
    let (_folder, path) = folder();
    let named = Place::Named(path.clone());
    begin(&mut MetricsFile::create(&named, "f0").unwrap());
    drop(MetricsFile::create(&named, "f0").unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"", "its own earlier start");
    let notes = "{\"step\":7}\nsomebody's notes\n";
    for text in [notes, "{\"kind\":\"run\",\"step\":0,\"fingerprint\":\"f1\"}\n"] {
        fs::write(&path, text).unwrap();
        for refused in [
            MetricsFile::create(&named, "f0").unwrap_err(),
            MetricsFile::resume(&named, "f0", Step(0)).unwrap_err(),
        ] {
            assert!(matches!(refused, MetricsError::Foreign(_)), "{refused}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn what_is_no_file_is_refused_as_ours_and_added_to_where_named() {
    let (_folder, path) = folder();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let own = Place::Own(path.clone());
    for refused in
        [MetricsFile::create(&own, "f0").unwrap_err(), MetricsFile::resume(&own, "f0", Step(1)).unwrap_err()]
    {
        assert!(refused.to_string().contains("metrics.jsonl: it is a FIFO"), "{refused}");
    }
    let named = Place::Named(path.clone());
    let refused = MetricsFile::create(&named, "f0").unwrap_err();
    assert!(refused.to_string().contains("nobody reads"), "{refused}");
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut reader = File::options().read(true).custom_flags(nonblocking).open(&path).unwrap();
    let (mut file, _) = MetricsFile::resume(&named, "f0", Step(1)).unwrap();
    train(&mut file, 1..2);
    drop(file);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("{\"kind\":\"step\",\"step\":1,"), "{text}");
    drop(MetricsFile::create(&Place::Named("/dev/null".into()), "f0").unwrap());
}

#[test]
fn a_line_without_end_is_skipped_in_bounded_memory() {
    let (_folder, path) = folder();
    fs::write(&path, b"{\"step\":0}\n").unwrap();
    let file = File::options().append(true).open(&path).unwrap();
    file.set_len(3 << 20).unwrap();
    (&file).write_all(b"\n{\"step\":1}\n").unwrap();
    let (_, found) = resume(&path, 7);
    assert_eq!(found, Found { kept: 2, later: 0, unreadable: 1 });
    assert_eq!(fs::read(&path).unwrap(), b"{\"step\":0}\n{\"step\":1}\n");
}

#[test]
fn a_path_that_cannot_be_a_file_is_a_typed_error_with_its_name() {
    let (folder, _) = folder();
    let place = Place::Own(folder.path().join("no/such/m.jsonl"));
    let error = MetricsFile::create(&place, "f0").unwrap_err();
    assert!(matches!(&error, MetricsError::Io { action: "create", .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("no/such/m.jsonl"), "{message}");
}
