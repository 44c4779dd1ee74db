use super::file::EVENTS_FILE;
use super::record::Next;
use super::*;
use crate::observe::step_record;
use common::data::classes::ClassNames;
use common::event::{Evaluation, RunOutcome, RunRecord, ValidationRecord};
use common::ids::Epoch;
use common::train::average::Weights;
use common::train::metrics::Confusion;
use prost::Message;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use tempfile::TempDir;

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(EVENTS_FILE);
    (folder, path)
}

fn begin(folder: &TempDir, step: u64) -> TensorBoard {
    TensorBoard::begin(folder.path(), "f0", Step(step)).unwrap()
}

fn run(step: u64) -> RunRecord {
    let config = [("seed", "1"), ("shuffle", "true"), ("class_names", "[\"a|b\",\n\"`c`\"]")];
    let config = config.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    RunRecord { step: Step(step), fingerprint: "f0".into(), config, ..RunRecord::default() }
}

fn evaluation(step: u64) -> Evaluation {
    Evaluation::new(Step(step), Epoch(step / 5), 0.5, Confusion::new(3), &ClassNames::numbers(3))
}

fn validated(step: u64) -> Event {
    let evaluation = evaluation(step);
    Event::Validation(ValidationRecord { evaluation, best: true, train_loss: None, train_accuracy: None })
}

/// Has it observe steps, and a validation after each five.
fn train(board: &mut TensorBoard, steps: std::ops::Range<u64>) {
    for step in steps {
        board.observe(&Event::Step(step_record(step, step / 5)));
        if step % 5 == 4 {
            board.observe(&validated(step));
        }
    }
    board.keep();
}

/// All records of a file, which are whole.
fn records(path: &Path) -> Vec<Record> {
    let bytes = fs::read(path).unwrap();
    let (mut from, mut data, mut records) = (&bytes[..], Vec::new(), Vec::new());
    while record::read(&mut from, &mut data).unwrap() == Next::Record {
        records.push(Record::decode(&data[..]).unwrap());
    }
    assert!(from.is_empty() && record::read(from, &mut data).unwrap() == Next::End, "it is whole to its end");
    records
}

/// Steps of the records that have the tag.
fn steps(path: &Path, tag: &str) -> Vec<i64> {
    let records = records(path);
    let has = |record: &&Record| record.summary.iter().any(|all| all.value.iter().any(|v| v.tag == tag));
    records.iter().filter(has).map(|record| record.step).collect()
}

const NONE: [i64; 0] = [];

fn up_to(steps: i64) -> Vec<i64> {
    (0..steps).collect()
}

#[test]
fn a_file_begins_with_its_version_its_run_and_a_session() {
    let (folder, path) = folder();
    let mut board = begin(&folder, 0);
    board.observe(&Event::RunStarted(run(0)));
    board.observe(&Event::Step(step_record(0, 0)));
    board.keep();
    let records = records(&path);
    assert_eq!(records[0].file_version.as_deref(), Some("brain.Event:2"));
    assert_eq!(records[0].source_metadata.as_ref().unwrap().writer, "lockstep f0");
    assert_eq!(records[1].session_log.as_ref().unwrap().status, 1);
}

#[test]
fn numbers_are_those_of_the_events_under_their_tags() {
    let (folder, path) = folder();
    let mut board = begin(&folder, 0);
    let mut step = step_record(7, 1);
    step.grad_norm = Some(1.5);
    board.observe(&Event::Step(step));
    let other = Evaluation { weights: Weights::Averaged, views: true, ..evaluation(7) };
    [evaluation(7), other].into_iter().for_each(|test| board.observe(&Event::Test(test)));
    board.keep();
    let records = records(&path);
    let values = records.iter().flat_map(|record| record.summary.iter().map(|all| (record.step, &all.value)));
    let scalars = values.flat_map(|(step, all)| all.iter().map(move |value| (step, value)));
    let scalars = scalars.filter_map(|(step, value)| Some((step, value.tag.as_str(), value.simple_value?)));
    let expected = [
        (7, "train/loss", 0.25),
        (7, "train/accuracy", 0.875),
        (7, "train/learning_rate", 0.001),
        (7, "train/grad_norm", 1.5),
        (7, "train/samples_per_s", 1234.5),
        (7, "train/workers", 2.0),
        (7, "test/loss", 0.5),
        (7, "test/accuracy", 0.0),
        (7, "test/macro_f1", 0.0),
        (7, "test/averaged/views/loss", 0.5),
        (7, "test/averaged/views/accuracy", 0.0),
        (7, "test/averaged/views/macro_f1", 0.0),
    ];
    assert_eq!(scalars.collect::<Vec<_>>(), expected);
    assert_eq!(steps(&path, "test/averaged/views/confusion"), [7]);
}

