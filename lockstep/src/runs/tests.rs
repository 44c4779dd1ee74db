use super::compare::Comparison;
use super::list::{self, Row};
use super::page;
use super::several::Several;
use coordinator::record::{Recorded, read};
use coordinator::run_folder::METRICS_FILE;
use serde_json::json;
use std::fs;
use tempfile::TempDir;

const EVIL: &str = "=cmd|' /C calc'!A0,\"<script>\u{1b}[2J";

/// A folder of a run of so many steps, with an evaluation of each kind.
fn folder(root: &TempDir, name: &str, lr: &str, steps: u64, accuracy: f64) -> Recorded {
    let folder = root.path().join(name);
    fs::create_dir_all(&folder).unwrap();
    let mut lines = vec![json!({
        "kind": "run", "event": "start", "step": 0, "run_id": "1", "fingerprint": "1", "steps_total": 100,
        "steps_per_epoch": 50, "epochs": 2, "parameters": 10, "train_samples": 500, "validation_samples": 10,
        "config": {"lr": lr, "optimizer": "adam(beta1=0.9)", "dataset": EVIL, "model": "flatten dense", "seed": "1"},
    })];
    for step in 0..steps {
        lines.push(json!({
            "kind": "step", "step": step, "epoch": 0, "loss": 1.0, "accuracy": accuracy, "learning_rate": 0.1,
            "samples_per_s": 100.0, "train_seconds": step as f64 / 10.0, "workers": 1,
        }));
    }
    for kind in ["validation", "test"] {
        lines.push(json!({
            "kind": kind, "step": steps - 1, "epoch": 0, "loss": 0.5, "accuracy": accuracy, "confusion": [[9, 1], [2, 8]],
        }));
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(folder.join(METRICS_FILE), text).unwrap();
    read(&folder).unwrap()
}

#[test]
fn a_list_fits_a_terminal_and_names_what_matters() {
    let root = tempfile::tempdir().unwrap();
    let long = "sweeps/of-the-whole-last-week/trials/trial-0001";
    let runs = [folder(&root, "a", "0.002", 100, 0.985), folder(&root, long, "0.00012345", 7, 0.5)];
    let rows = runs.each_ref().map(|run| Row::of(run, root.path()));
    let text = list::text(&rows);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    for part in ["98.50", "100/100", "7/100", "unfinished", "trial-0001"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let csv = list::csv(&rows);
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let first = csv.lines().nth(1).unwrap();
    assert!(
        first
            .starts_with("a,linear,\"'=cmd|' /C calc'!A0,\"\"<script>\\u001b[2J\",adam,0.002,100,100,0.985,"),
        "{csv}"
    );
    let json = list::json(&rows).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(json.lines().nth(1).unwrap()).unwrap();
    assert_eq!((parsed["name"].as_str(), parsed["test"].as_f64()), (Some(long), Some(0.5)));
}

#[test]
fn a_comparison_has_what_differs_and_nothing_else_of_the_settings() {
    let root = tempfile::tempdir().unwrap();
    let runs: Vec<Recorded> = (0..6)
        .map(|run| {
            folder(&root, &format!("run-{run}"), if run == 3 { "0.1" } else { "0.2" }, 90 + run, 0.985)
        })
        .collect();
    let comparison = Comparison::of(&runs);
    let settings: Vec<&str> = comparison.settings.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(settings, ["lr"]);
    let value = |what: &str| {
        let line = comparison.figures.iter().find(|line| line.what == what).unwrap();
        line.values[0].as_str()
    };
    assert_eq!(value("time to 98 % validation"), "8.9 s, step 89");
    assert_eq!(value("time to 99 % validation"), "-");
    assert_eq!(value("test accuracy"), "98.50 %");
    assert_eq!(value("samples a second"), "101");
    let text = comparison.text();
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    assert!(text.contains("run-0") && text.contains("run-5") && text.contains("is not known"), "{text}");
    let page = page::page(&runs, &comparison);
    assert_eq!(page.matches("<figure>").count(), 5, "{page}");
    assert!(page.contains("run-5</li>") && !page.contains("<script"), "{page}");
}

#[test]
fn a_folder_of_runs_is_one_page_the_best_first() {
    let root = tempfile::tempdir().unwrap();
    let mut folders = Vec::new();
    for (name, lr, accuracy) in
        [("trials/0000", "0.1", 0.5), ("trials/0001", "0.001", 0.9), ("trials/0002", "0.01", 0.7)]
    {
        folders.push(folder(&root, name, lr, 100, accuracy).folder);
    }
    folders.push(root.path().join("missing"));
    let told = std::cell::Cell::new(0);
    let several = Several::read(root.path(), &folders, |_| told.set(told.get() + 1));
    assert_eq!(told.get(), 1);
    let names: Vec<&str> = several.trials.iter().map(|trial| trial.row.name.as_str()).collect();
    assert_eq!(names, ["trials/0001", "trials/0002", "trials/0000"]);
    let page = several.page();
    assert!(page.contains("Best validation by lr") && !page.contains("by seed"), "{page}");
    assert_eq!(
        page.matches("<circle class=\"dot c0\"").count(),
        3 + 2,
        "a dot for each run, and single validations"
    );
    assert!(!page.contains("<script"), "{page}");
}
