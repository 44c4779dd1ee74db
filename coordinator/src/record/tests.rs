use super::history::{Beginning, Parting};
use super::report::Mistakes;
use super::testing::{dropped, ended, evaluation_line, event_line, folder, joined, run, run_line, step_line};
use super::write::{CARD_FILE, REPORT_FILE, WriteError, write_into};
use super::*;
use crate::run_folder::{EVENTS_FILE, METRICS_FILE};
use common::event::{Event, Mistake, MistakesRecord};
use common::ids::Step;
use proptest::prelude::*;
use std::fs;

/// A run of two coordinators: the first was killed, the second is complete.
fn metrics() -> String {
    let mut text = run_line("start", 0);
    (0..50).for_each(|step| text += &step_line(step, step as f64, Some(1.0)));
    text += &evaluation_line("validation", 49, 0.985, ["0", "1"]);
    text += &run_line("resume", 50);
    (50..100).for_each(|step| text += &step_line(step, (step - 50) as f64, (step != 60).then_some(0.5)));
    text += &evaluation_line("validation", 99, 0.97, ["0", "1"]);
    text + &evaluation_line("test", 99, 0.85, ["0", "1"])
}

fn events() -> String {
    [
        event_line(1e9, &Event::RunStarted(run(0))),
        event_line(1e9 + 1.0, &joined("a", 0, 1)),
        event_line(1e9 + 2.0, &joined("b", 0, 2)),
        event_line(1e9 + 9.0, &dropped("a", 30, "reset by <peer>")),
        event_line(1e9 + 20.0, &Event::RunResumed(run(50))),
        event_line(1e9 + 21.0, &joined("a", 50, 1)),
        event_line(1e9 + 50.0, &ended(99, RunOutcome::Complete)),
    ]
    .concat()
}

#[test]
fn a_run_of_two_starts_is_one_story() {
    let folder = folder(&metrics(), Some(&events()));
    let run = read(folder.path()).unwrap();
    assert_eq!(run.problems, Problems::default());
    assert_eq!((run.state(), run.steps_done(), run.model().as_str()), (State::Complete, 100, "mlp(8)"));
    let results = &run.results;
    assert_eq!(results.seconds, 98.0, "each coordinator counts its own time");
    assert_eq!(results.curves.loss.points().len(), 99);
    assert_eq!(results.curves.loss.not_finite(), 1);
    let best = results.best.unwrap();
    assert_eq!((best.accuracy, best.step), (0.985, 49));
    let reached = results.milestones.map(|reached| reached.map(|at| (at.step, at.seconds)));
    assert_eq!(reached, [Some((49, 49.0)), None]);
    assert_eq!(results.test_of_last().unwrap().confusion.correct(), 17);
    assert_eq!(run.samples_a_second(), Some(1600.0 / 98.0));
    let history = &run.history;
    let starts: Vec<_> =
        history.starts.iter().map(|start| (start.how, start.after_crash, start.at.step)).collect();
    assert_eq!(starts, [(Beginning::Start, false, 0), (Beginning::Resume, true, 50)]);
    assert_eq!((history.faults.deaths, history.faults.crashes, history.faults.total()), (1, 1, 2));
    let stays = |name: &str| {
        let worker = history.workers.iter().find(|worker| worker.name == name).unwrap();
        let stay = |stay: &history::Stay| {
            (stay.from.time.unwrap() - 1e9, stay.to.time.unwrap() - 1e9, stay.parting.clone())
        };
        worker.stays.iter().map(stay).collect::<Vec<_>>()
    };
    let reason = Parting::Dropped("connection lost: reset by <peer>".to_owned());
    assert_eq!(stays("a"), [(1.0, 9.0, reason), (21.0, 50.0, Parting::RunEnded)]);
    assert_eq!(stays("b"), [(2.0, 9.0, Parting::CoordinatorLost)]);
}