#[test]
fn the_configuration_is_said_once_and_the_ending_last() {
    let (folder, path) = folder();
    let mut board = begin(&folder, 0);
    board.observe(&Event::RunStarted(run(0)));
    train(&mut board, 0..3);
    board.observe(&Event::RunEnded { step: Step(2), steps_done: 3, outcome: RunOutcome::Stopped });
    board.keep();
    assert_eq!(steps(&path, "_hparams_/session_end_info"), NONE, "it may go on");
    let failed = RunOutcome::Failed { problem: "disk".into() };
    board.observe(&Event::RunEnded { step: Step(2), steps_done: 3, outcome: failed });
    drop(board);
    let mut board = begin(&folder, 3);
    assert_eq!(steps(&path, "_hparams_/session_end_info"), NONE, "it goes on");
    board.observe(&Event::RunResumed(run(3)));
    train(&mut board, 3..5);
    board.observe(&Event::RunEnded { step: Step(4), steps_done: 5, outcome: RunOutcome::Complete });
    board.keep();
    for tag in ["run/config", "_hparams_/experiment", "_hparams_/session_start_info"] {
        assert_eq!(steps(&path, tag), [0], "{tag}");
    }
    assert_eq!(steps(&path, "_hparams_/session_end_info"), [4]);
    let records = records(&path);
    let all = records.iter().flat_map(|record| record.summary.iter().flat_map(|all| &all.value));
    let text = all.clone().find(|value| value.tag == "run/config").unwrap();
    let text = String::from_utf8(text.tensor.as_ref().unwrap().string_val[0].clone()).unwrap();
    assert!(text.contains("\n| class_names | `[\"a\\|b\", \" c \"]` |\n"), "{text}");
    let start = all.clone().find(|value| value.tag == "_hparams_/session_start_info").unwrap();
    let start = start.metadata.as_ref().unwrap().plugin_data.as_ref().unwrap();
    let start = proto::HParams::decode(&start.content[..]).unwrap().session_start_info.unwrap();
    assert_eq!(start.hparams["seed"].number_value, Some(1.0));
    assert_eq!(start.hparams["shuffle"].bool_value, Some(true));
    assert!(start.hparams["class_names"].string_value.is_some());
}

