use super::*;
use crate::report::view;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    (folder, path)
}

/// Five steps an epoch, a validation after each epoch.
fn train(file: &mut MetricsFile, steps: std::ops::Range<u64>) {
    for step in steps {
        file.write(&Record::Step(&view(step, step / 5))).unwrap();
        if step % 5 == 4 {
            let evaluation = Evaluation::new(Step(step), Epoch(step / 5), 0.5, Confusion::default());
            file.write(&Record::Validation(evaluation)).unwrap();
        }
    }
    file.flush().unwrap();
}

#[test]
fn a_line_is_one_object_with_kind_step_and_numbers() {
    let (_folder, path) = folder();
    let mut file = MetricsFile::create(&path).unwrap();
    let config = BTreeMap::from([("seed".to_owned(), "1".to_owned())]);
    let run =
        RunView { event: RunEvent::Start, step: Step(0), run_id: "a", fingerprint: "f0", config: &config };
    file.write(&Record::Run(run)).unwrap();
    file.write(&Record::Step(&view(0, 0))).unwrap();
    let broken = StepView { loss: f64::NAN, grad_norm: Some(1.5), ..view(1, 0) };
    file.write(&Record::Step(&broken)).unwrap();
    file.flush().unwrap();
    let expected = r#"{"kind":"run","event":"start","step":0,"run_id":"a","fingerprint":"f0","config":{"seed":"1"}}
{"kind":"step","step":0,"epoch":0,"loss":0.25,"accuracy":0.875,"learning_rate":0.001,"samples_per_s":1234.5,"train_seconds":12.5,"workers":2}
{"kind":"step","step":1,"epoch":0,"loss":null,"accuracy":0.875,"learning_rate":0.001,"samples_per_s":1234.5,"train_seconds":12.5,"grad_norm":1.5,"workers":2}
"#;
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn an_evaluation_carries_what_follows_from_its_counts() {
    let mut confusion = Confusion::default();
    [(0, 0), (0, 0), (0, 1), (1, 1)].into_iter().for_each(|(label, guess)| confusion.count(label, guess));
    let record = Record::Test(Evaluation::new(Step(9), Epoch(1), 0.5, confusion));
    let json: serde_json::Value = serde_json::to_value(&record).unwrap();
    assert_eq!((&json["kind"], &json["step"], &json["epoch"]), (&"test".into(), &9.into(), &1.into()));
    assert_eq!((&json["loss"], &json["accuracy"]), (&0.5.into(), &0.75.into()));
    // Class 0: precision 2/2, recall 2/3, F1 4/5. Class 1: 1/2, 1/1, 2/3. The other eight: 0.
    for (name, sum) in [("precision", 1.5), ("recall", 5.0 / 3.0), ("f1", 22.0 / 15.0)] {
        let mean = json[format!("macro_{name}")].as_f64().unwrap();
        assert!((mean - sum / 10.0).abs() < 1e-15, "{name}: {mean}");
    }
    assert_eq!(json["per_class"][1]["precision"], 0.5);
    assert_eq!(json["per_class"][0]["support"], 3);
    assert_eq!(json["confusion"][0], serde_json::json!([2, 1, 0, 0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn a_resumed_file_reads_as_if_nothing_had_happened() {
    let (_folder, path) = folder();
    train(&mut MetricsFile::create(&path).unwrap(), 0..15);
    let whole = fs::read(&path).unwrap();
    for at in 0..=15 {
        let (mut file, found) = MetricsFile::resume(&path, Step(at)).unwrap();
        assert_eq!((found.kept, found.later), (at + at / 5, 18 - at - at / 5));
        train(&mut file, at..15);
        assert_eq!(fs::read(&path).unwrap(), whole, "resumed at {at}");
    }
}

#[test]
fn a_torn_last_line_is_dropped_wherever_it_is_torn() {
    let (_folder, path) = folder();
    train(&mut MetricsFile::create(&path).unwrap(), 0..4);
    let whole = fs::read(&path).unwrap();
    let third_line = whole.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(2).unwrap().0 + 1;
    for end in third_line + 1..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let (mut file, found) = MetricsFile::resume(&path, Step(4)).unwrap();
        assert_eq!(found, Found { kept: 3, later: 0, unreadable: 1 }, "torn at {end}");
        file.write(&Record::Step(&view(3, 0))).unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn lines_that_are_no_records_are_dropped_and_counted() {
    let (_folder, path) = folder();
    fs::write(&path, b"{\"step\":0}\n\0\0\0\n{\"step\":-1}\n\n[1]\n{\"step\":1}\n{\"step\":7}\n").unwrap();
    let (_, found) = MetricsFile::resume(&path, Step(7)).unwrap();
    assert_eq!(found, Found { kept: 2, later: 1, unreadable: 4 });
    assert_eq!(fs::read(&path).unwrap(), b"{\"step\":0}\n{\"step\":1}\n");
}

#[test]
fn a_fresh_run_empties_the_file_and_a_resumed_one_may_find_none() {
    let (folder, path) = folder();
    train(&mut MetricsFile::create(&path).unwrap(), 0..3);
    drop(MetricsFile::create(&path).unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"");
    let (_, found) = MetricsFile::resume(&folder.path().join("none.jsonl"), Step(3)).unwrap();
    assert_eq!(found, Found::default());
}

#[cfg(unix)]
#[test]
fn resuming_through_a_link_rewrites_the_file_behind_it_and_leaves_nothing_beside() {
    let (folder, path) = folder();
    train(&mut MetricsFile::create(&path).unwrap(), 0..3);
    let link = folder.path().join("link.jsonl");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    drop(MetricsFile::resume(&link, Step(1)).unwrap());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_path_that_cannot_be_a_file_is_a_typed_error_with_its_name() {
    let (folder, _) = folder();
    let error = MetricsFile::create(&folder.path().join("no/such/m.jsonl")).unwrap_err();
    assert!(matches!(&error, MetricsError::Io { action: "create", .. }), "{error}");
    let message = error.to_string();
    assert!(message.contains("no/such/m.jsonl"), "{message}");
}