#[test]
fn files_of_earlier_programs_say_what_they_can() {
    // Without times, and without events.jsonl: the history is in the metrics, by steps.
    let old = |event: &Event| {
        let mut line = serde_json::to_value(event).unwrap();
        line["kind"] = line["event"].take();
        line.as_object_mut().unwrap().remove("event");
        format!("{line}\n")
    };
    let mut text = run_line("start", 0) + &old(&joined("a", 0, 1));
    (0..9).for_each(|step| text += &step_line(step, 0.1, Some(1.0)).replace("\"time\"", "\"no\""));
    text += &old(&dropped("a", 5, "x"));
    text += "{\"kind\":\"run_ended\",\"step\":8,\"outcome\":\"stopped\",\"steps_done\":9}\n{\"kind\":\"st";
    let folder = folder(&text, None);
    let run = read(folder.path()).unwrap();
    assert_eq!(run.problems, Problems::default(), "a torn last line is no problem");
    assert_eq!((run.state(), run.history.faults.deaths), (State::Stopped, 1));
    let stay = &run.history.workers[0].stays[0];
    assert_eq!((stay.from.step, stay.to.step, stay.to.time), (0, 5, None));
}

#[test]
fn a_run_that_has_not_ended_is_unfinished_and_its_workers_are_seen_until_the_last_line() {
    let text = run_line("start", 0) + &step_line(0, 7.0, Some(1.0));
    let events = event_line(1e9, &Event::RunStarted(run(0))) + &event_line(1e9 + 1.0, &joined("a", 0, 1));
    let folder = folder(&text, Some(&events));
    let run = read(folder.path()).unwrap();
    assert_eq!(run.state(), State::Unfinished);
    let stay = &run.history.workers[0].stays[0];
    assert_eq!((&stay.parting, stay.to.time), (&Parting::Unknown, Some(1e9 + 7.0)));
}

#[test]
fn what_can_not_be_read_is_told_with_file_and_line_and_the_rest_is_read() {
    let mut lines: Vec<String> = metrics().lines().map(|line| format!("{line}\n")).collect();
    lines.insert(3, "\u{1b}[2J\n".to_owned());
    lines.insert(4, "{\"kind\":\"step\",\"step\":-1}\n".to_owned());
    lines.insert(5, "[1]\n".to_owned());
    lines.insert(6, "{\"kind\":\"validation\",\"step\":1,\"accuracy\":7,\"confusion\":[[1]]}\n".to_owned());
    lines.insert(
        7,
        format!("{{\"kind\":\"test\",\"step\":1,\"accuracy\":1,\"confusion\":[[{}]]}}\n", u64::MAX),
    );
    lines.insert(8, "{\"kind\":\"of later programs\",\"step\":{}}\n".to_owned());
    let folder = folder(&lines.concat(), Some("not json\n"));
    let run = read(folder.path()).unwrap();
    let places: Vec<String> = run
        .problems
        .told
        .iter()
        .map(|told| told.rsplit('/').next().unwrap().split(": ").next().unwrap().to_owned())
        .collect();
    let expected =
        ["events.jsonl:1", "metrics.jsonl:4", "metrics.jsonl:5", "metrics.jsonl:6", "metrics.jsonl:7"];
    assert_eq!(places, expected, "{:?}", run.problems);
    assert_eq!(run.problems.more, 2);
    assert!(run.problems.told.iter().all(|told| !told.contains('\u{1b}')));
    assert_eq!(run.steps_done(), 100);
}

#[test]
fn folders_that_are_none_of_a_run_are_refused_with_a_word() {
    let empty = tempfile::tempdir().unwrap();
    let error = read(empty.path()).unwrap_err();
    assert!(error.to_string().contains("there is no metrics.jsonl in it"), "{error}");
    let nothing = folder("{\"kind\":7}\n", None);
    let error = read(nothing.path()).unwrap_err().to_string();
    assert!(error.contains("no line of kind \"run\"") && error.contains("metrics.jsonl:1: "), "{error}");
    fs::create_dir(empty.path().join(METRICS_FILE)).unwrap();
    let error = read(empty.path()).unwrap_err();
    assert!(error.to_string().contains("it is a directory"), "{error}");
}