#[test]
fn each_step_is_there_once_wherever_a_run_goes_on() {
    for at in 0..=15 {
        let (folder, path) = folder();
        let mut board = begin(&folder, 0);
        board.observe(&Event::RunStarted(run(0)));
        train(&mut board, 0..15);
        drop(board);
        let before = fs::metadata(&path).unwrap().len();
        let mut board = begin(&folder, at);
        assert_eq!(steps(&path, "train/loss"), up_to(at as i64), "resumed at {at}");
        assert_eq!(steps(&path, "run/config"), [0]);
        assert!(fs::metadata(&path).unwrap().len() > before, "what a reader has read keeps its place");
        board.observe(&Event::RunResumed(run(at)));
        train(&mut board, at..15);
        assert_eq!(steps(&path, "train/loss"), up_to(15));
        assert_eq!(steps(&path, "validation/loss"), [4, 9, 14]);
        let sessions = records(&path).into_iter().filter(|record| record.session_log.is_some());
        assert_eq!(sessions.map(|session| session.step).collect::<Vec<_>>(), [0, at as i64]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn what_a_late_checkpoint_says_of_an_earlier_step_stays() {
    let (folder, path) = folder();
    let mut board = begin(&folder, 0);
    train(&mut board, 0..13);
    board.observe(&validated(9));
    board.keep();
    drop(board);
    drop(begin(&folder, 10));
    assert_eq!(steps(&path, "validation/loss"), [4, 9, 9]);
    assert_eq!(steps(&path, "train/loss"), up_to(10));
}

#[test]
fn a_run_that_rolls_back_repeats_its_steps_in_the_same_file() {
    let (folder, path) = folder();
    let mut board = begin(&folder, 0);
    board.observe(&Event::RunStarted(run(0)));
    train(&mut board, 0..12);
    board.observe(&Event::RunRolledBack { from: Step(12), checkpoint: None, run: run(7) });
    train(&mut board, 7..10);
    assert_eq!(steps(&path, "train/loss"), up_to(10));
    assert_eq!(steps(&path, "validation/loss"), [4, 9]);
}

#[test]
fn a_test_that_is_done_again_is_there_once() {
    let (folder, path) = folder();
    for _ in 0..2 {
        let mut board = begin(&folder, 5);
        board.observe(&Event::Test(evaluation(4)));
        board.observe(&Event::Test(Evaluation { views: true, ..evaluation(4) }));
        board.keep();
        drop(board);
        drop(begin(&folder, 5));
    }
    assert_eq!(steps(&path, "test/loss"), [4]);
    assert_eq!(steps(&path, "test/views/loss"), [4]);
}

#[test]
fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let (folder, path) = folder();
    let mut board = begin(&folder, 0);
    train(&mut board, 0..3);
    let third = fs::read(&path).unwrap().len();
    train(&mut board, 3..4);
    drop(board);
    let whole = fs::read(&path).unwrap();
    for end in third + 1..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let mut board = begin(&folder, 3);
        assert_eq!(steps(&path, "train/loss"), up_to(3), "torn at {end}");
        train(&mut board, 3..4);
        assert_eq!(steps(&path, "train/loss"), up_to(4));
    }
    let mut damaged = whole;
    damaged[third + 20] ^= 1;
    fs::write(&path, damaged).unwrap();
    drop(begin(&folder, 9));
    assert_eq!(steps(&path, "train/loss"), up_to(3));
}

#[test]
fn what_another_run_or_program_wrote_is_moved_out_of_tensorboards_sight() {
    let (folder, path) = folder();
    let mut other = TensorBoard::begin(folder.path(), "f1", Step(0)).unwrap();
    train(&mut other, 0..3);
    drop(other);
    let theirs = fs::read(&path).unwrap();
    let zeros = vec![0; 1000];
    for (n, bytes) in [(1, &theirs[..]), (2, b"somebody's notes"), (3, &zeros), (4, &theirs[..10])] {
        fs::write(&path, bytes).unwrap();
        drop(begin(&folder, 2));
        assert_eq!(fs::read(folder.path().join(format!("tensorboard.earlier-{n}"))).unwrap(), bytes);
        assert_eq!(steps(&path, "train/loss"), NONE);
    }
    drop(begin(&folder, 2));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
}

#[test]
fn what_is_no_file_or_is_too_large_costs_the_file_and_nothing_else() {
    let (folder, path) = folder();
    let none = || TensorBoard::begin(folder.path(), "f0", Step(0)).is_none();
    let target = folder.path().join("target");
    fs::write(&target, "kept").unwrap();
    symlink(&target, &path).unwrap();
    assert!(none(), "a link");
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    fs::remove_file(&path).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(none(), "a FIFO");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(none(), "a directory");
    fs::remove_dir(&path).unwrap();
    fs::File::create(&path).unwrap().set_len((1 << 36) + 1).unwrap();
    assert!(none(), "a file that is too large");
    assert!(TensorBoard::begin(&folder.path().join("no/such"), "f0", Step(0)).is_none());
}

#[test]
fn a_record_too_large_to_be_read_again_is_left_out() {
    let (folder, path) = folder();
    let mut board = begin(&folder, 0);
    let mut value = say::of_step(&step_record(0, 0)).remove(0);
    value.tag = "x".repeat(1 << 22);
    board.append(&say::record(Step(0), vec![value], 1.0));
    train(&mut board, 0..2);
    assert_eq!(steps(&path, "train/loss"), [0, 1]);
}