#[test]
fn nothing_in_the_files_is_markup_of_the_page_or_the_card() {
    let evil = "<script>alert('x')</script>|`[a](b)";
    let mut config = run(0);
    config.config = [("dataset", evil), ("lr", evil), ("model", evil), (evil, evil)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let mut line = serde_json::to_value(&config).unwrap();
    line["kind"] = "run".into();
    line["event"] = "start".into();
    let text = format!("{line}\n")
        + &step_line(0, 1.0, Some(1.0))
        + &step_line(1, 2.0, Some(1.0))
        + &evaluation_line("validation", 1, 0.5, [evil, "b\nc"])
        + &evaluation_line("test", 1, 0.5, [evil, "\u{202e}"])
        + &format!("{evil}\n");
    let failed = RunOutcome::Failed { problem: evil.to_owned() };
    let events = event_line(1e9, &Event::RunStarted(config))
        + &event_line(1e9, &joined(evil, 0, 1))
        + &event_line(1e9 + 1.0, &dropped(evil, 1, evil))
        + &event_line(1e9 + 2.0, &ended(1, failed));
    let folder = folder(&text, Some(&events));
    let mistake = Mistake {
        png: vec![1, 2, 3],
        index: 7,
        class: evil.to_owned(),
        answer: evil.to_owned(),
        probability: 0.5,
    };
    let page = write_into(
        folder.path(),
        &Mistakes::Shown(MistakesRecord { step: Step(0), count: 1, worst: vec![mistake] }),
    )
    .unwrap();
    let html = fs::read_to_string(page).unwrap();
    assert!(html.matches("&lt;script&gt;").count() > 12, "{html}");
    for forbidden in ["<script", "alert('", "\u{202e}", "http:", "https:"] {
        assert!(!html.contains(forbidden), "{forbidden}: {html}");
    }
    let card = fs::read_to_string(folder.path().join(CARD_FILE)).unwrap();
    assert!(card.starts_with(card::MARK) && card.contains("\\|\\`\\[a\\](b)"), "{card}");
    let body = card.split("---\n").nth(2).unwrap();
    assert!(!body.contains("<script"), "{card}");
}

#[test]
fn a_run_that_kept_wrong_results_does_not_claim_the_bits_of_another() {
    let kept = Event::MiscomputedWorkKept { joined: Step(3), checkpoint: None, step: Step(40) };
    let claims = "its bits are those of a run without";
    for (more, is_claimed) in [(String::new(), true), (event_line(1e9 + 30.0, &kept), false)] {
        let (before, end) = events()
            .split_once("{\"event\":\"run_ended\"")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let events = format!("{before}{more}{{\"event\":\"run_ended\"{end}");
        let folder = folder(&metrics(), Some(&events));
        let page = report::page(&read(folder.path()).unwrap(), &Mistakes::Absent(String::new()));
        assert_eq!(page.contains(claims), is_claimed, "{page}");
        assert_eq!(page.contains("gives other bytes"), !is_claimed, "{page}");
    }
}

#[test]
fn files_of_others_are_not_replaced() {
    let folder = folder(&metrics(), None);
    let none = Mistakes::Absent("none".to_owned());
    let card = folder.path().join(CARD_FILE);
    fs::write(&card, "mine").unwrap();
    write_into(folder.path(), &none).unwrap();
    write_into(folder.path(), &none).unwrap();
    assert_eq!(fs::read_to_string(&card).unwrap(), "mine");
    let page = folder.path().join(REPORT_FILE);
    fs::write(&page, "mine").unwrap();
    let error = write_into(folder.path(), &none).unwrap_err();
    assert!(matches!(&error, WriteError::Other(path) if *path == page), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Files that are damaged anywhere are read as far as they go, and what is read can be drawn.
    #[test]
    fn damaged_files_are_read_without_a_panic(
        damages in proptest::collection::vec((any::<bool>(), any::<u16>(), any::<u8>()), 0..12),
        odd in proptest::sample::select(vec!["-1", "1e308", "null", "18446744073709551615", "[]", "0.0000001"]),
    ) {
        let mut files = [metrics().replace("1000.0", odd), events().replace("1000000009", odd)].map(String::into_bytes);
        for (is_metrics, place, byte) in damages {
            let file = &mut files[usize::from(is_metrics)];
            let place = usize::from(place) % file.len();
            file[place] = byte;
        }
        let [metrics, events] = files;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(METRICS_FILE), metrics).unwrap();
        fs::write(folder.path().join(EVENTS_FILE), events).unwrap();
        if let Ok(run) = read(folder.path()) {
            let page = report::page(&run, &Mistakes::Absent(String::new())) + &card::card(&run);
            prop_assert!(page.len() < 1 << 20);
        }
    }
}
